"""Frames that the caller has in hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.video.frames import HELD_BY_WINDOW, FrameList, PassingFrames
from sam2.video.source import shrink

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 12, 16, 3), np.uint8)


def given_once(frames: np.ndarray) -> Iterator[np.ndarray]:
    yield from frames


@pytest.mark.parametrize(
    "frames", [FRAMES, torch.from_numpy(FRAMES), list(FRAMES), [Image.fromarray(f) for f in FRAMES]]
)
def test_a_sequence_gives_any_frame(frames: object) -> None:
    source = FrameList(frames, side=32)
    assert (source.num_frames, source.size_hw, source.one_pass) == (20, (12, 16), False)
    for frame_idx in (7, 19, 0):
        np.testing.assert_array_equal(source.rgb_SS3(frame_idx), shrink(FRAMES[frame_idx], 32))
    assert not source.reaches(20)


def test_an_iterator_is_read_no_further_than_asked() -> None:
    taken = []
    source = PassingFrames((taken.append(k) or f for k, f in enumerate(FRAMES)), side=32, hold_all=True)
    assert taken == [0]
    assert source.num_frames is None
    assert source.reaches(4)
    assert taken == [0, 1, 2, 3, 4]
    assert source.holds(4)
    assert not source.holds(5)


def test_the_length_is_known_at_the_end() -> None:
    source = PassingFrames(given_once(FRAMES), side=32, hold_all=True)
    assert not source.reaches(20)
    assert source.num_frames == 20
    np.testing.assert_array_equal(source.rgb_SS3(3), shrink(FRAMES[3], 32))


def test_a_window_holds_the_newest_frames() -> None:
    source = PassingFrames(given_once(FRAMES), side=32, hold_all=False)
    assert source.reaches(18)
    assert [k for k in range(20) if source.holds(k)] == list(range(19 - HELD_BY_WINDOW, 19))
    np.testing.assert_array_equal(source.rgb_SS3(18), shrink(FRAMES[18], 32))
    with pytest.raises(ValueError, match="frame 1 .* has passed"):
        source.rgb_SS3(1)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((12, 16), np.uint8), "shape"),
        (np.zeros((12, 16, 4), np.uint8), "shape"),
        (np.zeros((12, 16, 3), np.float32), "float32"),
        (np.zeros((0, 16, 3), np.uint8), "shape"),
        ("frame.jpg", "expected uint8 RGB"),
    ],
)
def test_what_is_not_a_frame(frame: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"frame 0 .*{said}"):
        FrameList([frame], side=32)
    source = PassingFrames(iter([FRAMES[0], frame]), side=32, hold_all=True)
    with pytest.raises(ValueError, match=f"frame 1 .*{said}"):
        source.reaches(1)


def test_nothing_at_all() -> None:
    with pytest.raises(ValueError, match="the video is empty"):
        FrameList([], side=32)
    with pytest.raises(ValueError, match="the video is empty"):
        PassingFrames(iter([]), side=32, hold_all=True)
