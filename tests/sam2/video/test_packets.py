"""Packets that show no picture are told by their bytes, and counted as no frame."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from sam2.video.file_index import index_frames
from sam2.video.packets import shows_of
from sam2.video.video_file import VideoFile

AVCC = b"\x01\x64\x00\x0a\xff"      # lengths of 4 bytes
HVCC = b"\x01" + bytes(20) + b"\x03"


@pytest.mark.parametrize(
    ("codec", "extradata", "data", "shown"),
    [
        ("h264", AVCC, b"\0\0\0\2\x09\xf0", False),
        ("h264", AVCC, b"\0\0\0\2\x09\xf0\0\0\0\2\x65\x80", True),
        ("h264", AVCC, b"\0\0\xff\xff\x09\xf0", True),      # damaged: the decoder says so
        ("h264", b"", b"\0\0\0\1\x09\xf0\0\0\1\x41\x9a", True),
        ("h264", b"", b"\0\0\0\1\x09\xf0\0\0\1\x06\x05", False),
        ("hevc", HVCC, b"\0\0\0\3\x46\x01\x50", False),
        ("hevc", HVCC, b"\0\0\0\3\x26\x01\x50", True),
        ("vp9", b"", b"\x82\x49\x83\x42", True),
        ("vp9", b"", b"\x80\x49\x83\x42", False),
        ("vp9", b"", b"\x80aaa" + b"\x82bb" + b"\xc1\x04\x03\xc1", True),
        ("vp9", b"", b"\x80aaa" + b"\x80bb" + b"\xc1\x04\x03\xc1", False),
        ("av1", b"", b"\x12\0\x32\x02\x10\0", True),
        ("av1", b"", b"\x12\0\x32\x02\0\0", False),
        ("av1", b"", b"\x12\0\x1a\x01\x80", True),
        ("mpeg4", b"", b"\0\0\1\xb6\x50\xb0\0", False),
        ("mpeg4", b"", b"\0\0\1\xb6" + bytes(30), True),
        ("mjpeg", b"", b"", True),
    ],
)
def test_whether_a_packet_shows_a_picture(codec: str, extradata: bytes, data: bytes, shown: bool) -> None:
    assert shows_of(SimpleNamespace(name=codec, extradata=extradata))(data) is shown


def with_packet(source: Path, target: Path, data: bytes, at: int) -> Path:
    """Copy a clip and put one more packet between two of its frames."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for k, packet in enumerate(p for p in reader.demux(video=0) if p.size):
            if k == at:
                extra = av.Packet(data)
                extra.pts = extra.dts = packet.pts - packet.duration // 2
                extra.time_base, extra.stream = packet.time_base, stream
                writer.mux(extra)
            packet.stream = stream
            writer.mux(packet)
    return target


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ({"options": {"bf": "0", "g": "10"}}, b"\0\0\0\2\x09\xf0"),
        ({"options": {"bf": "0", "g": "10"}}, b"\0\0\0\4\x06\x05\x01\x80"),
        ({"codec": "libx265", "options": {"x265-params": "log-level=none:bframes=0:keyint=10"}}, b"\0\0\0\3\x46\x01\x50"),
        ({"codec": "mpeg4", "options": {"g": "10"}}, b"\0\0\1\xb6\x50\xb0\0"),
    ],
    ids=["h264 delimiter", "h264 message", "hevc delimiter", "mpeg4 not coded"],
)
def test_a_packet_without_a_picture_is_no_frame(how: dict, data: bytes, clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip(num_frames=24, size_hw=(96, 128), **how)
    extended = with_packet(path, tmp_path / "extended.mp4", data, 13)
    assert index_frames(extended, "clip").num_frames == index_frames(path, "clip").num_frames == 24
    plain, video = VideoFile(path, side=32), VideoFile(extended, side=32)
    for k in [*range(24), 5, 13, 12, 23]:
        assert (video.rgb_HW3(k) == plain.rgb_HW3(k)).all()
