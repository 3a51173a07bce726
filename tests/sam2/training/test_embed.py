"""Trained weights become the package's own: half precision, strict, small, with their digest."""

import hashlib
from pathlib import Path

import pytest
import torch

from sam2.checkpoint import load_weights, read_weights
from sam2.modeling.sam2_base import SAM2Base
from sam2.training.embed import embed
from sam2.training.saving import save_weights
from sam2.variants import find_config


def test_weights_come_back_as_float32_near_what_they_were(tmp_path: Path) -> None:
    network = SAM2Base(config=find_config("sam2.1_nano"))
    save_weights(tmp_path / "weights.pt", network.state_dict())
    path = embed(tmp_path / "weights.pt", "sam2.1_nano", tmp_path / "package")
    assert path.with_suffix(".sha256").read_text().split()[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {value.dtype for value in read_weights(path).values()} == {torch.float16}
    again = SAM2Base(config=find_config("sam2.1_nano"))
    load_weights(again, path, variant="sam2.1_nano")
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_other_networks_weights_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.pt", {"no_mem_embed": torch.zeros(1, 1, 7)})
    with pytest.raises(ValueError, match=r"does not fit sam2\.1_nano"):
        embed(tmp_path / "weights.pt", "sam2.1_nano", tmp_path / "package")
    assert not (tmp_path / "package").exists()
