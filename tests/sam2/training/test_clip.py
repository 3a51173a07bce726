"""Clips refuse what does not fit together, and say which clip it was."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from sam2.training.clip import Clip

FRAMES = np.zeros((3, 8, 10, 3), np.uint8)
MASKS = np.zeros((2, 3, 8, 10), np.bool_)


def test_keeps_what_it_was_given() -> None:
    clip = Clip(FRAMES, MASKS, "a clip")
    assert clip.frames_THW3 is FRAMES
    assert clip.masks_NTHW is MASKS
    with pytest.raises(FrozenInstanceError):
        clip.name = "another"  # type: ignore[misc]


def test_may_hold_no_object() -> None:
    assert len(Clip(FRAMES, MASKS[:0], "empty").masks_NTHW) == 0


@pytest.mark.parametrize(
    "frames",
    [FRAMES.astype(np.float32), FRAMES[..., :1], FRAMES[0], FRAMES[:0]],
    ids=["dtype", "grey", "one frame", "no frame"],
)
def test_refuses_frames(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^seven: frames are .*; expected uint8 \(T, H, W, 3\)"):
        Clip(frames, MASKS, "seven")


@pytest.mark.parametrize(
    "masks", [MASKS.astype(np.uint8), MASKS[0], MASKS[:, :2], MASKS[..., :9]], ids=["dtype", "one object", "frames", "width"]
)
def test_refuses_masks(masks: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^seven: masks are .*; expected bool \(N, \*\(3, 8, 10\)\)"):
        Clip(FRAMES, masks, "seven")
