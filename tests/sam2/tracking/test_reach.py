"""How far back a frame reads: to the nearest wall, and behind a cut nothing of an object until it is found."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from sam2.tracking.memory_bank import OBJECT_SCORE, FrameEntry, Vantage
from sam2.tracking.reach import (
    FOUND_IOU,
    FOUND_POINTER,
    FOUND_SCORE,
    FOUND_STABILITY,
    away,
    is_awaited,
    is_found,
    reach_of,
    readable,
)
from sam2.tracking.track import ObjectTrack


class State:
    """What of a state says where walls are."""

    def __init__(self, cuts: tuple[int, ...] = (), *, fenced: bool = False) -> None:
        self.cuts, self.fenced = cuts, fenced


def entry() -> FrameEntry:
    scores = torch.tensor([0.9, 4.0, 0.5, 0.9, 0.1, 1.0])
    return FrameEntry(torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 4, 4), torch.ones(1, 3), scores)


def track(conditioning: tuple[int, ...], others: range) -> ObjectTrack:
    known = ObjectTrack()
    known.conditioning = {t: entry() for t in conditioning}
    known.others = {t: entry() for t in others if t not in conditioning}
    return known


def read(state: Any, of: ObjectTrack, frame_idx: int, *, reverse: bool = False) -> tuple[list[int], list[int]]:
    conditioning, others = readable(state, of, Vantage(frame_idx, reverse, 40))
    return sorted(conditioning), sorted(others)


def test_without_walls_all_is_read() -> None:
    of = track((0, 9), range(0, 12))
    assert reach_of(State(), of, Vantage(12, False, 40)) is None       # type: ignore[arg-type]
    assert readable(State(), of, Vantage(12, False, 40)) == (of.conditioning, of.others)   # type: ignore[arg-type]


def test_behind_a_cut_prompted_frames_are_read_and_others_of_the_shot() -> None:
    of = track((0, 20), range(0, 12))
    assert read(State((8,)), of, 12) == ([0, 20], [8, 9, 10, 11])
    assert read(State((8,)), of, 8) == ([0, 20], [8])
    assert read(State((8, 30)), of, 7) == ([0, 20], list(range(1, 7)) + list(range(7, 12))), "no cut lies behind"
    assert read(State((3, 8)), of, 12)[1] == [8, 9, 10, 11], "the nearest one counts"


def test_backward_a_shot_ends_before_the_first_frame_of_the_next() -> None:
    of = track((20,), range(5, 20))
    assert read(State((12,)), of, 9, reverse=True) == ([20], [9, 10, 11])
    assert read(State((10,)), of, 9, reverse=True)[1] == [9]


def test_where_prompted_frames_are_walls_the_nearest_behind_alone_is_read() -> None:
    of = track((0, 6, 14), range(0, 12))
    assert read(State(fenced=True), of, 10) == ([6], [7, 8, 9, 10])
    assert read(State(fenced=True), of, 5) == ([0], [1, 2, 3, 4, 5])
    assert read(State(fenced=True), of, 10, reverse=True)[0] == [14]
    assert read(State((9,), fenced=True), of, 10)[1] == [9, 10]


def test_an_object_is_awaited_behind_a_cut_until_it_is_found_or_given() -> None:
    state: Any = State((8, 20))
    of = track((0,), range(0, 8))
    assert [is_awaited(state, of, Vantage(t, False, 40)) for t in (7, 8, 12)] == [False, True, True]
    of.others[8] = away(entry(), 0.0)
    assert is_awaited(state, of, Vantage(9, False, 40))
    assert read(state, of, 9)[1] == [], "what was not found is not looked at"
    of.others[9] = entry()
    assert not is_awaited(state, of, Vantage(10, False, 40))
    assert is_awaited(state, of, Vantage(20, False, 40)), "each cut anew"
    assert not is_awaited(state, track((0, 21), range(0, 8)), Vantage(22, False, 40))
    assert not is_awaited(State(), of, Vantage(9, False, 40))       # type: ignore[arg-type]


def test_what_is_away_has_no_mask_and_no_score_that_shows_one() -> None:
    gone = away(replace(entry(), selectable=True, area=9), -1.0)
    assert not (gone.mask_logits_11HW > 0).any()            # type: ignore[operator]
    assert (float(gone.scores_K[OBJECT_SCORE]), gone.selectable, gone.area, gone.away) == (-1.0, False, 0, True)
    assert float(away(replace(entry(), scores_K=torch.full((6,), -5.0)), -1.0).scores_K[OBJECT_SCORE]) == -5.0


@pytest.mark.parametrize("short", range(4))
def test_candidates_and_pointer_have_to_agree(short: int) -> None:
    nan = float("nan")
    values = [FOUND_SCORE + 0.01, FOUND_IOU, FOUND_STABILITY, FOUND_POINTER]
    score, iou, stability, pointer = values
    assert is_found((iou, score, nan, stability, 0.1, nan), pointer)
    values[short] -= 0.02
    score, iou, stability, pointer = values
    assert not is_found((iou, score, nan, stability, 0.1, nan), pointer)
