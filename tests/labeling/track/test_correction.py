"""An object tracked again within spans: the earlier masks outside them stay, and inside it is followed from its correction."""

import math

import pytest

from labeling import rle
from labeling.jobs import KeptMasks
from labeling.track.correction import FramesWithin, follow_from, follow_within
from labeling.track.predictor import Predictor, arithmetic
from labeling.types import FrameMask, MaskSource, Prompt, PromptSource
from tests.labeling.track.test_follow import SAMPLED, SIZE_HW, DrawnFrames, box, predictor, rows

__all__ = ["predictor"]
DRAWN = rle.from_runs([48 * 20, 48 * 15, 48 * 29], SIZE_HW)


def correction(frame_idx: int) -> Prompt:
    return Prompt(1, frame_idx, mask=DRAWN, source=PromptSource.CORRECTION)


def again(predictor: Predictor, prompts: list[Prompt], kept: KeptMasks, before: list[FrameMask]) -> list[FrameMask]:
    with arithmetic("fp32", device="cpu"):
        found = follow_within(predictor, DrawnFrames(), prompts, kept, before, size_hw=SIZE_HW, deadline=math.inf)
        return [one.mask for one in found]


@pytest.fixture(scope="module")
def before(predictor: Predictor) -> list[FrameMask]:
    """What was tracked from the seed, and from a reviewer's mask on frame 12."""
    return rows(predictor, [box(1, 0), correction(12)])[1]


def test_a_span_is_what_a_preview_of_it_shows_and_the_rest_stays(predictor: Predictor, before: list[FrameMask]) -> None:
    span, corrected = (4, 9), correction(6)
    after = again(predictor, [box(1, 0), corrected, correction(12)], KeptMasks("", (span,), (6,)), before)
    assert [mask.frame_idx for mask in after] == SAMPLED
    assert [mask for mask in after if mask.frame_idx not in (4, 6, 8)] == [before[i] for i in (0, 1, 5, 6, 7, 8)]
    with arithmetic("fp32", device="cpu"):
        inside = FramesWithin(DrawnFrames(), span)
        preview = follow_from(predictor, inside, [corrected], 6, size_hw=SIZE_HW, deadline=math.inf)
        assert after[2:5] == [one.mask for one in preview]
    assert [(mask.frame_idx, mask.rle) for mask in after if mask.source is MaskSource.HUMAN] == [(6, DRAWN), (12, DRAWN)]


@pytest.mark.parametrize(("spans", "corrected", "kept"), [
    (((14, 17),), [14], range(7)), (((0, 5),), [4], range(3, 9)), (((0, 2), (16, 99)), [0, 16], range(1, 8)),
])
def test_forward_backward_and_two_spans(
    predictor: Predictor, before: list[FrameMask], spans: tuple[tuple[int, int], ...], corrected: list[int], kept: range
) -> None:
    prompts = [box(1, 0), *map(correction, corrected), correction(12)]
    after = again(predictor, prompts, KeptMasks("", spans, tuple(corrected)), before)
    assert [mask.frame_idx for mask in after] == SAMPLED
    assert [after[i] for i in kept] == [before[i] for i in kept]
    assert {mask.frame_idx for mask in after if mask.source is MaskSource.HUMAN} == {12, *corrected}


def test_frames_within_are_those_of_the_whole_video() -> None:
    whole, inside = DrawnFrames(), FramesWithin(DrawnFrames(), (3, 11))
    assert tuple(inside.frame_indices) == (4, 6, 8, 10)
    assert (inside[1] == whole[3]).all()
    assert inside.pts_seconds(1) == whole.pts_seconds(3)
    with pytest.raises(IndexError):
        inside[4]
