"""The picture of a training's losses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2.training.curves import PARTS, draw_curves, read_metrics, smoothed


def log(path: Path, steps: int, *, rest: str = "") -> Path:
    rows = [
        {
            "step": step, "stage": "stills" if step < 5 else "clips", "learning_rate": 1e-3, "grad_norm": 1.0, "seconds": 0.1,
            "losses": dict.fromkeys(PARTS, 10.0 ** -(step % 4)),
        }
        for step in range(1, steps + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + rest)
    return path


def test_a_picture_is_drawn_and_drawn_again(tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    assert draw_curves(log(tmp_path / "m.jsonl", 3), picture)
    before = np.asarray(Image.open(picture))
    assert draw_curves(log(tmp_path / "m.jsonl", 9, rest='{"step": 10, "sta'), picture)
    after = np.asarray(Image.open(picture))
    assert before.shape == after.shape == (800, 1200, 4)
    assert (before != after).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "m.jsonl"]


def test_nothing_logged_is_nothing_drawn(tmp_path: Path) -> None:
    assert not draw_curves(tmp_path / "none.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("step,loss\n1,2\n")
    with pytest.raises(ValueError, match="line 1 is 'step,loss'; expected what a training run writes"):
        read_metrics(tmp_path / "m.jsonl")


def test_smoothing_is_a_mean_of_what_came_before() -> None:
    assert smoothed([4.0, 2.0, 0.0, 6.0], 2) == [4.0, 3.0, 1.0, 3.0]
    assert smoothed([4.0, 2.0], 1) == [4.0, 2.0]
