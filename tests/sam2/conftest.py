"""A small model with formula weights, built once: enough of a SAM 2 for everything but its answers' worth."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch

from sam2.build_sam import build_sam2
from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from tests.reference.formula import formula_weights


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small tensors gain nothing from several threads, and wait long for them where cores are shared (5x measured)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if request.module.__name__.endswith("test_parity") else 1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def nano() -> SAM2Base:
    """The nano network at 64 pixels with formula weights; tests must not change it."""
    model = build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    model.load_state_dict(formula_weights(model.state_dict()))
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def image_64() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(64) / 64, torch.arange(64) / 64, indexing="ij")
    return torch.stack([torch.sin(8 * x + k) * torch.cos(6 * y) for k in range(3)])[None]


@pytest.fixture(scope="session")
def hollow() -> Callable[[ModelConfig], SAM2Base]:
    """Build a network whose weights are left as they come, for tests of names and shapes: filling a large one takes seconds."""

    def build(config: ModelConfig) -> SAM2Base:
        fills = ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_", "ones_", "zeros_")
        with patch.multiple("torch.nn.init", **dict.fromkeys(fills, lambda tensor, *_, **__: tensor)):
            return SAM2Base(config=replace(config, image_size=64))

    return build
