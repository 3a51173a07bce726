"""The file behind a video, or its bytes: its kind, whether it is still the same, and as long as its own headers say.

Nothing here opens what is no regular file: a named pipe or a device would block. libav reads a Matroska or AVI file that
was cut short as if it ended there on purpose, and makes room for every frame that an MP4 declares before it looks for the
first; a few bytes of each container tell. Functions that take a `reader` read from a seekable binary file.
"""

import errno
import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

Source = str | os.PathLike[str] | bytes
State = tuple[int, int, int] | None  # inode, length and modification time in ns of a file

_KINDS = {
    stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe (FIFO)", stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a character device", stat.S_ISBLK: "a block device",
}


class UnreadableVideo(ValueError):
    """A video that cannot be read, or not to its end.

    `reason` is `missing_video`, `not_a_video`, `empty_video`, `decode_error` or `source_unavailable`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (str(self), self.reason)


def state_of(video: Source, name: str) -> State:
    """Return what tells that a file is still the same, None for bytes; UnreadableVideo unless it is a file with content."""
    if isinstance(video, bytes):
        if not video:
            raise UnreadableVideo(f"{name} is empty (0 bytes); expected a video", "empty_video")
        return None
    try:
        status = os.stat(video)
    except (OSError, ValueError) as error:
        raise _missing(video, name, error) from error
    refuse_kind(status, name)
    if not status.st_size:
        raise UnreadableVideo(f"{name} is empty (0 bytes); expected a video", "empty_video")
    return status.st_ino, status.st_size, status.st_mtime_ns


def refuse_kind(status: os.stat_result, name: str) -> None:
    """Raise UnreadableVideo for what is no regular file, and says which kind it is."""
    kind = next((kind for is_kind, kind in _KINDS.items() if is_kind(status.st_mode)), None)
    if kind:
        raise UnreadableVideo(f"{name} is {kind}; expected a video file", "not_a_video")


@contextmanager
def reading(video: Source, name: str) -> Iterator[BinaryIO]:
    """Open the bytes of a video; UnreadableVideo where access is refused."""
    if isinstance(video, bytes):
        yield io.BytesIO(video)
        return
    try:
        descriptor = os.open(video, os.O_RDONLY)
    except OSError as error:
        raise _missing(video, name, error) from error
    with open(descriptor, "rb") as reader:
        yield reader


def why_of(error: Exception) -> str:
    """Return what libav says of an error, without a file's name or content."""
    return getattr(error, "strerror", None) or type(error).__name__


def _missing(video: Source, name: str, error: Exception) -> UnreadableVideo:
    code = getattr(error, "errno", None)
    if code in (errno.EACCES, errno.EPERM):
        return UnreadableVideo(f"{name} may not be read; give this user the right to", "source_unavailable")
    if code == errno.ENOENT and not isinstance(video, bytes) and os.path.islink(video):
        return UnreadableVideo(f"{name} is a link to a file that is not there; expected a video file", "missing_video")
    if code in (errno.ENOENT, errno.ENOTDIR):
        return UnreadableVideo(f"{name} does not exist; expected a video file", "missing_video")
    return UnreadableVideo(f"{name} cannot be opened: {why_of(error)}; expected a video file", "source_unavailable")


_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_AFTER_CLUSTERS = {0x1C53BB6B, 0x1254C367, 0x1941A469, 0x1043A770}  # cues, tags, attachments, chapters
_MP4_KINDS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp", b"sidx"}
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_SAMPLES_A_BYTE = 8
_INDEX_BYTES = 1 << 20
_HEAD_BYTES = 4096
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_FLV_SIZE = b"\0\x08filesize\0"  # its name and, after this, a number of 8 bytes
_MOST_BOXES = 1 << 20


def lacks_moov(reader: BinaryIO) -> bool:
    """Return whether this is an MP4 (or MOV) file without the whole of a table that tells where its frames are."""
    num_bytes = _length(reader)
    if not _is_mp4(reader):
        return False
    return not any(kind in (b"moov", b"moof") and end <= num_bytes for kind, _, end in _boxes(reader, num_bytes))


def ends_within_frames(reader: BinaryIO) -> bool:
    """Return whether the file ends before the element that holds its frames does, by its own word.

    Looks at Matroska, AVI, fragments of MP4, ASF and FLV; False for any other file. One that only lost the index after its
    frames still holds all of them.
    """
    num_bytes = _length(reader)
    if _is_mp4(reader):
        return any(end > num_bytes and kind in (b"moof", b"sidx") for kind, end in _fragments(reader, num_bytes))
    head = reader.read(_HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi_ends_within_frames(reader, num_bytes)
    if head[:16] == _ASF_HEADER:
        reader.seek(int.from_bytes(head[16:24], "little"))
        data = reader.read(24)
        return data[:16] == _ASF_DATA and reader.tell() - 24 + int.from_bytes(data[16:], "little") > num_bytes
    if head[:3] == b"FLV":
        at = head.find(_FLV_SIZE) + len(_FLV_SIZE)
        return at > len(_FLV_SIZE) and len(head) >= at + 8 and struct.unpack(">d", head[at:at + 8])[0] > num_bytes
    reader.seek(0)
    return head[:4] == _EBML and _matroska_ends_within_frames(reader, num_bytes)


def declares_too_much(reader: BinaryIO) -> int | None:
    """Return the number of frames that an MP4's tables declare where the file has not even a byte for each of them."""
    num_bytes = _length(reader)
    return _too_many(reader, 0, num_bytes, num_bytes) if _is_mp4(reader) else None


def declared_seconds(duration: str) -> float | None:
    """Read Matroska's DURATION tag, as 00:01:02.500000000, in seconds; None where it is not one."""
    try:
        hours, minutes, seconds = duration.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _length(reader: BinaryIO) -> int:
    return reader.seek(0, os.SEEK_END)


def _is_mp4(reader: BinaryIO) -> bool:
    """Return whether the first box is one of MP4's; leaves the reader at the start."""
    reader.seek(0)
    kind = reader.read(8)[4:]
    reader.seek(0)
    return kind in _MP4_KINDS


def _boxes(reader: BinaryIO, until: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start of the content and end of an MP4's boxes from where the reader stands up to `until`.

    The last end may lie beyond the file's; a box that says 0 goes up to it.
    """
    at = reader.tell()
    for _ in range(_MOST_BOXES):
        if at + 8 > until:
            return
        reader.seek(at)
        header = reader.read(8)
        if len(header) < 8:
            return
        length, kind, read = int.from_bytes(header[:4], "big"), header[4:], 8
        if length == 1:
            length, read = int.from_bytes(reader.read(8), "big"), 16
        if 0 < length < read:  # no box
            return
        end = at + length if length else until
        yield kind, at + read, end
        at = end


def _fragments(reader: BinaryIO, num_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of each outermost box and where it ends; of an index of fragments, where the last of them does."""
    for kind, start, end in _boxes(reader, num_bytes):
        if kind == b"sidx" and end <= num_bytes:
            reader.seek(start)
            yield kind, end + _indexed_bytes(reader.read(min(end - start, _INDEX_BYTES)))
        else:
            yield kind, end


def _indexed_bytes(sidx: bytes) -> int:
    """Return how many bytes after itself an index of fragments speaks of."""
    first = 16 if sidx[:1] == b"\0" else 20  # of the offset, after times of 4 or 8 bytes
    width = first - 12
    offset = int.from_bytes(sidx[first:first + width], "big")
    table = sidx[first + width + 4:]
    return offset + sum(int.from_bytes(table[k:k + 4], "big") & 0x7FFFFFFF for k in range(0, len(table) - 11, 12))


def _too_many(reader: BinaryIO, start: int, end: int, num_bytes: int, depth: int = 0) -> int | None:
    reader.seek(start)
    for kind, inner, box_end in _boxes(reader, min(end, num_bytes)):
        count = None
        if kind in _PARENTS and depth < len(_PARENTS):
            count = _too_many(reader, inner, box_end, num_bytes, depth + 1)
        elif kind in (b"stsz", b"stz2", b"trun"):
            reader.seek(inner)
            table = reader.read(12)
            count = int.from_bytes(table[4:8] if kind == b"trun" else table[8:12], "big")
            # Old QuickTime counts the samples of compressed sound, several in a byte.
            count = count if count > _SAMPLES_A_BYTE * num_bytes else None
        if count is not None:
            return count
    return None


def _avi_ends_within_frames(reader: BinaryIO, num_bytes: int) -> bool:
    """Walk the RIFF chunks, of which long files have several, to those with frames; a length of 0 was never filled in."""
    at = 0
    while at + 12 <= num_bytes:
        riff, length, _ = _chunk(reader, at)
        if riff != b"RIFF":
            return False
        inner, end = at + 12, at + 8 + length
        while inner + 12 <= min(end, num_bytes):
            chunk, inner_length, form = _chunk(reader, inner)
            inner += 8 + inner_length + inner_length % 2
            if chunk == b"LIST" and form == b"movi":
                if inner - inner_length % 2 > num_bytes:
                    return True
                break
        else:
            if length and end > num_bytes:
                return True
        at = end + length % 2
    return False


def _chunk(reader: BinaryIO, at: int) -> tuple[bytes, int, bytes]:
    """Return the kind, length and form of the RIFF chunk that begins there."""
    reader.seek(at)
    header = reader.read(12)
    return header[:4], int.from_bytes(header[4:8], "little"), header[8:]


def _matroska_ends_within_frames(reader: BinaryIO, num_bytes: int) -> bool:
    """Walk the outermost elements of the segment to the one that the file ends in."""
    _, length = _element(reader)
    reader.seek(length or 0, os.SEEK_CUR)
    kind, length = _element(reader)
    if kind != _SEGMENT or length is None or reader.tell() + length <= num_bytes:
        return False
    kind = None
    while reader.tell() < num_bytes:
        kind, length = _element(reader)
        if kind is None or length is None or length == 0 and kind == _CLUSTER:
            return kind not in _AFTER_CLUSTERS
        reader.seek(length, os.SEEK_CUR)
    return kind not in _AFTER_CLUSTERS


def _element(reader: BinaryIO) -> tuple[int | None, int | None]:
    """Read the head of an EBML element: its kind, and its length or None where that is unknown."""
    first = reader.read(1)
    if not first or first[0] < 0x10:
        return None, None
    kind = int.from_bytes(first + reader.read(8 - first[0].bit_length()), "big")
    return kind, _vint(reader)


def _vint(reader: BinaryIO) -> int | None:
    """Read one of EBML's numbers, whose leading zero bits tell its length; None where all bits are set: unknown."""
    first = reader.read(1)
    if not first or first[0] == 0:
        return None
    num_more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> num_more)]) + reader.read(num_more), "big")
    return None if value == (1 << (7 * (num_more + 1))) - 1 else value
