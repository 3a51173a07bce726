"""Whether a coded packet shows a picture, told from its first bytes: some hold headers alone, or a frame that stays hidden.

`data` is a packet's bytes. Where a codec is not looked into, or its bytes make no sense, a packet counts as a picture: the
decoder has the last word.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import av.error

_SMALL_BYTES = 12  # MPEG-4 codes "as before" in a few bytes, of which no picture comes
Shows = Callable[[bytes], bool]


def shows_of(context: Any) -> Shows:
    """Return what tells of one stream's packets whether they show a picture; `context` is its codec context."""
    codec, extradata = context.name, bytes(context.extradata or b"")
    if codec == "h264":
        return _by_units(extradata, 4, lambda first: 1 <= first & 0x1F <= 5)
    if codec == "hevc":
        return _by_units(extradata, 21, lambda first: (first >> 1) & 0x3F < 32)
    return {"vp9": _vp9_shows, "av1": _av1_shows, "libdav1d": _av1_shows, "mpeg4": _mpeg4_shows}.get(codec, lambda _: True)


def demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """Yield a stream's packets, and an empty one at the end that has the decoder give what it holds back."""
    # PyAV trips over a stream that first appears in mid-file, after it has given all packets.
    with suppress(IndexError):
        yield from container.demux(stream)


def frames_of(packet: Any, shows: Shows) -> list[Any]:
    """Decode a packet; one that holds no picture may be refused by the decoder, and gives no frame then."""
    try:
        frames: list[Any] = packet.decode()
    except av.error.FFmpegError:
        if packet.size and not shows(bytes(packet)):
            return []
        raise
    return frames


def _by_units(extradata: bytes, length_at: int, is_picture: Callable[[int], bool]) -> Shows:
    """Look for a picture's unit in H.264 or H.265, whose units have a length before them or a start code."""
    num_length = (extradata[length_at] & 3) + 1 if len(extradata) > length_at and extradata[0] == 1 else 0
    units = partial(_measured_units, num_length=num_length) if num_length else _started_units

    def shows(data: bytes) -> bool:
        # The highest bit is 0 in every unit that is sound.
        return any(first is None or first & 0x80 or is_picture(first) for first in units(data))

    return shows


def _measured_units(data: bytes, num_length: int) -> Iterator[int | None]:
    """Yield the first byte of each unit, None for one that reaches past the packet: it is damaged."""
    at = 0
    while at + num_length < len(data):
        end = at + num_length + int.from_bytes(data[at:at + num_length], "big")
        yield data[at + num_length] if end <= len(data) else None
        at = end


def _started_units(data: bytes) -> Iterator[int | None]:
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        yield data[at + 3]
        at = data.find(b"\0\0\1", at + 3)


def _vp9_shows(data: bytes) -> bool:
    """Whether one of the frames that VP9 packs together is shown, and no more than one."""
    parts = [data]
    if data and data[-1] & 0xE0 == 0xC0:
        count, width = (data[-1] & 7) + 1, ((data[-1] >> 3) & 3) + 1
        sizes = data[len(data) - 1 - count * width:-1]
        ends = [int.from_bytes(sizes[k * width:(k + 1) * width], "little") for k in range(count)]
        parts = [data[sum(ends[:k]):sum(ends[:k + 1])] for k in range(count)]
    return sum(_vp9_frame_shows(part[0]) for part in parts if part) == 1


def _vp9_frame_shows(first: int) -> bool:
    bits = first << 1 if first & 0x30 != 0x30 else first << 2  # profile 3 has one bit more
    return bool(bits & 0x10 or bits & 0x04)


def _av1_shows(data: bytes) -> bool:
    """Whether a temporal unit of AV1 has a frame header that shows its frame or one from before."""
    at = 0
    while at < len(data):
        kind, has_more, has_size = (data[at] >> 3) & 15, data[at] & 4, data[at] & 2
        at += 2 if has_more else 1
        size, shift = len(data) - at, 0
        if has_size:
            size = 0
            while at < len(data) and shift < 56:
                size |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if not data[at - 1] & 0x80:
                    break
        if kind in (3, 6) and at < len(data) and data[at] & 0x90:
            return True
        at += size
    return False


def _mpeg4_shows(data: bytes) -> bool:
    return len(data) > _SMALL_BYTES and data.count(b"\0\0\1\xb6") == 1
