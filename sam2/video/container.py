"""A video file opened for reading, the stream of it that is the film, and how its stored pictures become upright.

Only the file that was given is ever opened. Shape suffixes: H height, W width, 3 red, green and blue.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from sam2.video.files import Source, UnreadableVideo, lacks_moov, reading, state_of, why_of

Image8 = npt.NDArray[np.uint8]

# (transposed, flip_x, flip_y) -> clockwise turn; of mirrored ones, the turn after a mirror from left to right.
_TURNS = {
    (False, False, False): 0, (True, True, False): 90, (False, True, True): 180, (True, False, True): 270,
    (False, True, False): 0, (True, True, True): 90, (False, False, True): 180, (True, False, False): 270,
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """First rows and columns change places if `transposed`, then x and y are flipped."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def rotation_degrees(self) -> int:
        """The clockwise turn that makes the stored picture upright: 0, 90, 180 or 270."""
        return _TURNS[self.transposed, self.flip_x, self.flip_y]

    def upright_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size (height, width) of a stored picture of `size_hw` once upright."""
        return (size_hw[1], size_hw[0]) if self.transposed else size_hw

    def upright(self, stored_HW3: Image8) -> Image8:
        """Turn a stored picture (H, W, 3) upright; contiguous."""
        turned = stored_HW3.transpose(1, 0, 2) if self.transposed else stored_HW3
        turned = turned[:, ::-1] if self.flip_x else turned
        turned = turned[::-1] if self.flip_y else turned
        return np.ascontiguousarray(turned)


def orientation_of(frame: Any) -> Orientation:
    """Read a decoded frame's display matrix, to the nearest quarter turn.

    The matrix (a b u, c d v, x y w) puts stored (x, y) at (a x + c y, b x + d y), y down.
    """
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(side), "<i4")[:5])
            if abs(a) + abs(d) >= abs(b) + abs(c):
                return Orientation(False, a < 0, d < 0)
            return Orientation(True, c < 0, b < 0)
    return Orientation()


MAX_PIXELS = 1 << 27  # of a frame: 16384 x 8192, whose RGB takes 400 MB
# Containers and raw streams that hold video by themselves. Playlists, pictures, text and devices are not among them.
FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "h264", "hevc", "vvc", "evc", "m4v", "h261", "h263", "vc1",
    "vc1test", "av1", "obu", "ivf", "flv", "live_flv", "kux", "asf", "asf_o", "ogg", "mxf", "gxf", "dv", "nut", "rm", "ivr",
    "swf", "wtv", "avs2", "avs3", "cavsvideo", "dirac", "dnxhd", "apv", "yuv4mpegpipe", "mjpeg", "mpjpeg", "mjpeg_2000",
    "gif", "apng", "pva", "nsv", "nuv", "ty", "dhav", "lxf", "cine", "r3d", "ser", "smjpeg", "filmstrip", "flic", "roq",
)
_OPTIONS = {"format_whitelist": ",".join(FORMATS), "max_pixels": str(MAX_PIXELS)}
_STILL_BRANDS = {b"avif", b"heic", b"heix", b"heim", b"mif1", b"jpeg"}
_CONTAINERS = ((0, b"\x1a\x45\xdf\xa3", "Matroska"), (8, b"AVI ", "AVI"), (4, b"ftyp", "MP4"), (4, b"moov", "MOV"))
# What other files begin with.
_HEADS = {
    b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture", b"BM": "a BMP picture", b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture", b"PK\3\4": "a ZIP archive", b"\x1f\x8b": "a gzip archive", b"%PDF": "a PDF document",
    b"ID3": "sound (MP3)", b"fLaC": "sound (FLAC)", b"#EXTM3U": "a playlist", b"ffconcat": "a list of other files",
    b"v=0": "a description of a network stream", b"<": "HTML or XML", b"\0" * 16: "zeros",
}


@contextmanager
def opened(video: Source, name: str) -> Iterator[tuple[Any, Any]]:
    """Open a video as (container, video stream), quietly; UnreadableVideo says why it is none that can be read."""
    state_of(video, name)
    # An absolute path has no part that could be taken for a protocol, and bytes need none.
    target = io.BytesIO(video) if isinstance(video, bytes) else os.path.abspath(video)
    options = _OPTIONS | {"protocol_whitelist": "none" if isinstance(video, bytes) else "file"}
    try:
        container = av.open(target, "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unopened(video, name, error) from error
    with container:
        yield container, _video_stream(container, video, name)


def refuse_still(head: bytes, name: str) -> None:
    """Raise UnreadableVideo for the first bytes of a picture in MP4's container, which libav would call a film of one frame."""
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        raise UnreadableVideo(f"{name} is no video file: it is a HEIF or AVIF picture; expected a video", "not_a_video")


def broken(name: str, frame_idx: int, expected: int | None, why: object) -> UnreadableVideo:
    """Return the error for a frame that cannot be decoded."""
    of = f" of {expected}" if expected else ""
    return UnreadableVideo(f"{name} breaks at frame {frame_idx}{of}: {why}; replace the file with a whole one", "decode_error")


def without_moov(name: str) -> UnreadableVideo:
    """Return the error for an MP4 whose table is cut short."""
    what = "an MP4 without its table of frames (moov)"
    return UnreadableVideo(f"{name} is cut short: {what}; replace it with a whole one", "decode_error")


def _unopened(video: Source, name: str, error: Exception) -> UnreadableVideo:
    with reading(video, name) as reader:
        if lacks_moov(reader):
            return without_moov(name)
        reader.seek(0)
        head = reader.read(64)
    container = next((name for offset, magic, name in _CONTAINERS if head[offset:].startswith(magic)), None)
    if container:
        message = f"{name} is cut short or damaged: {container} that ends or breaks before its first frame ({why_of(error)})"
        return UnreadableVideo(f"{message}; replace it with a whole one", "decode_error")
    kind = _kind_of(head)
    why = f"it is {kind}" if kind else f"no container that is known ({why_of(error)})"
    return UnreadableVideo(f"{name} is no video file: {why}; expected MP4, Matroska, AVI or the like", "not_a_video")


def _kind_of(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return {b"WAVE": "sound (WAV)", b"WEBP": "a WebP picture"}.get(head[8:12])
    kind = next((kind for magic, kind in _HEADS.items() if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic)), None)
    is_text = bool(head) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return kind or ("text" if is_text else None)


def _video_stream(container: Any, video: Source, name: str) -> Any:
    """Return the first video stream that is no cover picture, and have the demuxer leave out all others."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams or streams[0].codec_context is None:
        with reading(video, name) as reader:
            if lacks_moov(reader):
                raise without_moov(name)
    if not streams:
        kinds = sorted(stream.type for stream in container.streams)
        raise UnreadableVideo(f"{name} has no video stream (its streams: {kinds})", "not_a_video")
    for stream in container.streams:
        if stream is not streams[0]:
            stream.discard = av.stream.Discard.all
    _require_decodable(streams[0].codec_context, name)
    return streams[0]


def _require_decodable(context: Any, name: str) -> None:
    if context is None:
        what = "its codec is unknown here, or its frames are encrypted"
        raise UnreadableVideo(f"{name} cannot be decoded: {what}; convert it to a common codec, such as H.264", "decode_error")
    if context.width * context.height > MAX_PIXELS:
        size = f"{context.width} x {context.height}"
        raise UnreadableVideo(f"{name} declares frames of {size} pixels; expected {MAX_PIXELS} or fewer", "decode_error")
    context.options = {"max_pixels": str(MAX_PIXELS)}
