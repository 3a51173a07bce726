"""Whether a file is as long as its own headers say: MP4, Matroska and AVI, from a few bytes of each.

libav reads a Matroska or AVI file that was cut short as if it ended there on purpose.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SEGMENT = b"\x18\x53\x80\x67"
_EBML = b"\x1a\x45\xdf\xa3"


def lacks_moov(path: str | Path) -> bool:
    """Whether this is an MP4 (or MOV) file without the whole of a table that tells where its frames are."""
    num_bytes = os.path.getsize(path)
    with open(path, "rb") as reader:
        if reader.read(8)[4:] != b"ftyp":
            return False
        reader.seek(0)
        return not any(kind in (b"moov", b"moof") and end <= num_bytes for kind, end in _boxes(reader))


def is_shorter_than_declared(path: str | Path) -> bool:
    """Whether a Matroska or AVI file ends before its outermost element does; False for any other file."""
    num_bytes = os.path.getsize(path)
    with open(path, "rb") as reader:
        head = reader.read(12)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > num_bytes
        if head[:4] != _EBML:
            return False
        reader.seek(4)
        reader.seek(_vint(reader) or 0, os.SEEK_CUR)
        if reader.read(4) != _SEGMENT:
            return False
        length = _vint(reader)
        return length is not None and reader.tell() + length > num_bytes


def declared_seconds(duration: str) -> float | None:
    """Read Matroska's DURATION tag, as 00:01:02.500000000, in seconds; None where it is not one."""
    try:
        hours, minutes, seconds = duration.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _boxes(reader: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and end of an MP4's outermost boxes, from where the reader stands; the end may lie beyond the file's."""
    while len(header := reader.read(8)) == 8:
        length, kind, read = int.from_bytes(header[:4], "big"), header[4:], 8
        if length == 1:
            length, read = int.from_bytes(reader.read(8), "big"), 16
        yield kind, reader.tell() - read + length
        if length < read:  # 0 means up to the end of the file; anything else is no box
            return
        reader.seek(length - read, os.SEEK_CUR)


def _vint(reader: BinaryIO) -> int | None:
    """Read one of EBML's numbers, whose leading zero bits tell its length; None where all bits are set: unknown."""
    first = reader.read(1)
    if not first or first[0] == 0:
        return None
    num_more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> num_more)]) + reader.read(num_more), "big")
    return None if value == (1 << (7 * (num_more + 1))) - 1 else value
