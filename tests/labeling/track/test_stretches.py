"""Stretches between prompted frames: which legs there are, where two answers are joined, and what a prompt reaches."""

from dataclasses import replace

import numpy as np
import pytest

from labeling import rle
from labeling.config import PromptScope, TrackDirection
from labeling.errors import BadInput
from labeling.track.predictor import Predictor
from labeling.track.stretches import joined, legs_of, scope_of, seam
from labeling.types import LOOKS, FrameMask, MaskSource, Prompt, PromptSource
from tests.labeling.track.test_follow import SAMPLED, SIZE_HW, box, indices, predictor, rows

__all__ = ["predictor"]

# A look compares with the first mask of the pass, which is of another stretch; pointers with those of all prompts.
UNSEEN = dict.fromkeys((*LOOKS, "pointer_similarity"))
STRETCH, ALL = PromptScope.stretch, PromptScope.all
BOTH, FORWARD, BACKWARD = TrackDirection.both, TrackDirection.forward, TrackDirection.backward


def drawn(frame_idx: int, left: int) -> Prompt:
    mask_HW = np.zeros(SIZE_HW, bool)
    mask_HW[10:30, left : left + 20] = True
    return Prompt(1, frame_idx, mask=rle.encode(mask_HW), source=PromptSource.CORRECTION, scope=STRETCH)


def frame(frame_idx: int, left: int) -> FrameMask:
    runs = drawn(frame_idx, left).mask
    assert runs is not None
    return FrameMask(frame_idx, frame_idx / 25, runs, rle.area(runs), rle.box_xywh(runs), 0.9, 4.0)


def test_a_leg_ends_at_the_last_prompt_in_its_way_where_nothing_lies_outside() -> None:
    batch = {1: [box(1, 4), box(1, 8), box(1, 14)]}
    assert [leg.stop for leg in legs_of(batch, within=True, reverse=False)] == [14]
    assert [leg.stop for leg in legs_of(batch, within=True, reverse=True)] == [4]
    assert [leg.stop for leg in legs_of(batch, within=False, reverse=True)] == [None]


def test_two_answers_are_joined_where_they_agree_best() -> None:
    forward = [frame(at, 5) for at in range(1, 6)]
    backward = {at: frame(at, left) for at, left in zip(range(1, 6), (40, 25, 15, 6, 12), strict=True)}
    one = joined(forward, backward)
    assert [mask.rle for mask in one] == [*(mask.rle for mask in forward[:4]), backward[5].rle]
    assert [mask.agreement for mask in one] == pytest.approx([0, 0, 1 / 3, 19 / 21, 13 / 27])


def test_of_frames_that_agree_alike_the_one_nearest_to_the_middle_is_the_seam() -> None:
    assert seam([0.99, 1.0, 0.985, 0.2, 0.1]) == 2
    assert seam([0.3, 0.1, 0.9, 0.95, 0.96]) == 3
    assert seam([1.0, 1.0]) == 0
    assert seam([]) == -1
    assert joined([], {}) == []


def test_one_prompt_that_says_stretch_says_it_of_its_object() -> None:
    two = [box(1, 0), box(1, 6)]
    assert (scope_of(two, ALL), scope_of(two, STRETCH)) == (ALL, STRETCH)
    assert scope_of([two[0], drawn(6, 5)], ALL) is STRETCH
    assert scope_of([replace(two[0], scope=ALL), two[1]], STRETCH) is ALL
    assert scope_of([box(1, 4), drawn(4, 5)], STRETCH) is ALL, "one frame"


@pytest.mark.parametrize(("direction", "first", "last"), [(FORWARD, 4, 16), (BACKWARD, 0, 12), (BOTH, 0, 16)])
def test_rows_come_once_and_in_ascending_frames(
    predictor: Predictor, direction: TrackDirection, first: int, last: int
) -> None:
    found = rows(predictor, [box(1, 4), box(1, 12), box(2, 4), box(3, 12)], direction=direction, scope=STRETCH, max_objects=2)
    assert indices(found[1]) == [at for at in SAMPLED if first <= at <= last]
    agreed = [mask.frame_idx for mask in found[1] if mask.agreement is not None]
    assert agreed == [6, 8, 10], "between the prompts alone"
    plain = rows(predictor, [box(2, 4), box(3, 12)], direction=direction)
    assert (indices(found[2]), indices(found[3])) == (indices(plain[2]), indices(plain[3]))


def test_no_tracking_crosses_a_prompted_frame(predictor: Predictor) -> None:
    plain = rows(predictor, [box(1, 0), drawn(6, 14), box(1, 12)], direction=BOTH)[1]
    other = rows(predictor, [box(1, 0), drawn(6, 14), Prompt(1, 12, box_xyxy=(30, 2, 60, 46))], direction=BOTH)[1]
    behind, before = [[replace(m, **UNSEEN) for m in masks if m.frame_idx <= 6] for masks in (plain, other)]
    assert behind == before, "a prompt on frame 12 says nothing of what lies behind the mask on frame 6"
    assert plain[SAMPLED.index(6)].source is MaskSource.HUMAN
    assert plain[SAMPLED.index(8):] != other[SAMPLED.index(8):]


def test_each_answer_knows_nothing_of_the_other(predictor: Predictor) -> None:
    found = rows(predictor, [box(1, 0), box(1, 10)], scope=STRETCH)[1]
    forward = {mask.frame_idx: mask for mask in rows(predictor, [box(1, 0)])[1]}
    backward = {mask.frame_idx: mask for mask in rows(predictor, [box(1, 10)], direction=BACKWARD)[1]}
    for mask in found[1:5]:
        assert mask.agreement == rle.iou(forward[mask.frame_idx].rle, backward[mask.frame_idx].rle)
        assert mask.rle in (forward[mask.frame_idx].rle, backward[mask.frame_idx].rle)
    assert [mask.rle for mask in found[5:]] == [mask.rle for mask in rows(predictor, [box(1, 10)])[1]]


def test_an_object_that_is_refused_on_one_frame_goes_as_a_whole(predictor: Predictor) -> None:
    class Picky:
        init_state, propagate, remove_object = predictor.init_state, predictor.propagate, predictor.remove_object

        def add_new_points_or_box(self, state: object, frame_idx: int, obj_id: int, **given: object) -> None:
            if frame_idx == 4:
                raise ValueError("no such thing")
            predictor.add_new_points_or_box(state, frame_idx, obj_id, **given)

    refused: dict[int, BadInput] = {}
    prompts = [box(1, 0), box(1, 8), box(1, 14), box(2, 0), box(2, 14)]
    found = rows(Picky(), prompts, refused=refused, direction=BOTH, scope=STRETCH)  # type: ignore[arg-type]
    assert (sorted(found), list(refused)) == ([2], [1])
