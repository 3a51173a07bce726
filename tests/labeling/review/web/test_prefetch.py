"""Frames are made ahead: those in doubt first, then the rest of the item in hand; a bad video costs the others nothing."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labeling.review.web.frames import FrameCache
from labeling.review.web.prefetch import Prefetcher, ahead_of
from labeling.types import Video
from tests.labeling.review.web.test_frames import level, video_at

Clip = Callable[..., Path]


def test_what_is_in_doubt_is_made_ahead() -> None:
    frames = list(range(0, 200, 2))
    assert ahead_of(frames, [100], most=16) == frames[48:64]
    assert ahead_of(frames, [2], most=16) == frames[:16]
    assert ahead_of(frames, [198], most=16) == frames[-16:]
    assert ahead_of(frames, [], most=1000) == frames
    assert ahead_of([], [], most=4) == []


def test_a_wish_is_filled_in_the_background_and_a_bad_one_is_passed_over(clip: Clip, tmp_path: Path) -> None:
    good, bad = video_at(str(clip("good.mp4"))), video_at(str(clip("bad.mp4")), num_frames=99)
    cache = FrameCache(tmp_path / "scratch")
    prefetcher = Prefetcher(cache)
    prefetcher.wish(bad, [0, 98], width=64)
    prefetcher.wish(good, [2, 3, 20], width=64)
    waiting = threading.Event()
    for _ in range(600):
        if all(cache.has_jpeg(good, i, width=64) for i in (2, 3, 20)):
            break
        waiting.wait(0.1)
    prefetcher.close()
    assert [cache.has_jpeg(good, i, width=64) for i in (2, 3, 20, 4)] == [True, True, True, False]
    assert abs(level(cache.jpeg(good, 20, width=64)) - 96) < 2.5
    prefetcher.wish(good, [5], width=64)
    assert prefetcher._wishes == []
    cache.close()


def test_what_is_in_doubt_comes_first_then_the_rest_of_the_item_in_hand(clip: Clip, tmp_path: Path) -> None:
    made: list[tuple[str, int]] = []
    begun = threading.Event()

    class Noted(FrameCache):
        def keep_jpeg(self, video: Video, frame_idx: int, rgb_HW3: npt.NDArray[np.uint8]) -> int:
            begun.wait(30)
            made.append((video.ref.key, frame_idx))
            return super().keep_jpeg(video, frame_idx, rgb_HW3)

    cache = Noted(tmp_path / "scratch")
    first = video_at(str(clip("first.mp4")))
    second = video_at(str(clip("second.mp4", num_frames=25)), num_frames=25)
    prefetcher = Prefetcher(cache)
    prefetcher.wish(first, [3, 4], width=64, later=range(24))
    prefetcher.wish(second, [9], width=64, later=range(25))
    begun.set()
    give_up_at = time.monotonic() + 60
    while len(made) < 49 and time.monotonic() < give_up_at:
        threading.Event().wait(0.01)
    prefetcher.close()
    # Whichever was begun with.
    assert sorted(made[:3]) == [("first.mp4", 3), ("first.mp4", 4), ("second.mp4", 9)]
    assert [name for name, _ in made[3:]] == ["first.mp4"] * 22 + ["second.mp4"] * 24
    cache.close()
