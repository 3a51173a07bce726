"""Video files by frame index, against decoding them from end to end."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from labeling.ingest.decode import FrameReader
from labeling.ingest.probe import probe
from labeling.types import VideoRef
from sam2.video.frames import open_frames
from sam2.video.source import shrink
from sam2.video.video_file import VideoFile

SIDE = 32


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [shrink(frame.to_ndarray(format="rgb24"), SIDE) for frame in container.decode(video=0)]


def check_every_way(path: Path) -> None:
    expected = decoded(path)
    video = VideoFile(path, side=SIDE)
    last = len(expected) - 1
    order = [*range(last + 1), *range(last, -1, -1), 0, last, last // 2, 1, last // 2 + 3, last - 1]
    assert video.num_frames == last + 1
    for frame_idx in order:
        np.testing.assert_array_equal(video.rgb_SS3(frame_idx), expected[frame_idx], err_msg=f"frame {frame_idx}")


@pytest.mark.parametrize(
    "how",
    [
        {"options": {"g": "5", "bf": "2"}},
        {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}},
        {"options": {"g": "1"}},
        {"options": {"g": "250", "bf": "0"}},
        {"codec": "mpeg4", "options": {"g": "6", "bf": "2"}},
    ],
    ids=["groups", "open groups", "intra", "one group", "mpeg4"],
)
def test_frames_are_the_same_in_any_order(clip: Callable[..., Path], how: dict) -> None:
    check_every_way(clip(num_frames=30, **how))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi", "clip.ts"])
def test_other_containers(clip: Callable[..., Path], name: str) -> None:
    check_every_way(clip(name, num_frames=20, codec="mpeg4" if name.endswith("avi") else "libx264", options={"g": "7"}))


def test_hidden_frames_are_not_counted(clip: Callable[..., Path]) -> None:
    options = {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "12", "deadline": "good", "cpu-used": "5"}
    check_every_way(clip("clip.webm", num_frames=30, codec="libvpx", options=options))


def test_a_variable_frame_rate_neither_repeats_nor_drops(clip: Callable[..., Path]) -> None:
    times = [0, 40, 41, 300, 1000, 1010, 1500, 1501, 1502, 4000]
    path = clip(num_frames=10, pts=times, time_base=Fraction(1, 1000), rate=25)
    assert VideoFile(path, side=SIDE).num_frames == 10
    check_every_way(path)


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda a: a),
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), lambda a: np.rot90(a)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
        ((1, 0, 0, -1), lambda a: a[::-1]),
        ((0, 1, 1, 0), lambda a: a.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda a: np.rot90(a[:, ::-1], -1)),
    ],
    ids=["as it is", "90", "180", "270", "left-right", "up-down", "transposed", "transversed"],
)
def test_turned_and_mirrored_frames_are_upright_for_both_readers(
    clip: Callable[..., Path], matrix: tuple[int, ...], upright: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = clip(num_frames=4, size_hw=(48, 64), options={"bf": "0"})
    plain = [frame.to_ndarray(format="rgb24") for frame in av.open(str(path)).decode(video=0)]
    path.write_bytes(with_display_matrix(path.read_bytes(), *matrix))
    video = VideoFile(path, side=SIDE)
    probed = probe(VideoRef("0" * 16, path.name, str(path), "c", 1), path)
    with FrameReader(path, probed, range(4)) as frames:
        for frame_idx, rgb_HW3 in enumerate(plain):
            expected = np.ascontiguousarray(upright(rgb_HW3))
            assert video.size_hw == probed.size_hw == expected.shape[:2]
            np.testing.assert_array_equal(video.rgb_HW3(frame_idx), expected)
            np.testing.assert_array_equal(frames[frame_idx], expected)
            np.testing.assert_array_equal(video.rgb_SS3(frame_idx), shrink(expected, SIDE))


def test_bytes_and_reading_ahead(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=12, options={"g": "5"})
    expected = decoded(path)
    video = open_frames(path.read_bytes(), side=SIDE, read_ahead=True)
    assert (video.num_frames, video.size_hw, video.holds(11), video.reaches(12)) == (12, (48, 64), True, False)
    for frame_idx in [*range(12), 7, 6, 5, 4, 11]:
        np.testing.assert_array_equal(video.rgb_SS3(frame_idx), expected[frame_idx])


def test_a_file_cut_off(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=30, size_hw=(96, 128), container_options={"movflags": "faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"clip\.mp4 breaks at frame \d+ of 30: the file ends"):
        VideoFile(path, side=SIDE)


def test_a_damaged_frame_is_named(clip: Callable[..., Path]) -> None:
    path = clip(num_frames=20, options={"g": "1", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        place, length = packets[9].pos, packets[9].size
    damaged = bytearray(path.read_bytes())
    damaged[place + 4 : place + length] = b"\xff" * (length - 4)
    path.write_bytes(damaged)
    video = VideoFile(path, side=SIDE)
    with pytest.raises(ValueError, match="breaks at frame 9 of 20"):
        list(map(video.rgb_SS3, range(20)))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"this is no video, whatever its name says\n" * 50, "is no video file: it is text")],
)
def test_no_video_at_all(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        open_frames(path, side=SIDE)


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(ValueError, match="has no video stream"):
        open_frames(path, side=SIDE)


@pytest.mark.parametrize(
    ("video", "said"),
    [
        ("/no/such/place.mp4", "there is no video at"),
        (np.zeros((4, 4, 3), np.uint8), "expected .frames, height, width, 3."),
        (7, "type int cannot be read"),
        (None, "type NoneType"),
    ],
)
def test_what_is_no_video(video: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_frames(video, side=SIDE)


def with_display_matrix(content: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """Return an mp4 whose track header puts a stored point (x, y) at (a x + c y, b x + d y) when it is shown."""
    one = 1 << 16
    at = content.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8
    packed = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    return content[:at] + packed + content[at + len(packed) :]
