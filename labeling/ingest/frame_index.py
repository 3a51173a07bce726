"""Which frames a video has, in presentation order, found from its packets without decoding more than the first few.

A packet is one frame in the codecs of `_ONE_FRAME_A_PACKET`; packets outside an edit list are marked as discarded and
count as none. Where timestamps are missing or doubled, or the first decoded frames disagree, every frame is decoded once.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging

from labeling.errors import BadInput
from labeling.ingest.wholeness import declared_seconds, is_shorter_than_declared, lacks_moov

_ONE_FRAME_A_PACKET = frozenset({
    "av1", "dnxhd", "ffv1", "gif", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "png", "prores", "rawvideo",
    "vp9",
})
# Formats that read other files, or that libav makes pictures of although nobody filmed them.
_NOT_VIDEO_FORMATS = frozenset({"hls", "dash", "concat", "image2", "tty", "lavfi", "sdp", "rtsp", "ass", "srt", "webvtt"})
_COMPARED_FRAMES = 8


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """A video's frames in presentation order.

    `pts` in units of `time_base`, ascending; `start` is the time that counts as 0 s, the file's own start as players take
    it. `key_pts` are the times of the frames that decoding can start at, where known. With `by_order` the file's times are
    not to be trusted: frames are told by their place and `pts` are made up from the rate.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    start: int
    key_pts: tuple[int, ...]
    by_order: bool = False

    def seconds(self, frame_idx: int) -> float:
        """The frame's presentation time in seconds."""
        return float((self.pts[frame_idx] - self.start) * self.time_base)


@dataclass(slots=True)
class _Packets:
    """What demuxing found: one entry a packet of the video stream that shows a frame."""

    pts: list[int | None]
    key_pts: list[int]


@contextmanager
def opened(path: str | Path, name: str) -> Iterator[tuple[Any, Any]]:
    """Open a video file as (container, video stream), quietly; BadInput says why it is no video that can be read."""
    try:
        # Only files: a playlist named .mp4 must not make this machine fetch what it lists.
        container = av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unopened(path, name, error) from error
    with container:
        if _NOT_VIDEO_FORMATS & set(container.format.name.split(",")):
            raise BadInput(f"{name} is no video file: it reads as {container.format.name}", "not_a_video")
        yield container, _video_stream(container, name)


def index_frames(path: str | Path, name: str) -> FrameIndex:
    """Find every frame of a video file; `name` is what errors call it. The last files' indexes are remembered.

    Raises BadInput: `not_a_video`, `empty_video` (no frames), `decode_error` (cut short, or its first frames are broken).
    """
    try:
        found = os.stat(path)
    except OSError:
        return _index(path, name)
    return _remembered(path, name, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=2)
def _remembered(path: str | Path, name: str, state: tuple[int, int, int]) -> FrameIndex:
    return _index(path, name)


def _index(path: str | Path, name: str) -> FrameIndex:
    with opened(path, name) as (container, stream):
        packets = _demuxed(container, stream, name)
        _require_whole(path, name, stream, packets)
        time_base, start = stream.time_base or Fraction(1, av.time_base), _start_of(container, stream)
        codec, in_avi = stream.codec_context.name, "avi" in container.format.name
    if not packets.pts:
        raise BadInput(f"{name} has a video stream without frames; expected at least one", "empty_video")
    times = sorted(pts for pts in packets.pts if pts is not None)
    countable = len(times) == len(packets.pts) == len(set(times)) and codec in _ONE_FRAME_A_PACKET
    # AVI packs B-frames of MPEG-4 two in a packet.
    if countable and not (in_avi and codec == "mpeg4") and _agrees(path, name, times):
        return FrameIndex(tuple(times), time_base, start, tuple(sorted(packets.key_pts)))
    return _decoded_index(path, name, len(packets.pts), start)


def broken(name: str, frame_idx: int, expected: int | None, why: object) -> BadInput:
    """The error for a frame that cannot be decoded."""
    of = f" of {expected}" if expected else ""
    return BadInput(f"{name} breaks at frame {frame_idx}{of}: {why}; replace the file with a whole one", "decode_error")


def _unopened(path: str | Path, name: str, error: Exception) -> Exception:
    if isinstance(error, FileNotFoundError):
        return BadInput(f"{name} does not exist", "missing_video")
    if Path(path).stat().st_size == 0:
        return BadInput(f"{name} is empty (0 bytes); expected a video", "empty_video")
    if lacks_moov(path):
        return _without_moov(name)
    with open(path, "rb") as reader:
        head = reader.read(64)
    why = getattr(error, "strerror", None) or str(error)
    return BadInput(f"{name} is no video file ({why}); it starts with {head[:16]!r}", "not_a_video")


def _without_moov(name: str) -> BadInput:
    what = "an MP4 without its table of frames (moov)"
    return BadInput(f"{name} is cut short: {what}; replace it with a whole one", "decode_error")


def _video_stream(container: Any, name: str) -> Any:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams and lacks_moov(container.name):
        raise _without_moov(name)
    if not streams:
        kinds = sorted(stream.type for stream in container.streams)
        raise BadInput(f"{name} has no video stream (its streams: {kinds})", "not_a_video")
    best = container.streams.best("video")
    chosen = best if best in streams else streams[0]
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = av.stream.Discard.all
    return chosen


def _demuxed(container: Any, stream: Any, name: str) -> _Packets:
    found = _Packets([], [])
    declared = stream.frames or None
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.is_corrupt and "mp4" in container.format.name:
                raise broken(name, len(found.pts), declared, "the file ends within it")
            if packet.is_keyframe and packet.pts is not None:
                found.key_pts.append(packet.pts)
            found.pts.append(packet.pts)
    except (av.error.FFmpegError, OSError) as error:
        raise broken(name, len(found.pts), declared, f"the file ends there ({error.strerror})") from error
    return found


def _require_whole(path: str | Path, name: str, stream: Any, packets: _Packets) -> None:
    """Refuse a file that is shorter than its own header says and that has lost frames by it.

    Packets of an MP4 show it themselves; Matroska and AVI just stop.
    """
    times = [pts for pts in packets.pts if pts is not None]
    rate = frame_rate_of(stream)
    if not (times and rate and is_shorter_than_declared(path)):
        return
    seconds = declared_seconds(stream.metadata.get("DURATION", ""))
    expected = stream.frames or (round(seconds * rate) if seconds else 0)
    if expected > len(times):
        raise broken(name, len(times), expected, "the file ends there")


def _start_of(container: Any, stream: Any) -> int:
    """The file's start in the stream's time base."""
    if container.start_time is None or stream.time_base is None:
        return int(stream.start_time or 0)
    return round(float(Fraction(container.start_time, av.time_base) / stream.time_base))


def _agrees(path: str | Path, name: str, times: list[int]) -> bool:
    """Whether the first frames that come out of the decoder are the first ones by the packets' times."""
    with opened(path, name) as (container, stream):
        try:
            first = [frame.pts for frame in itertools.islice(container.decode(stream), _COMPARED_FRAMES)]
        except (av.error.FFmpegError, OSError):
            return False
    return first == times[:_COMPARED_FRAMES]


def _decoded_index(path: str | Path, name: str, num_packets: int, start: int) -> FrameIndex:
    """Index by decoding all: exact for any file, and as slow as watching it."""
    pts: list[int | None] = []
    with opened(path, name) as (container, stream):
        stream.thread_type = "AUTO"
        time_base, rate = stream.time_base, frame_rate_of(stream)
        try:
            pts.extend(frame.pts for frame in container.decode(stream))
        except (av.error.FFmpegError, OSError) as error:
            raise broken(name, len(pts), num_packets, error.strerror or error) from error
    if not pts:
        raise BadInput(f"{name} has {num_packets} packets and no frame that decodes", "decode_error")
    times = [p for p in pts if p is not None]
    if len(times) == len(pts) and all(a < b for a, b in itertools.pairwise(times)):
        return FrameIndex(tuple(times), time_base, start, ())
    tick = Fraction(1, 1000)
    return FrameIndex(tuple(round(i / (rate or 25) / tick) for i in range(len(pts))), tick, 0, (), by_order=True)


def frame_rate_of(stream: Any) -> Fraction | None:
    """The stream's frame rate as its header has it, or None."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return Fraction(rate)
    return None
