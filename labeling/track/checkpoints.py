"""The released SAM 2 checkpoints: which there are, fetching one so that a broken line costs nothing, and checking it.

A checkpoint's SHA-256 is recorded beside it in `<file>.sha256` (as `sha256sum` writes it) when it is fetched or first built
a network from, and what differs from the record later is refused. Planning compares and records nothing.
"""

import fcntl
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from labeling.errors import BadConfiguration, BadInput, Unavailable
from labeling.files import written_beside
from labeling.ingest.digests import Digests

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]

_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_TRIES_WITHOUT_PROGRESS = 5


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One released file: `name` in this project's configuration, the file, the network it fits, and where it is."""

    name: str
    file: str
    variant: str
    url: str

    @property
    def names(self) -> frozenset[str]:
        """Every name it can be asked for by."""
        return frozenset({self.name, self.variant, self.file, self.file.removesuffix(".pt")})


def list_checkpoints() -> tuple[Checkpoint, ...]:
    """The eight released checkpoints (facebookresearch/sam2, "Model Description"), 2.1 first."""
    sizes = (("tiny", "t"), ("small", "s"), ("base_plus", "b+"), ("large", "l"))
    releases = (("sam2.1_hiera", "092824", ""), ("sam2_hiera", "072824", "sam2_"))
    return tuple(
        Checkpoint(f"{short}{size}", f"{family}_{size}.pt", f"{family}_{letter}", f"{_HOST}/{day}/{family}_{size}.pt")
        for family, day, short in releases
        for size, letter in sizes
    )


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of that name, variant or file; BadConfiguration lists the names otherwise."""
    for checkpoint in list_checkpoints():
        if name in checkpoint.names:
            return checkpoint
    names = ", ".join(checkpoint.name for checkpoint in list_checkpoints())
    raise BadConfiguration(f"checkpoint is {name!r}; expected one of {names}, or a released file's name")


def fetch_checkpoint(
    name: str, folder: str | Path, *, mirror_url: str | None = None, progress: Progress | None = None, pause_s: float = 1.0
) -> Path:
    """Bring a released checkpoint into `folder` and return its path; what is there already is checked, not fetched.

    `mirror_url` is a folder that holds the file, or the file itself. What was fetched before the line broke, now or in an
    earlier call, is kept in `<file>.part` and continued. `progress(bytes_so_far, bytes_in_all or None)` is called as bytes
    come. Raises BadConfiguration (unknown name, no such file at the url), Unavailable (`source_unavailable`; a later call
    goes on from there), BadInput (`bad_checkpoint`: not what was recorded at first use).
    """
    checkpoint = find_checkpoint(name)
    url = _url_of(checkpoint, mirror_url)
    path = Path(folder).expanduser() / checkpoint.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(path) as part:
        if not path.exists():
            _fill(part, url, progress or _silent, pause_s)
            _refuse_page(Path(part.name), url)
            os.replace(part.name, path)
    verify_checkpoint(path)
    return path


def verify_checkpoint(path: str | Path, *, record_it: bool = True) -> str:
    """Return the file's SHA-256 after comparing it with the record beside it; with `record_it` one is made if there is none.

    Raises FileNotFoundError, or BadInput (`bad_checkpoint`) where the file is not what was recorded.
    """
    path = Path(path).expanduser()
    record, sha256 = path.with_name(f"{path.name}.sha256"), sha256_of(path)
    try:
        recorded = record.read_text().split()[:1]
    except FileNotFoundError:
        if record_it:
            _record(record, f"{sha256}  {path.name}\n")
        return sha256
    if recorded != [sha256]:
        message = f"{path} has SHA-256 {sha256}; {record.name} recorded {recorded} at first use"
        raise BadInput(f"{message}. Fetch the file again, or remove the record if the change is meant", "bad_checkpoint")
    return sha256


def sha256_of(path: str | Path) -> str:
    """Return a file's SHA-256 in hex; remembered by path, size and modification time, so a large file is read once."""
    with Digests() as digests:
        return digests.of(Path(path).expanduser())


def _record(record: Path, text: str) -> None:
    try:
        with written_beside(record) as beside:
            beside.write_text(text)
    except OSError as error:
        log.warning("%s cannot be written (%s); the checkpoint is not checked next time", record, error)


def _url_of(checkpoint: Checkpoint, mirror_url: str | None) -> str:
    if mirror_url is None:
        return checkpoint.url
    if urlsplit(mirror_url).scheme not in ("http", "https"):
        raise BadConfiguration(f"the mirror is {mirror_url!r}; expected http(s)://host/folder that holds {checkpoint.file}")
    return mirror_url if mirror_url.endswith(".pt") else f"{mirror_url.rstrip('/')}/{checkpoint.file}"


@contextmanager
def _part_of(path: Path) -> Iterator[BinaryIO]:
    """Give the file that fetched bytes are added to, held by one process at a time; an empty one is not left behind."""
    with path.with_name(f"{path.name}.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        try:
            yield part
        finally:
            if part.tell() == 0 or path.exists():
                Path(part.name).unlink(missing_ok=True)


def _fill(part: BinaryIO, url: str, progress: Progress, pause_s: float) -> None:
    """Fetch what the part file lacks, again and again while that brings it on."""
    tries = 0
    while True:
        before, problem = part.tell(), "the line broke"
        try:
            if _fetch_rest(part, url, progress):
                return
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404, 410):
                raise BadConfiguration(f"{url} answers {error.code} {error.reason}; correct the mirror's url") from error
            problem = f"{error.code} {error.reason}"
        except (OSError, HTTPException) as error:
            problem = str(error) or type(error).__name__
        # A line that breaks often still brings the file; only one that brings nothing several times in a row is given up.
        tries = 0 if part.tell() > before else tries + 1
        if tries >= _TRIES_WITHOUT_PROGRESS:
            remainder = f"{part.tell()} bytes are kept in {part.name}; a later call goes on from there"
            raise Unavailable(f"{url} cannot be fetched ({problem}); {remainder}", "source_unavailable")
        time.sleep(pause_s * tries)


def _fetch_rest(part: BinaryIO, url: str, progress: Progress) -> bool:
    """Ask for the bytes from where the part file ends and add them; True when the file is whole."""
    note = Path(f"{part.name}.of")
    try:
        answer = urllib.request.urlopen(_request(part, note, url), timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return _is_end(error, part, note)
    with answer:
        # It sends all of the file: this is another version, or it knows no ranges.
        if answer.status != 206:
            part.truncate(0)
        total = _total_of(answer, part.seek(0, os.SEEK_END))
        note.write_text(f"{answer.headers.get('ETag') or answer.headers.get('Last-Modified') or ''}\n{total}")
        while chunk := answer.read(_CHUNK_BYTES):
            part.write(chunk)
            progress(part.tell(), total)
    part.flush()
    os.fsync(part.fileno())
    whole = total is None or part.tell() == total
    if whole:
        note.unlink()
    return whole


def _request(part: BinaryIO, note: Path, url: str) -> urllib.request.Request:
    """Ask for the rest if it is known what the part is of, and only of that: another version comes from the start."""
    headers = {"User-Agent": "samurai-labeling", "Accept-Encoding": "identity"}
    version = note.read_text().partition("\n")[0] if note.exists() else None
    if version is None or version.startswith("W/"):
        part.truncate(0)
    have = part.seek(0, os.SEEK_END)
    if have:
        headers["Range"] = f"bytes={have}-"
    if have and version:
        headers["If-Range"] = version
    return urllib.request.Request(url, headers=headers)


def _is_end(error: urllib.error.HTTPError, part: BinaryIO, note: Path) -> bool:
    """Whether a refused range means that nothing is lacking; if it means anything else, start again."""
    total = error.headers.get("Content-Range", "").rpartition("/")[2]
    whole = total.isdigit() and int(total) == part.tell()
    note.unlink(missing_ok=True)
    return whole


def _total_of(answer: HTTPResponse, have: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return have + int(length) if length else None


def _refuse_page(part: Path, url: str) -> None:
    """A mirror that answers with a page of its own instead of the file must not leave that page as a checkpoint."""
    with part.open("rb") as reader:
        head = reader.read(256).lstrip()
    if not head or head[:1] == b"<":
        part.unlink()
        raise BadInput(f"{url} gave {head[:40]!r} and no checkpoint; correct the mirror's url", "bad_checkpoint")


def _silent(num_bytes: int, total: int | None) -> None:
    pass
