"""Only the given file is opened, only as video, and what it is not is said without its content."""

import io
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from sam2.video.container import Orientation, opened, orientation_of
from sam2.video.file_index import index_frames
from sam2.video.files import UnreadableVideo
from sam2.video.video_file import VideoFile
from tests.fixtures_clips import drawn_frame


def picture_bytes(kind: str) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(drawn_frame(3, (48, 64))).save(sink, kind)
    return sink.getvalue()


def zip_bytes() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("secret.txt", "the secret")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (picture_bytes("JPEG"), "a JPEG picture"), (picture_bytes("PNG"), "a PNG picture"),
        (picture_bytes("WEBP"), "a WebP picture"),
        (picture_bytes("TIFF"), "a TIFF picture"), (zip_bytes(), "a ZIP archive"),
        (b"the secret of another file\n" * 9, "text"), (b"<!DOCTYPE html><p>the secret</p>", "HTML or XML"),
        (b"#EXTM3U\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n", "a playlist"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", "a list of other files"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "a description of a network stream"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(64), r"sound \(WAV\)"), (bytes(4000), "zeros"),
        (b"\x01\x99the secret", "no container"), (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(99), "a HEIF or AVIF picture"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_no_video_is_named_by_kind(
    content: bytes, kind: str, in_memory: bool, clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip()      # the file that the lists name
    path = tmp_path / "no_video.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo, match=f"^a video is no video file: .*{kind}") as refused:
        index_frames(content if in_memory else path, "a video")
    assert refused.value.reason == "not_a_video"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "100%.mp4", "a%03d.mp4", "concat:clip.mp4", "http:clip.mp4", "2026-01-02T10:30:00.mp4", "fd:0.mp4"]
)
def test_a_name_is_a_name_and_no_protocol(
    name: str, clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(clip(), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert VideoFile(name, side=32).num_frames == 24


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_a_cover_picture_is_not_the_film(clip: Callable[..., Path], tmp_path: Path) -> None:
    whole = clip().read_bytes()
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0), picture_bytes("JPEG")))
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", cover))
    at = whole.index(b"moov") - 4
    tracks, last = whole.index(b"trak") - 4, whole.index(b"udta") - 4
    moov = box(b"moov", whole[at + 8:tracks], box(b"udta", meta), whole[tracks:last])
    path = tmp_path / "cover.mp4"
    path.write_bytes(whole[:at] + moov)
    with av.open(str(path)) as container:
        assert container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    video = VideoFile(path, side=32)
    assert (video.num_frames, video.size_hw) == (24, (48, 64))


def test_of_two_films_the_first_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.mov"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=12) for _ in range(2)]
        for stream, size_hw in zip(streams, ((48, 64), (96, 128)), strict=True):
            stream.height, stream.width, stream.pix_fmt = *size_hw, "yuv420p"
        for k in range(6):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(drawn_frame(k, (stream.height, stream.width)), format="rgb24")
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    with opened(path, "two.mov") as (_, stream):
        assert stream.index == 0
    assert index_frames(path, "two.mov").size_hw == (48, 64)


def test_a_codec_without_decoder_is_named(clip: Callable[..., Path]) -> None:
    path = clip()
    content = path.read_bytes()
    at = content.index(b"avc1", content.index(b"stsd"))
    for entry in (b"encv", b"xxxx"):
        with pytest.raises(UnreadableVideo, match=r"cannot be decoded: .*convert it") as refused:
            index_frames(content[:at] + entry + content[at + 4:], "clip")
        assert refused.value.reason == "decode_error"


def test_an_mp4_cut_within_its_table_is_cut_short(clip: Callable[..., Path]) -> None:
    whole = clip(container_options={"movflags": "faststart"}).read_bytes()
    for num_bytes in range(whole.index(b"trak"), whole.index(b"stco"), 24):
        with pytest.raises(UnreadableVideo, match="cut short"):
            index_frames(whole[:num_bytes], "clip")


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_container_without_a_frame_is_cut_short(name: str, clip: Callable[..., Path]) -> None:
    whole = clip(name, codec="mpeg4").read_bytes()
    with pytest.raises(UnreadableVideo) as refused:
        index_frames(whole[:300], "clip")
    assert refused.value.reason == "decode_error"


def test_sizes_beyond_all_sense_are_refused(clip: Callable[..., Path]) -> None:
    """Memory for such frames is never asked for."""
    content = bytearray(clip("a.avi", codec="rawvideo").read_bytes())
    at = content.index(b"strf") + 12
    content[at:at + 8] = struct.pack("<ii", 60_000, 60_000)
    with pytest.raises(UnreadableVideo):
        index_frames(bytes(content), "clip")
    table = bytearray(clip().read_bytes())
    at = table.index(b"stsz") + 8
    table[at:at + 8] = struct.pack(">II", 1, 4_000_000_000)
    with pytest.raises(UnreadableVideo, match=r"declares 4000000000 frames and has \d+ bytes"):
        index_frames(bytes(table), "clip")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match="is a named pipe"):
        VideoFile(tmp_path / "pipe.mp4", side=32)


def test_bytes_and_a_path_give_the_same(clip: Callable[..., Path]) -> None:
    path = clip()
    one, other = VideoFile(path, side=32), VideoFile(path.read_bytes(), side=32)
    assert all(np.array_equal(one.rgb_HW3(k), other.rgb_HW3(k)) for k in range(24))


STORED = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class Side(bytes):
    """A frame's side data, as PyAV gives it: its bytes, and what they are."""

    type = SimpleNamespace(name="DISPLAYMATRIX")


def frame_with(*matrix: int) -> SimpleNamespace:
    values = np.array([matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 1 << 14], "<i4") * (1 << 16)
    return SimpleNamespace(side_data=[Side(values.tobytes())])


@pytest.mark.parametrize(
    ("matrix", "degrees", "expected"),
    [
        ((1, 0, 0, 1), 0, STORED),
        ((0, 1, -1, 0), 90, np.rot90(STORED, -1)),
        ((-1, 0, 0, -1), 180, np.rot90(STORED, 2)),
        ((0, -1, 1, 0), 270, np.rot90(STORED, 1)),
        ((-1, 0, 0, 1), 0, STORED[:, ::-1]),
        ((1, 0, 0, -1), 180, STORED[::-1]),
        ((0, 1, 1, 0), 270, STORED.transpose(1, 0, 2)),
        ((0, -1, -1, 0), 90, np.rot90(STORED[:, ::-1], -1)),
    ],
)
def test_stored_pixels_go_where_the_matrix_puts_them(matrix: tuple[int, ...], degrees: int, expected: np.ndarray) -> None:
    a, b, c, d = matrix
    found = orientation_of(frame_with(*matrix))
    upright = found.upright(STORED)
    assert np.array_equal(upright, expected)
    assert upright.flags.c_contiguous
    assert found.upright_size((2, 3)) == upright.shape[:2]
    assert found.rotation_degrees == degrees
    # A turn by the degrees that are told undoes the rest, up to a mirror from left to right.
    assert any(np.array_equal(np.rot90(s, -degrees // 90), upright) for s in (STORED, STORED[:, ::-1]))
    # The rule itself, pixel by pixel: (x, y) lands at (a x + c y, b x + d y), moved into the frame.
    height, width = STORED.shape[:2]
    for y in range(height):
        for x in range(width):
            new_x, new_y = a * x + c * y, b * x + d * y
            new_x += upright.shape[1] - 1 if min(a, c) < 0 else 0
            new_y += upright.shape[0] - 1 if min(b, d) < 0 else 0
            assert np.array_equal(upright[new_y, new_x], STORED[y, x])


def test_no_matrix_is_upright() -> None:
    assert orientation_of(SimpleNamespace(side_data=[])) == Orientation()
