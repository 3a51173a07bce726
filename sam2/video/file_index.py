"""Which frames a video has, in presentation order, found from its packets without decoding more than the first few.

A packet is one frame in the codecs of `_ONE_FRAME_A_PACKET`; packets outside an edit list are marked as discarded and
count as none. Where timestamps are missing or doubled, where a packet shows no picture, or where the first decoded frames
disagree, every frame is decoded once.
"""

import functools
import os
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.error

from sam2.video.container import Orientation, broken, opened, orientation_of, refuse_still, without_moov
from sam2.video.files import (
    Source,
    State,
    UnreadableVideo,
    declared_seconds,
    declares_too_much,
    ends_within_frames,
    lacks_moov,
    reading,
    state_of,
    why_of,
)
from sam2.video.packets import demuxed, frames_of, shows_of

_ONE_FRAME_A_PACKET = frozenset({
    "av1", "libdav1d", "dnxhd", "ffv1", "gif", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "png", "prores",
    "rawvideo", "vp9",
})
_COMPARED_FRAMES = 8
_RATES = (Fraction(1, 1000), Fraction(1000))  # that are believed where there are no times to check them by
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class FileIndex:
    """A video's frames in presentation order, and what its first frame is.

    `pts` in units of `time_base`, ascending; `start` is the time that counts as 0 s, the file's own start as players take
    it. `key_pts` are the times of the frames that decoding can start at, where known. With `by_order` the file's times are
    not to be trusted: frames are told by their place and `pts` are made up from the rate. `stored_hw` is the size of the
    first frame as it is stored, `orientation` what makes it upright; `frame_rate` is the header's, None where it has none.
    With `all_show` every packet shows a picture.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    start: int
    key_pts: tuple[int, ...]
    stored_hw: tuple[int, int]
    orientation: Orientation
    codec: str
    frame_rate: Fraction | None
    all_show: bool = True
    by_order: bool = False

    @property
    def num_frames(self) -> int:
        return len(self.pts)

    @property
    def size_hw(self) -> tuple[int, int]:
        """The size of an upright frame."""
        return self.orientation.upright_size(self.stored_hw)

    def seconds(self, frame_idx: int) -> float:
        """Return the frame's presentation time in seconds."""
        return float((self.pts[frame_idx] - self.start) * self.time_base)


def index_frames(video: Source, name: str) -> FileIndex:
    """Find every frame of a video; `name` is what errors call it. The last files' indexes are remembered.

    Raises UnreadableVideo: `missing_video`, `not_a_video`, `empty_video` (no frames), `decode_error` (cut short, or its
    first frames are broken), `source_unavailable` (no right to read it).
    """
    state = state_of(video, name)
    if isinstance(video, bytes):
        return _index(video, name)
    return _remembered(os.path.abspath(video), name, state)


@functools.lru_cache(maxsize=2)
def _remembered(path: str, name: str, state: State) -> FileIndex:
    return _index(path, name)


@dataclass(slots=True)
class _Scan:
    """What one pass over the packets found: an entry a packet that shows a frame, and the first frames decoded."""

    pts: list[int | None] = field(default_factory=list)
    key_pts: list[int] = field(default_factory=list)
    num_bytes: int = 0
    num_packets: int = 0
    all_show: bool = True
    first: list[Any] = field(default_factory=list)
    decodes: bool = True


def _index(video: Source, name: str) -> FileIndex:
    num_bytes = _require_possible(video, name)
    with opened(video, name) as (container, stream):
        scan = _scanned(container, stream, name, num_bytes)
        _require_whole(video, name, container, stream, scan)
        time_base, start = stream.time_base or Fraction(1, av.time_base), _start_of(container, stream)
        codec, in_avi = stream.codec_context.name, "avi" in container.format.name
        rate = header_rate(stream)
    if not scan.pts:
        with reading(video, name) as reader:
            if lacks_moov(reader):
                raise without_moov(name)
        raise UnreadableVideo(f"{name} has a video stream without frames; expected at least one", "empty_video")
    times = sorted(pts for pts in scan.pts if pts is not None)
    countable = len(times) == len(scan.pts) == len(set(times)) and codec in _ONE_FRAME_A_PACKET and scan.all_show
    agrees = scan.decodes and [frame.pts for frame in scan.first[:_COMPARED_FRAMES]] == times[:_COMPARED_FRAMES]
    # AVI packs B-frames of MPEG-4 two in a packet.
    if not (countable and agrees) or in_avi and codec == "mpeg4":
        return _decoded_index(video, name, scan, start)
    first = scan.first[0]
    return FileIndex(
        tuple(times), time_base, start, tuple(sorted(scan.key_pts)), (first.height, first.width), orientation_of(first),
        codec, rate,
    )


def _require_possible(video: Source, name: str) -> int:
    """Return the length of a video in bytes; refuse a still picture, and tables that no file of that length can have."""
    with reading(video, name) as reader:
        refuse_still(reader.read(12), name)
        count = declares_too_much(reader)
        num_bytes = reader.seek(0, os.SEEK_END)
    if count is not None:
        message = f"{name} declares {count} frames and has {num_bytes} bytes"
        raise UnreadableVideo(f"{message}; replace the file with a whole one", "decode_error")
    return num_bytes


def _scanned(container: Any, stream: Any, name: str, num_bytes: int) -> _Scan:
    scan, shows = _Scan(), shows_of(stream.codec_context)
    declared = stream.frames or None
    try:
        for packet in demuxed(container, stream):
            if scan.decodes and len(scan.first) < _COMPARED_FRAMES:
                _decode_first(scan, packet)
            if packet.size == 0:
                continue
            scan.num_packets, scan.num_bytes = scan.num_packets + 1, scan.num_bytes + packet.size
            if scan.num_bytes > 2 * num_bytes + (1 << 20):
                raise broken(name, len(scan.pts), declared, "its packets overlap, which none that was filmed do")
            if packet.is_discard:
                continue
            if packet.is_corrupt and "mp4" in container.format.name:
                raise broken(name, len(scan.pts), declared, "the file ends within it")
            if packet.is_keyframe and packet.pts is not None:
                scan.key_pts.append(packet.pts)
            scan.pts.append(packet.pts)
            scan.all_show = scan.all_show and shows(bytes(packet))
    except (av.error.FFmpegError, OSError) as error:
        raise broken(name, len(scan.pts), declared, f"the file ends there ({why_of(error)})") from error
    return scan


def _decode_first(scan: _Scan, packet: Any) -> None:
    try:
        scan.first.extend(packet.decode())
    except (av.error.FFmpegError, OSError):
        scan.decodes = False


def _require_whole(video: Source, name: str, container: Any, stream: Any, scan: _Scan) -> None:
    """Refuse a file that is shorter than its own header says and that has lost frames by it."""
    with reading(video, name) as reader:
        is_cut = ends_within_frames(reader)
        num_bytes = reader.seek(0, os.SEEK_END)
    rate, seconds = header_rate(stream), declared_seconds(stream.metadata.get("DURATION", ""))
    expected = stream.frames or (round(seconds * rate) if seconds and rate else None)
    if "mp4" in container.format.name:
        # A packet that the file ends within is told above; those that lie past its end never come.
        entries = [entry for entry in getattr(stream, "index_entries", ()) if entry.size]
        is_cut = is_cut or any(entry.pos + entry.size > num_bytes for entry in entries)
        expected = max(len(entries), expected or 0)
    if is_cut:
        raise broken(name, len(scan.pts), expected if expected and expected > len(scan.pts) else None, "the file ends there")


def _start_of(container: Any, stream: Any) -> int:
    """Return the file's start in the stream's time base."""
    if container.start_time is None or stream.time_base is None:
        return int(stream.start_time or 0)
    return round(float(Fraction(container.start_time, av.time_base) / stream.time_base))


def _decoded_index(video: Source, name: str, scan: _Scan, start: int) -> FileIndex:
    """Index by decoding all: exact for any file, and as slow as watching it."""
    pts: list[int | None] = []
    first, num_packets = None, len(scan.pts)
    with opened(video, name) as (container, stream):
        stream.thread_type = threads_for(scan.all_show)
        time_base, rate, codec = stream.time_base, header_rate(stream), stream.codec_context.name
        shows = shows_of(stream.codec_context)
        try:
            for packet in demuxed(container, stream):
                for frame in frames_of(packet, shows):
                    first = first or frame
                    pts.append(frame.pts)
        except (av.error.FFmpegError, OSError) as error:
            raise broken(name, len(pts), num_packets, why_of(error)) from error
    if first is None:
        raise UnreadableVideo(f"{name} has {num_packets} packets and no frame that decodes", "decode_error")
    shape = ((first.height, first.width), orientation_of(first), codec, rate, scan.all_show)
    times = [p for p in pts if p is not None]
    if len(times) == len(pts) and all(a < b for a, b in pairwise(times)):
        return FileIndex(tuple(times), time_base, start, (), *shape)
    even = rate if rate and _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
    return FileIndex(tuple(range(len(pts))), 1 / even, 0, (), *shape, by_order=True)


def threads_for(all_show: bool) -> str:
    """Return how to share the decoder's work: among frames, unless it must be known which packet an error comes from."""
    return "AUTO" if all_show else "SLICE"


def header_rate(stream: Any) -> Fraction | None:
    """Return the stream's frame rate as its header has it, or None."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and rate > 0:
            return Fraction(rate)
    return None
