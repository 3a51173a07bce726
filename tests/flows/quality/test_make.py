"""Pieces are made once, by the network that the package holds, and hold what was found beside what is true."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flows.quality.clips import Case, draw_case
from flows.quality.make import FRAME_RATE, Piece, make, pieces, seed, truth_rows
from flows.quality.prompts import WRONG
from flows.quality.truth import read_truth, tracks_of
from labeling import rle
from labeling.qc.signals import SignalMeter
from labeling.store.records import mask_from_row, signals_from_row
from labeling.types import FrameMask
from sam2.training.clip import Clip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clips of five small frames."""
    first = [Piece(Case("scenes", "plain", 1, 5, (96, 96)), tracker, 256) for tracker in ("sam2", "samurai")]
    monkeypatch.setattr("flows.quality.make.pieces", lambda count: iter(first[:count]))


@pytest.mark.usefixtures("short")
def test_what_is_made_is_whole_and_not_made_again(tmp_path: Path) -> None:
    seen: list[str] = []
    make(tmp_path, 1, seen=lambda _progress, piece: seen.append(piece.name))
    assert len(seen) == 1
    progress = make(tmp_path, 2, seen=lambda _progress, piece: seen.append(piece.name))
    assert (progress.made, progress.failed, len(seen)) == (1, {}, 2)
    truth = read_truth(tmp_path)
    assert set(truth.clips["tracker"].to_pylist()) == {"sam2", "samurai"}
    assert len(set(truth.clips["split"].to_pylist())) == 1
    assert len(truth.masks) == 5 * len(truth.tracks)
    assert max(track.mean_j for track in tracks_of(truth)) > 0.7


@pytest.mark.usefixtures("short")
def test_signals_can_be_measured_again_from_the_masks(tmp_path: Path) -> None:
    make(tmp_path, 1, seen=lambda _progress, _piece: None)
    truth = read_truth(tmp_path)
    meter = SignalMeter((96, 96), FRAME_RATE, truth.tracks["presence_threshold"][0].as_py())
    row = truth.tracks.slice(0, 1).to_pylist()[0]
    for mask in truth.masks.to_pylist():
        if mask["track_id"] == row["track_id"]:
            meter.add(mask_from_row(mask))
    stored, again = signals_from_row(row).values, meter.signals().values
    assert stored == {name: pytest.approx(value, abs=1e-4) if value is not None else None for name, value in again.items()}


def test_the_order_begins_with_some_of_everything() -> None:
    first = list(pieces(124))
    assert len({piece.name for piece in first}) == 124
    kinds = Counter((piece.case.generator, piece.case.variant) for piece in first[:31])
    assert len(kinds) == 24
    assert {piece.tracker for piece in first[:2]} == {"sam2", "samurai"}
    assert {piece.case.num_frames for piece in first} == {24, 60, 120, 240}
    for kind in kinds:
        of_kind = [p for p in first if (p.case.generator, p.case.variant) == kind]
        assert {piece.tracker for piece in of_kind} == {"sam2", "samurai"}


def test_wrong_prompts_are_of_all_kinds_and_named() -> None:
    variants = Counter[str]()
    for number in range(12):
        case = Case("lookalikes", "wrong_seed", number, 2, (96, 96))
        variants.update(seed(draw_case(case), case).variants.values())
    assert set(variants) == {"plain", *(f"wrong_seed_{kind}" for kind in WRONG)}
    assert 0.5 < 1 - variants["plain"] / variants.total() < 0.9


def test_truth_of_a_frame() -> None:
    masks = np.zeros((2, 2, 4, 4), bool)
    masks[0, 0, :2], masks[1, :, 3:] = True, True
    clip = Clip(np.zeros((2, 4, 4, 3), np.uint8), masks, "made")
    found = np.zeros((4, 4), bool)
    found[1:, :] = True

    def frame_mask(frame_idx: int, mask_HW: np.ndarray) -> FrameMask:
        runs = rle.encode(mask_HW)
        area, box = rle.area_and_box(runs)
        return FrameMask(frame_idx, 0.0, runs, area, box, 0.5, 1.0)

    shown, absent = truth_rows(clip, 0, [frame_mask(0, found), frame_mask(1, np.zeros((4, 4), bool))])
    assert shown == {
        "frame_idx": 0, "j": 4 / 16, "truth_visible": True, "mask_visible": True, "precision": 4 / 12, "recall": 0.5,
        "other_j": 4 / 12,
    }
    assert (absent["j"], absent["precision"], absent["recall"], absent["other_j"]) == (1.0, None, None, 0.0)
