"""Frames by index: only of the file that was opened, and without a thread for each that is kept."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sam2.video.decoder import FrameDecoder
from sam2.video.files import UnreadableVideo


def test_a_file_that_changes_is_named_instead_of_other_frames(clip: Callable[..., Path], tmp_path: Path) -> None:
    path, other = clip(), clip("other.mp4", num_frames=30)
    decoder = FrameDecoder(path, "clip.mp4")
    decoder.rgb_HW3(3)
    shutil.copy(other, path)
    for frame_idx in (4, 0):
        with pytest.raises(UnreadableVideo, match=r"clip\.mp4 changed after it was opened; open it again") as refused:
            decoder.rgb_HW3(frame_idx)
        assert refused.value.reason == "source_unavailable"


def test_a_file_that_was_written_over_from_beside_is_named_too(clip: Callable[..., Path]) -> None:
    path, other = clip(), clip("other.mp4", num_frames=30)
    decoder = FrameDecoder(path, "clip.mp4")
    os.replace(other, path)
    with pytest.raises(UnreadableVideo, match="changed after it was opened"):
        decoder.rgb_HW3(0)


def test_a_file_that_went_is_read_on(clip: Callable[..., Path]) -> None:
    path = clip(options={"g": "8", "bf": "2"})
    expected = [FrameDecoder(path, "clip.mp4").rgb_HW3(k) for k in range(24)]
    decoder = FrameDecoder(path, "clip.mp4")
    path.unlink()
    for k in range(24):
        assert np.array_equal(decoder.rgb_HW3(k), expected[k])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_frames_that_are_kept_hold_no_threads(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", num_frames=60, size_hw=(96, 128), options={"g": "60", "bf": "0"})
    decoder = FrameDecoder(path, "a.mkv")
    decoder.rgb_HW3(59)
    before = len(os.listdir("/proc/self/task"))
    for k in reversed(range(60)):
        decoder.rgb_HW3(k)
    assert len(decoder._kept) > 50
    assert len(os.listdir("/proc/self/task")) <= before + 2 * (os.cpu_count() or 1)


def test_frames_in_any_order_where_the_times_say_nothing(clip: Callable[..., Path], tmp_path: Path) -> None:
    """Two recordings in one file, whose times begin anew, and whose groups lean on the ones before."""
    options = {"g": "10", "bf": "3", "x264-params": "open-gop=1:repeat-headers=1:scenecut=0"}
    part = clip("part.ts", num_frames=30, options=options).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    decoder = FrameDecoder(tmp_path / "joined.ts", "joined.ts")
    assert decoder.index.num_frames == 60
    frames = [decoder.rgb_HW3(k) for k in range(60)]
    for k in [*reversed(range(60)), 30, 29, 31, 0, 59]:
        assert np.array_equal(decoder.rgb_HW3(k), frames[k])
