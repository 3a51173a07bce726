"""A small model with formula weights, built once: enough of a SAM 2 for everything but its answers' worth."""

import pytest
import torch

from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from tests.reference.formula import formula_weights


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
