"""Files of a run: whole or not there, refused where they are another run's, readable where weights are read."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from sam2.checkpoint import load_weights, read_weights
from sam2.modeling.sam2_base import SAM2Base
from sam2.training.checkpoints import embed, load_checkpoint, save_checkpoint, save_half, save_weights
from sam2.training.recipe import Recipe, Stage
from sam2.variants import find_config

STAGES = tuple(Stage(name, steps=3, frames=1, clips=1, objects=1, learning_rate=1e-3) for name in ("one", "two", "three"))
RECIPE = Recipe("sam2.1_nano", STAGES)
WEIGHTS = {"a": torch.arange(6.0).view(2, 3) / 7, "b": torch.ones(1)}


def saved(folder: Path, step: int) -> Path:
    save_checkpoint(folder / "checkpoint.pt", {"recipe": asdict(RECIPE), "step": step})
    return folder / "checkpoint.pt"


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path, 2)
    with patch("os.fsync", side_effect=OSError("disk full")), pytest.raises(OSError, match="disk full"):
        saved(tmp_path, 3)
    assert torch.load(path, weights_only=True)["step"] == 2


def test_weights_read_back_by_the_reader_of_released_files(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.pt", WEIGHTS)
    save_half(tmp_path / "deeper" / "w.safetensors", WEIGHTS)
    assert list(torch.load(tmp_path / "w.pt", weights_only=True)) == ["model"]
    for name, value in read_weights(tmp_path / "w.pt").items():
        assert torch.equal(value, WEIGHTS[name])
    halves = read_weights(tmp_path / "deeper" / "w.safetensors")
    assert {value.dtype for value in halves.values()} == {torch.float16}
    torch.testing.assert_close(halves["a"].float(), WEIGHTS["a"], atol=1e-3, rtol=0)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["w.pt", "w.safetensors"]


def test_nothing_there_is_a_fresh_run(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt", asdict(RECIPE), device="cpu") is None


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE, replace(RECIPE, save_every=7, log_every=3, init="elsewhere.pt"),
        replace(RECIPE, stages=(*STAGES[:2], replace(STAGES[2], steps=9), STAGES[0])),     # not reached yet
    ],
)
def test_what_changes_nothing_done_may_change(tmp_path: Path, recipe: Recipe) -> None:
    held = load_checkpoint(saved(tmp_path, 4), asdict(recipe), device="cpu")
    assert held is not None
    assert held["step"] == 4


def test_a_field_that_came_later_had_its_default(tmp_path: Path) -> None:
    before = {name: value for name, value in asdict(RECIPE).items() if name != "augment"}
    save_checkpoint(tmp_path / "checkpoint.pt", {"recipe": before, "step": 2})
    assert load_checkpoint(tmp_path / "checkpoint.pt", asdict(RECIPE), device="cpu") is not None
    with pytest.raises(ValueError, match="augment differ"):
        load_checkpoint(tmp_path / "checkpoint.pt", asdict(replace(RECIPE, augment=True)), device="cpu")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (replace(RECIPE, seed=1), "another recipe: seed differ"),
        (replace(RECIPE, model="sam2.1_hiera_t"), "model differ"),
        (replace(RECIPE, image_size=512), "image_size differ"),
        (replace(RECIPE, stages=(replace(STAGES[0], clips=2), *STAGES[1:])), "stage one differ"),
        (replace(RECIPE, stages=STAGES[:1]), "stage two differ"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, recipe: Recipe, said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}.*Train into another folder"):
        load_checkpoint(saved(tmp_path, 4), asdict(recipe), device="cpu")


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
