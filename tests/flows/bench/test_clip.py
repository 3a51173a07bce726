"""The measured clip: objects are where their boxes say, and a long clip is a short one played there and back."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from flows.bench.clip import FRAME_RATE, HELD, Looped, draw_bench_clip, write_jpegs
from flows.demo.clips import write_mp4

SIZE_HW = (90, 160)


@pytest.mark.parametrize("objects", [1, 3, 16])
def test_every_object_has_a_box_of_its_own(objects: int) -> None:
    clip = draw_bench_clip(objects, 3, size_hw=SIZE_HW)
    assert len(clip.boxes_xyxy) == objects
    covered = np.zeros(SIZE_HW, int)
    for x0, y0, x1, y1 in clip.boxes_xyxy:
        assert 0 <= x0 < x1 <= SIZE_HW[1]
        assert 0 <= y0 < y1 <= SIZE_HW[0]
        covered[int(y0) : int(y1), int(x0) : int(x1)] += 1
    assert covered.max() == 1
    assert not np.array_equal(clip.frames[0], clip.frames[1])


def test_a_clip_is_the_same_each_time() -> None:
    one, other = (draw_bench_clip(2, 4, size_hw=SIZE_HW) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, other.frames, strict=True))
    assert one.boxes_xyxy == other.boxes_xyxy


def test_a_long_clip_holds_few_frames() -> None:
    frames = draw_bench_clip(1, 200, size_hw=SIZE_HW).frames
    assert len(frames) == 200
    assert len({id(frame) for frame in frames}) == HELD
    assert frames[HELD] is frames[HELD - 2]


def test_frames_go_there_and_back() -> None:
    held = [np.full((2, 2, 3), k, np.uint8) for k in range(3)]
    looped = Looped(held, 8)
    assert [int(frame[0, 0, 0]) for frame in looped] == [0, 1, 2, 1, 0, 1, 2, 1]
    assert [int(frame[0, 0, 0]) for frame in looped[1:4]] == [1, 2, 1]
    assert int(looped[-2][0, 0, 0]) == 2
    with pytest.raises(IndexError, match="frame 8 of a clip of 8"):
        looped[8]
    assert [int(frame[0, 0, 0]) for frame in Looped(held[:1], 3)] == [0, 0, 0]


def test_files_hold_the_frames(tmp_path: Path) -> None:
    frames = draw_bench_clip(1, 5, size_hw=SIZE_HW).frames
    write_mp4(tmp_path / "clip.mp4", frames, Fraction(FRAME_RATE))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    write_jpegs(tmp_path / "jpegs", frames)
    names = sorted(path.name for path in (tmp_path / "jpegs").iterdir())
    assert names == [f"{k:05d}.jpg" for k in range(5)]
    for k, name in enumerate(names):
        jpeg = np.asarray(Image.open(tmp_path / "jpegs" / name))
        for rgb in (decoded[k], jpeg):
            assert np.abs(rgb.astype(int) - frames[k].astype(int)).mean() < 4
