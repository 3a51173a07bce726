"""Follows prompts through a clip with the real nano network, untrained: which rows come, in which order, from what."""

import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackDirection, TrackerConfig
from labeling.errors import BadInput, DeadlineExceeded
from labeling.track.follow import follow
from labeling.track.predictor import Predictor, arithmetic, build_predictor, recipe_of
from labeling.track.prompts import check_prompts
from labeling.types import LOOKS, RLE, FrameMask, MaskSource, Prompt, PromptSource

SIZE_HW = (48, 64)
NUM_FRAMES = 9
STRIDE = 2


class DrawnFrames(Sequence[npt.NDArray[np.uint8]]):
    """Every second frame of a clip drawn by formula: a bright square that moves right."""

    frame_indices = tuple(range(0, NUM_FRAMES * STRIDE, STRIDE))

    def __len__(self) -> int:
        return NUM_FRAMES

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        if not 0 <= position < NUM_FRAMES:
            raise IndexError(position)
        rgb_HW3 = np.full((*SIZE_HW, 3), 40, np.uint8)
        rgb_HW3[10:30, 5 + 3 * position : 25 + 3 * position] = (220, 180, 60)
        return rgb_HW3

    def pts_seconds(self, position: int) -> float:
        return position * STRIDE / 25


def nano() -> Predictor:
    recipe = recipe_of(NetworkConfig(allow_untrained=True), PrecisionConfig(), TrackerConfig())
    return build_predictor(recipe, None, device="cpu")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return nano()


def box(object_id: int, frame_idx: int) -> Prompt:
    return Prompt(object_id, frame_idx, box_xyxy=(5, 10, 25, 30))


def rows(predictor: Predictor, prompts: list[Prompt], **options: object) -> dict[int, list[FrameMask]]:
    found: dict[int, list[FrameMask]] = defaultdict(list)
    with arithmetic("fp32", device="cpu"):
        tracked = follow(predictor, DrawnFrames(), prompts, size_hw=SIZE_HW, **options)  # type: ignore[arg-type]
        for one in tracked:
            found[one.object_id].append(one.mask)
    return found


def indices(masks: list[FrameMask]) -> list[int]:
    return [mask.frame_idx for mask in masks]


SAMPLED = list(DrawnFrames.frame_indices)


def test_each_object_has_rows_from_its_prompt_on(predictor: Predictor) -> None:
    found = rows(predictor, [box(1, 0), box(7, 6)])
    assert indices(found[1]) == SAMPLED
    assert indices(found[7]) == [i for i in SAMPLED if i >= 6]
    assert found[1][3].pts_seconds == pytest.approx(6 / 25)
    assert all(mask.rle.size_hw == SIZE_HW and mask.area == rle.area(mask.rle) for mask in found[1])


def test_backward_rows_come_in_ascending_frames(predictor: Predictor) -> None:
    assert indices(rows(predictor, [box(1, 10)], direction=TrackDirection.backward)[1]) == [0, 2, 4, 6, 8, 10]


def test_both_ways_is_the_two_joined_at_the_prompt(predictor: Predictor) -> None:
    both = rows(predictor, [box(1, 8)], direction=TrackDirection.both)[1]
    forward = rows(predictor, [box(1, 8)])[1]
    backward = rows(predictor, [box(1, 8)], direction=TrackDirection.backward)[1]
    assert indices(both) == SAMPLED
    assert both == backward[:-1] + forward


def test_small_batches_give_the_same_objects(predictor: Predictor) -> None:
    prompts = [box(3, 4), box(1, 0), box(2, 0)]
    together, apart = rows(predictor, prompts), rows(predictor, prompts, max_objects=1)
    assert {o: indices(m) for o, m in together.items()} == {o: indices(m) for o, m in apart.items()}
    for object_id in (1, 2, 3):
        scores = [(a.object_score, b.object_score) for a, b in zip(together[object_id], apart[object_id], strict=True)]
        assert np.abs(np.diff(scores)).max() < 1e-4


def test_a_reviewers_mask_is_kept_as_it_is(predictor: Predictor) -> None:
    drawn_HW = np.zeros(SIZE_HW, bool)
    drawn_HW[12:28, 11:29] = True
    correction = Prompt(
        1, 4, points_xy=((20, 20),), labels=(1,), mask=rle.encode(drawn_HW), source=PromptSource.CORRECTION
    )
    found = rows(predictor, [box(1, 0), box(1, 4), correction])[1]
    assert found[2].source is MaskSource.HUMAN
    assert found[2].rle == correction.mask
    assert {mask.source for mask in found[:2] + found[3:]} == {MaskSource.MODEL}


def test_a_box_and_clicks_on_one_frame_work_together(predictor: Predictor) -> None:
    clicks = Prompt(1, 0, points_xy=((15, 20), (40, 40)), labels=(1, 0))
    with_clicks, alone = rows(predictor, [clicks, box(1, 0)])[1], rows(predictor, [box(1, 0)])[1]
    assert indices(with_clicks) == SAMPLED
    assert with_clicks[0].predicted_iou != alone[0].predicted_iou


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (box(1, 3), "object 1, frame 3: that frame is not sampled; the nearest sampled one is"),
        (box(1, 40), "object 1, frame 40: the video's frames to track run from 0 to 16"),
        (Prompt(2, 0, box_xyxy=(70, 0, 80, 9)), "box (70, 0, 80, 9) misses the frame of 64 x 48"),
        (Prompt(2, 0, points_xy=((5, 49),), labels=(1,)), "point (5, 49) lies outside the frame of 64 x 48"),
        (Prompt(2, 0, mask=rle.empty((9, 9))), "the mask is (9, 9) (h, w), the video (48, 64)"),
    ],
    ids=["not sampled", "past the end", "box outside", "point outside", "mask of another size"],
)
def test_prompts_that_do_not_fit_are_named(prompt: Prompt, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_prompts([prompt], SAMPLED, SIZE_HW)
    assert message in str(caught.value)
    assert caught.value.reason == "bad_prompt"


def test_a_box_that_reaches_past_the_frame_is_clipped(predictor: Predictor) -> None:
    reaching, inside = Prompt(1, 0, box_xyxy=(-9, 10, 30, 200)), Prompt(1, 0, box_xyxy=(0, 10, 30, 48))
    assert check_prompts([reaching], SAMPLED, SIZE_HW) == {1: [inside]}
    assert rows(predictor, [reaching])[1] == rows(predictor, [inside])[1]


def test_a_prompt_that_does_not_fit_costs_its_object_alone() -> None:
    refused: dict[int, BadInput] = {}
    broken = Prompt(4, 0, mask=RLE(SIZE_HW, "1"))
    late, empty = [box(2, 0), box(2, 40)], Prompt(3, 0, mask=rle.empty(SIZE_HW))
    assert list(check_prompts([box(1, 0), *late, empty, broken], SAMPLED, SIZE_HW, refused)) == [1]
    assert list(refused) == [2, 3, 4]
    assert "object 3, frame 0: the mask is empty" in str(refused[3])
    absent = Prompt(1, 0, mask=rle.empty(SIZE_HW), source=PromptSource.CORRECTION)
    assert list(check_prompts([absent], SAMPLED, SIZE_HW)) == [1]


def test_what_the_predictor_refuses_costs_its_object_alone(predictor: Predictor) -> None:
    class Picky:
        init_state, propagate, remove_object = predictor.init_state, predictor.propagate, predictor.remove_object

        def add_new_points_or_box(self, state: object, frame_idx: int, obj_id: int, **given: object) -> None:
            predictor.add_new_points_or_box(state, frame_idx, obj_id, **given)
            if obj_id == 2 and frame_idx == 4:
                raise ValueError("no such thing")

    refused: dict[int, BadInput] = {}
    prompts = [box(1, 0), box(2, 0), box(2, 8), box(3, 2)]
    for direction in (TrackDirection.forward, TrackDirection.both):
        found = rows(Picky(), prompts, refused=refused, direction=direction)  # type: ignore[arg-type]
        assert (sorted(found), list(refused)) == ([1, 3], [2])
        assert indices(found[1]) == SAMPLED


def test_what_the_predictor_refuses_is_a_bad_prompt(predictor: Predictor) -> None:
    class Refusing:
        init_state = staticmethod(predictor.init_state)

        def add_new_points_or_box(self, *_: object, **__: object) -> None:
            raise ValueError("no such thing")

    with pytest.raises(BadInput, match="object 1, frame 0: no such thing"):
        rows(Refusing(), [box(1, 0)])  # type: ignore[arg-type]


def test_a_deadline_that_has_passed_ends_the_video(predictor: Predictor) -> None:
    with pytest.raises(DeadlineExceeded, match="time limit passed"):
        rows(predictor, [box(1, 0)], deadline=1.0)
    assert rows(predictor, [box(1, 14)], deadline=math.inf)


def test_frames_stream(predictor: Predictor) -> None:
    seen: list[int] = []

    class Counting(DrawnFrames):
        def __getitem__(self, position):  # type: ignore[no-untyped-def]
            seen.append(position)
            return super().__getitem__(position)

    def first_rows() -> Iterator[object]:
        with arithmetic("fp32", device="cpu"):
            yield from follow(predictor, Counting(), [box(1, 0)], size_hw=SIZE_HW)

    stream = first_rows()
    next(stream)
    assert max(seen) <= 2, "the whole clip was read before the first mask"
    stream.close()


# Threads that Python did not start, before a predictor is built and while it follows.
TEAMS = """
import os, threading
import torch
from tests.labeling.track.test_follow import SIZE_HW, DrawnFrames, box, follow, nano

def foreign():
    return len(os.listdir("/proc/self/task")) - threading.active_count()

torch.set_num_threads(2)
before = foreign()
for _ in follow(nano(), DrawnFrames(), [box(1, 0), box(2, 4)], size_hw=SIZE_HW):
    during = foreign()
print(during - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux shows them")
def test_two_threads_follow_and_no_team_beside_theirs() -> None:
    done = subprocess.run([sys.executable, "-c", TEAMS], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "1\n", "the network's thread and its mate, and no team of the thread that built it"


def test_looks_come_with_every_mask(predictor: Predictor) -> None:
    both = rows(predictor, [box(1, 0), Prompt(2, 0, box_xyxy=(30, 32, 50, 44))])
    alone = rows(predictor, [box(1, 0)])
    # on its first frame an object may come before the others' seeds
    for mask in (mask for masks in both.values() for mask in masks[1:] if mask.visible):
        assert None not in [getattr(mask, name) for name in LOOKS]
    first = alone[1][0]
    assert first.look_seed == pytest.approx(1.0, abs=1e-4)
    assert first.colour_seed == pytest.approx(1.0, abs=1e-4)
    assert {(mask.look_other, mask.colour_other) for mask in alone[1]} == {(None, None)}
