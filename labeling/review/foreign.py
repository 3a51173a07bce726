"""Files of other tools, read in bounds: a size of the file, of one thing in it, of a number; a pipe is not waited for."""

import json
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from labeling.errors import require, shown

MOST_BYTES = 1 << 30  # of a file, unpacked
MOST_ITEM_BYTES = 1 << 22  # of one thing in it: a tag of XML, a task of JSON
_CHUNK_BYTES = 1 << 18
_MOST_DIRECTORY_BYTES = 1 << 20  # of a ZIP: some ten thousand members
_TAIL_BYTES = 1 << 16
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """The text with what XML cannot hold, control characters among it, as U+FFFD."""
    return _NOT_XML.sub("\ufffd", text)


def require_file(path: Path) -> None:
    """Refuse what is no regular file or too long; OSError where it cannot be looked at."""
    status = path.stat()
    require(stat.S_ISREG(status.st_mode), str(path), "no regular file", "a file")
    require(status.st_size <= MOST_BYTES, str(path), f"{status.st_size} bytes long", f"at most {MOST_BYTES}: split it")


def number_of(text: str | None, name: str, most: int) -> int:
    """Read digits as a whole number up to `most`; the ValueError shows what stands there."""
    digits = (text or "").strip()
    good = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
    require(good and int(digits) <= most, name, text, f"a whole number up to {most}")
    return int(digits)


def member_of(path: Path, name: str) -> IO[bytes]:
    """Open one member of a ZIP to be read on; ValueError for one that is packed too well, locked, or not there."""
    _require_short_directory(path)
    try:
        packed = zipfile.ZipFile(path)
        member = packed.getinfo(name)
        require(not member.flag_bits & 1, name, "encrypted", "a member that opens without a password")
        require(member.file_size <= MOST_BYTES, name, f"{member.file_size} bytes", f"at most {MOST_BYTES}: split it")
        return packed.open(member)
    except KeyError:
        raise ValueError(f"the ZIP has no {name}; expected an export with it at the top") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, struct.error) as error:
        raise ValueError(f"the ZIP cannot be read ({error})") from error


def _require_short_directory(path: Path) -> None:
    """Look at a ZIP's list of members before it is read into memory."""
    with path.open("rb") as reader:
        reader.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = reader.read()
    at = tail.rfind(b"PK\5\6")
    end = tail[at:at + 22]
    require(at >= 0 and len(end) == 22, "the ZIP's end", end, "a list of members")
    require(b"PK\6\7" not in tail[max(0, at - 20):at], "the ZIP", "one of over 4 GiB or 65,535 members", "a smaller one")
    (num_bytes,) = struct.unpack_from("<I", end, 12)
    require(num_bytes <= _MOST_DIRECTORY_BYTES, "the ZIP's list of members", f"{num_bytes} bytes", f"{_MOST_DIRECTORY_BYTES}")


def objects_of(path: Path) -> Iterator[object]:
    """Yield what a JSON file's array holds, one thing at a time; ValueError says after which thing it breaks off.

    RecursionError for one that is nested too deep.
    """
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8-sig") as reader:
        text = reader.read(_CHUNK_BYTES).lstrip()
        if not text.startswith("["):
            raise ValueError(f"it holds no list of tasks but begins with {shown(text[:40])}")
        count, at = 0, 1
        while True:
            text, at = _upto_value(reader, text, at, first=count == 0)
            if text[at:at + 1] == "]":
                return
            value, text, at = _next_value(reader, decoder, text, at, count + 1)
            count += 1
            yield value


def _upto_value(reader: IO[str], text: str, at: int, *, first: bool) -> tuple[str, int]:
    """Pass over spaces and the comma before a value, reading on where the text ends."""
    comma = first
    while True:
        while at < len(text) and (text[at] in " \t\r\n" or (text[at] == "," and not comma)):
            comma = comma or text[at] == ","
            at += 1
        if at < len(text):
            require(comma or text[at] == "]", "the list", text[at:at + 40], "a comma between things, ] at the end")
            return text, at
        text, at = reader.read(_CHUNK_BYTES), 0
        require(bool(text), "the list", "broken off", "] at its end")


def _next_value(reader: IO[str], decoder: json.JSONDecoder, text: str, at: int, number: int) -> tuple[object, str, int]:
    while True:
        try:
            value, end = decoder.raw_decode(text, at)
            if end < len(text):  # a number could go on
                return value, text, end
            problem = "broken off"
        except json.JSONDecodeError as error:
            problem = str(error)
        held = len(text) - at
        # Doubled each time, so that what is read again and again adds up to no more than twice the whole.
        more = reader.read(min(max(_CHUNK_BYTES, held), MOST_ITEM_BYTES)) if held <= MOST_ITEM_BYTES else ""
        if not more:
            defect = f"of over {MOST_ITEM_BYTES} letters" if held > MOST_ITEM_BYTES else f"no JSON ({problem[:200]})"
            raise ValueError(f"task {number} of the list is {defect}: {shown(text[at:at + 40])}")
        text, at = text[at:] + more, 0
