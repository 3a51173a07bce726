"""Every frame once, in order, upright, and the same as PyAV's plain decoding; any frame on demand."""

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from labeling.errors import BadInput
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.probe import probe
from labeling.types import Video, VideoRef
from tests.fixtures_clips import drawn_frame
from tests.labeling.ingest.test_probe import turned_clip
from tests.sam2.video.test_file_index import BF, KINDS, VFR, remuxed

Image8 = npt.NDArray[np.uint8]


def probed(path: Path) -> Video:
    return probe(VideoRef("0" * 16, path.name, f"s3://bucket/{path.name}", "c", 1), path)


def plain(path: Path) -> list[Image8]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def reader_of(path: Path, indices: Any = None, **how: Any) -> FrameReader:
    video = probed(path)
    return FrameReader(path, video, range(video.num_frames) if indices is None else indices, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_once_in_every_direction(kind: str, clip: Callable[..., Path]) -> None:
    name, how, _ = KINDS[kind]
    path = clip(name, **how)
    expected = plain(path)
    with reader_of(path) as reader:
        assert len(reader) == len(expected) == how.get("num_frames", 24)
        assert all(np.array_equal(a, b) for a, b in zip(reader, expected, strict=True))
        assert all(np.array_equal(reader[i], expected[i]) for i in reversed(range(len(expected))))
        order = [*range(len(expected)), *range(len(expected))]
        random.Random(0).shuffle(order)
        assert all(np.array_equal(reader[i], expected[i]) for i in order)


def test_frames_are_those_that_were_drawn(clip: Callable[..., Path]) -> None:
    """Against the drawing itself, so that plain decoding is not the only witness: each level says its index."""
    with reader_of(clip(options={**BF, "qp": "1"})) as reader:
        for i, rgb_HW3 in enumerate(reader):
            assert rgb_HW3.dtype == np.uint8
            assert int(rgb_HW3[:8].mean()) == pytest.approx(int(drawn_frame(i, (48, 64))[:8].mean()), abs=2)


def test_sampled_frames_carry_their_own_index_and_time(clip: Callable[..., Path]) -> None:
    path = clip(**VFR)
    expected = plain(path)
    with reader_of(path, (1, 4, 11)) as reader:
        assert len(reader) == 3
        assert [round(reader.pts_seconds(i), 6) for i in range(3)] == [0.1, 0.31, 1.2]
        assert np.array_equal(reader[-1], expected[11])
        assert [np.array_equal(a, expected[i]) for a, i in zip(reader[0:2], (1, 4), strict=True)] == [True, True]
        with pytest.raises(IndexError):
            reader[3]


@pytest.mark.parametrize(
    ("degrees", "mirror", "turned"),
    [
        (90, {}, lambda a: np.rot90(a)),
        (-90, {}, lambda a: np.rot90(a, -1)),
        (180, {}, lambda a: np.rot90(a, 2)),
        (0, {"hflip": True}, lambda a: a[:, ::-1]),
    ],
)
def test_frames_come_upright(
    degrees: float, mirror: dict[str, bool], turned: Callable[[Image8], Image8], tmp_path: Path
) -> None:
    path = turned_clip(tmp_path / "turned.mp4", degrees, **mirror)
    with reader_of(path) as reader:
        assert reader[0].shape[:2] == probed(path).size_hw
        for got, stored in zip(reader, plain(path), strict=True):
            assert np.array_equal(got, turned(stored))
            assert got.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none"}}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "gray10le"}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuva444p"}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p", "size_hw": (47, 63)}),
    ],
)
def test_any_pixel_format_becomes_rgb(name: str, how: dict[str, Any], clip: Callable[..., Path]) -> None:
    path = clip(name, **how)
    with reader_of(path) as reader:
        for got, expected in zip(reader, plain(path), strict=True):
            assert (got.shape, got.dtype) == ((*how.get("size_hw", (48, 64)), 3), np.uint8)
            assert np.array_equal(got, expected)


def test_few_frames_are_kept_and_backwards_is_still_right(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=40, options={"g": "40", "bf": "2"})
    expected = plain(path)
    one_frame = 48 * 64 * 3 // 2
    with reader_of(path, kept_bytes=5 * one_frame) as reader:
        for i in reversed(range(40)):
            assert np.array_equal(reader[i], expected[i])
            assert len(reader._decoder._kept) <= 5


def test_backwards_decodes_a_group_at_a_time(clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(num_frames=40, options={"g": "10", "bf": "0", "sc_threshold": "0"})
    with reader_of(path) as reader:
        decoded = []
        keep = reader._decoder._keep
        monkeypatch.setattr(reader._decoder, "_keep", lambda at, frame: (decoded.append(at), keep(at, frame)))
        for i in reversed(range(40)):
            reader[i]
    assert len(decoded) <= 41  # each frame once, but for the first that was asked for


def test_a_sparse_sample_is_sought(clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(num_frames=60, options={"g": "10", "sc_threshold": "0"})
    expected = plain(path)
    with reader_of(path, (0, 30, 59)) as reader:
        passed = []
        frames_up_to = reader._decoder._passage.frames_up_to

        def counted(frame_idx: int, **how: Any) -> Any:
            for at, frame in frames_up_to(frame_idx, **how):
                passed.append(at)
                yield at, frame

        monkeypatch.setattr(reader._decoder._passage, "frames_up_to", counted)
        assert all(np.array_equal(reader[i], expected[idx]) for i, idx in enumerate((0, 30, 59)))
    assert len(passed) <= 1 + 1 + 10


def test_on_a_long_way_frames_that_no_other_needs_are_not_decoded(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=60, options={"g": "60", "bf": "3", "b-adapt": "0"})
    expected = plain(path)
    with reader_of(path, kept_bytes=1) as reader:
        passed = [at for at, _ in reader._decoder._passage.frames_up_to(50, shown_from=50)]
        assert passed[-1] == 50
        assert len(passed) < 40
        for i in (0, 50, 59, 20, 57, 58, 31):
            assert np.array_equal(reader[i], expected[i])


def test_a_stream_without_times_is_read_by_order(clip: Callable[..., Path], tmp_path: Path) -> None:
    raw = remuxed(clip(options=BF), tmp_path / "raw.h264")
    expected = plain(raw)
    with reader_of(raw) as reader:
        assert len(reader) == 24
        for i in (0, 5, 23, 4, 22):
            assert np.array_equal(reader[i], expected[i])


def test_a_change_of_size_keeps_the_first_size(clip: Callable[..., Path], tmp_path: Path) -> None:
    small = remuxed(clip("s.mp4", options={"bf": "0"}), tmp_path / "s.h264")
    large = remuxed(clip("l.mp4", options={"bf": "0"}, size_hw=(96, 128)), tmp_path / "l.h264")
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with reader_of(both) as reader:
        assert len(reader) == 48
        assert {frame.shape for frame in reader} == {(48, 64, 3)}


def test_a_file_that_breaks_in_the_middle_says_at_which_frame(clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip(num_frames=48, options={"bf": "0", "g": "12"}, container_options={"movflags": "faststart"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    body = bytearray(path.read_bytes())
    position, num_bytes = packets[30]
    body[position:position + num_bytes] = b"\xff" * num_bytes
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(body))
    with reader_of(broken) as reader:
        assert all(reader[i].shape == (48, 64, 3) for i in range(30))
        with pytest.raises(BadInput, match=r"s3://bucket/broken.mp4 breaks at frame 30 of 48") as got:
            reader[30]
    assert got.value.reason == "decode_error"


def test_a_file_that_got_shorter_since_it_was_probed_is_refused(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=48, container_options={"movflags": "faststart"})
    video = probed(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(BadInput, match=r"breaks at frame \d+ of 48") as got:
        FrameReader(path, video, range(48))
    assert got.value.reason == "decode_error"


@pytest.mark.parametrize("indices", [(), (0, 24), (3, 2), (1, 1), (-1, 0)])
def test_indices_that_make_no_sense_are_refused(indices: tuple[int, ...], clip: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="frame_indices are"):
        reader_of(clip(), indices)


def test_closing_twice_is_fine(clip: Callable[..., Path]) -> None:
    reader = reader_of(clip())
    reader.close()
    reader.close()


def sampled(path: Path, time_range: Any = None, stride: int = 1) -> list[int]:
    return list(sampled_frames(path, probed(path), time_range=time_range, frame_stride=stride))


def test_sampling_by_time_and_stride(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=24, rate=12, options=BF)
    assert sampled(path) == list(range(24))
    assert sampled(path, None, 7) == [0, 7, 14, 21]
    assert sampled(path, [0.5, 1.0]) == [6, 7, 8, 9, 10, 11]  # 12 lies at 1.0 s, which is not in it
    assert sampled(path, [0.51, None], 5) == [7, 12, 17, 22]
    assert sampled(path, [None, 0.2]) == [0, 1, 2]
    assert sampled(path, [None, None]) == list(range(24))


def test_sampling_a_variable_rate_goes_by_time(clip: Callable[..., Path]) -> None:
    assert sampled(clip(**VFR), [0.3, 0.71]) == [3, 4, 5, 6]


def test_sampling_counts_from_the_files_start(clip: Callable[..., Path]) -> None:
    assert sampled(clip("late.ts", options=BF), [0, 0.25]) == [0, 1, 2]


def test_a_range_without_frames_says_where_they_are(clip: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match=r"its frames lie at 0\.000 to 1\.917 s"):
        sampled(clip(), [5, 6])


@pytest.mark.parametrize("time_range", [[1], [2, 1], [1, 1], [0, 1, 2]])
def test_a_range_that_is_none_is_refused(time_range: list[float], clip: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="time_range is"):
        sampled(clip(), time_range)


def test_a_stride_below_one_is_refused(clip: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="frame_stride is 0"):
        sampled(clip(), None, 0)


def test_a_fraction_of_a_rate_is_exact(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=31, rate=Fraction(30000, 1001))
    with reader_of(path) as reader:
        assert [reader.pts_seconds(i) for i in (0, 30)] == pytest.approx([0.0, 1.001], abs=1e-4)
