"""Few videos stay open, none while it is in use is closed, and copies go with them."""

import io
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from labeling.errors import BadInput
from labeling.ingest.listing import ref_of
from labeling.objects import open_objects
from labeling.review.web.frames import FrameCache, Prefetcher, ahead_of, shown_width
from labeling.types import Video

Clip = Callable[..., Path]


def video_at(uri: str, *, num_frames: int = 24, size_hw: tuple[int, int] = (48, 64)) -> Video:
    return Video(ref_of(uri), size_hw, Fraction(12), num_frames, num_frames / 12, "h264")


def level(jpeg: bytes) -> float:
    return float(np.median(np.asarray(Image.open(io.BytesIO(jpeg)))[:4]))


def test_frames_of_many_videos_in_any_order(clip: Clip, tmp_path: Path) -> None:
    videos = [video_at(str(clip(f"{k}.mp4", num_frames=24 + k)), num_frames=24 + k) for k in range(4)]
    cache = FrameCache(tmp_path / "scratch", open_videos=2)
    for frame_idx in (20, 3, 11):
        for video in videos:
            assert abs(level(cache.jpeg(video, frame_idx, width=64)) - (16 + 4 * frame_idx)) < 2.5
    assert len(cache._opened) == 2
    cache.close()
    assert abs(level(cache.jpeg(videos[0], 5, width=64)) - 36) < 2.5
    cache.close()


def test_a_video_in_use_stays_open(clip: Clip, tmp_path: Path) -> None:
    videos = [video_at(str(clip(f"{k}.mp4"))) for k in range(3)]
    cache = FrameCache(tmp_path / "scratch", open_videos=1)
    with cache.reading(videos[0], [3, 4, 9]) as reader:
        for video in videos[1:]:
            cache.rgb(video, 0)
        assert abs(float(np.median(reader[2][:4])) - (16 + 4 * 9)) < 2.5
    cache.close()


def test_many_threads_ask_at_once(clip: Clip, tmp_path: Path) -> None:
    videos = [video_at(str(clip(f"{k}.mp4"))) for k in range(3)]
    cache = FrameCache(tmp_path / "scratch", open_videos=1)
    wrong: list[object] = []

    def ask(seed: int) -> None:
        for k in np.random.default_rng(seed).integers(0, 24, 12):
            shown_level = level(cache.jpeg(videos[int(k) % 3], int(k), width=64))
            if abs(shown_level - (16 + 4 * k)) > 2.5:
                wrong.append((k, shown_level))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    cache.close()


def test_copies_from_s3_go_with_the_cache(clip: Clip, tmp_path: Path, s3: str) -> None:
    open_objects(s3).put_file("a.mp4", clip("a.mp4"))
    video, scratch = video_at(f"{s3}/a.mp4"), tmp_path / "scratch"
    cache = FrameCache(scratch, cap_bytes=1 << 20)
    assert abs(level(cache.jpeg(video, 7, width=64)) - 44) < 2.5
    assert len(list(scratch.rglob("*.mp4"))) == 1
    cache.close()
    assert list(scratch.rglob("*.mp4")) == []
    tight = FrameCache(scratch, cap_bytes=100)
    with pytest.raises(BadInput, match="scratch_cap_gib"):
        tight.jpeg(video, 7, width=64)


def test_widths_are_few_and_never_above_the_videos() -> None:
    video = Video(ref_of(__file__), (1080, 1920), Fraction(30), 1, 1.0, "h264")
    asked = (16, 160, 161, 1280, 1281, 1920, 4096)
    assert [shown_width(width, video) for width in asked] == [160, 160, 320, 1280, 1920, 1920, 1920]


def test_a_frame_is_scaled_to_the_width_that_was_asked_for(clip: Clip, tmp_path: Path) -> None:
    cache, video = FrameCache(tmp_path / "scratch"), video_at(str(clip("a.mp4")))
    small = Image.open(io.BytesIO(cache.jpeg(video, 9, width=32)))
    whole = Image.fromarray(cache.rgb(video, 9)).resize((32, 24), Image.Resampling.BOX)
    assert small.size == (32, 24)
    assert float(np.abs(np.asarray(small).astype(float) - np.asarray(whole)).mean()) < 5
    cache.close()


def test_what_is_in_doubt_is_made_ahead() -> None:
    frames = list(range(0, 200, 2))
    assert ahead_of(frames, [100], most=16) == frames[48:64]
    assert ahead_of(frames, [2], most=16) == frames[:16]
    assert ahead_of(frames, [198], most=16) == frames[-16:]
    assert ahead_of(frames, [], most=1000) == frames
    assert ahead_of([], [], most=4) == []


def test_a_request_is_filled_in_the_background_and_a_bad_one_is_passed_over(clip: Clip, tmp_path: Path) -> None:
    good, bad = video_at(str(clip("good.mp4"))), video_at(str(clip("bad.mp4")), num_frames=99)
    cache = FrameCache(tmp_path / "scratch")
    prefetcher = Prefetcher(cache)
    prefetcher.request(bad, [0, 98], width=64)
    prefetcher.request(good, [2, 3, 20], width=64)
    waiting = threading.Event()
    for _ in range(600):
        if all(cache.has_jpeg(good, i, width=64) for i in (2, 3, 20)):
            break
        waiting.wait(0.1)
    prefetcher.close()
    assert [cache.has_jpeg(good, i, width=64) for i in (2, 3, 20, 4)] == [True, True, True, False]
    assert abs(level(cache.jpeg(good, 20, width=64)) - 96) < 2.5
    prefetcher.request(good, [5], width=64)
    assert prefetcher._requests == []
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
    prefetcher.request(first, [3, 4], width=64, later=range(24))
    prefetcher.request(second, [9], width=64, later=range(25))
    begun.set()
    give_up_at = time.monotonic() + 60
    while len(made) < 49 and time.monotonic() < give_up_at:
        threading.Event().wait(0.01)
    prefetcher.close()
    # Whichever was begun with.
    assert sorted(made[:3]) == [("first.mp4", 3), ("first.mp4", 4), ("second.mp4", 9)]
    assert [name for name, _ in made[3:]] == ["first.mp4"] * 22 + ["second.mp4"] * 24
    cache.close()
