"""Each record refuses what it cannot be, and says name, value and expectation."""

from collections.abc import Callable

import pytest

from labeling.types import RLE, FrameMask, Prompt, PromptSource, ReviewDecision, Verdict, Video, VideoRef

REF = VideoRef(video_id="0123456789abcdef", key="a.mp4", uri="/v/a.mp4", content_id="e", num_bytes=3)
MASK = RLE((2, 2), "04")


def masked(**changed: object) -> FrameMask:
    given = {"frame_idx": 0, "pts_seconds": 0.0, "rle": MASK, "area": 4, "box_xywh": (0, 0, 2, 2)}
    return FrameMask(**{**given, "predicted_iou": 0.9, "object_score": 3.0, **changed})  # type: ignore[arg-type]


BAD: list[tuple[str, Callable[[], object]]] = [
    ("video_id is 'xyz'", lambda: VideoRef("xyz", "a", "/a", "e", 1)),
    ("key is ''", lambda: VideoRef(REF.video_id, "", "/a", "e", 1)),
    ("num_frames is 0", lambda: Video(REF, (2, 2), 25, 0, 1.0, "h264")),  # type: ignore[arg-type]
    ("rotation_degrees is 45", lambda: Video(REF, (2, 2), 25, 1, 1.0, "h264", 45)),  # type: ignore[arg-type]
    ("RLE size_hw is", lambda: RLE((0, 4), "")),
    ("labels is (1, 1)", lambda: Prompt(1, 0, points_xy=((1, 1),), labels=(1, 1))),
    ("labels is (2,)", lambda: Prompt(1, 0, points_xy=((1, 1),), labels=(2,))),
    ("points_xy is", lambda: Prompt(1, 0, points_xy=((float("nan"), 1),), labels=(1,))),
    ("box_xyxy is (5, 0, 2, 2)", lambda: Prompt(1, 0, box_xyxy=(5, 0, 2, 2))),
    ("points_xy with labels, box_xyxy or mask", lambda: Prompt(1, 0)),
    ("mask is 'with points or box'", lambda: Prompt(1, 0, box_xyxy=(0, 0, 1, 1), mask=MASK)),
    ("frame_idx is -1", lambda: Prompt(1, -1, box_xyxy=(0, 0, 1, 1))),
    ("object_id is", lambda: Prompt(2**63, 0, box_xyxy=(0, 0, 1, 1))),
    ("box_xywh is None", lambda: masked(box_xywh=None)),
    ("predicted_iou is nan", lambda: masked(predicted_iou=float("nan"))),
    ("risk is 1.5", lambda: Verdict(REF.video_id, "1", 1, "review", 1.5)),  # type: ignore[arg-type]
    ("action is 'maybe'", lambda: ReviewDecision(REF.video_id, "1", 1, "maybe", "ann", "2026-01-01")),
    ("prompts is 0", lambda: ReviewDecision(REF.video_id, "1", 1, "correct", "ann", "2026-01-01")),
]


@pytest.mark.parametrize(("message", "make"), BAD, ids=[m for m, _ in BAD])
def test_bad_values_are_named(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_correction_keeps_its_clicks_beside_the_mask() -> None:
    prompt = Prompt(1, 0, points_xy=((1, 1),), labels=(1,), mask=MASK, source=PromptSource.CORRECTION)
    assert prompt.mask == MASK


def test_an_empty_mask_is_not_visible() -> None:
    assert masked().visible
    assert not masked(area=0, box_xywh=None).visible
