"""A stored object as a file that Arrow reads by parts: of a large one in S3, only what is asked for is fetched."""

import hashlib
import io

from labeling.objects import Objects

_PART_BYTES = 8 << 20


class RangedReader(io.RawIOBase):
    """Reads an object by ranges; FileNotFoundError where there is none.

    The object must not be written again while it is open.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        found = objects.stat(key)
        if found is None:
            raise FileNotFoundError(objects.uri(key))
        self._objects, self._key, self._num_bytes, self._at = objects, key, found.num_bytes, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` from the start, from here or from the end; returns the place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._num_bytes}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Fetch up to `size` bytes from here on, all that are left without one."""
        stop = self._num_bytes if size < 0 else min(self._num_bytes, self._at + size)
        body = self._objects.get_range(self._key, self._at, stop) if stop > self._at else b""
        self._at += len(body)
        return body


def sha256_of_object(objects: Objects, key: str) -> str:
    """Return the SHA-256 of an object's bytes, of which a few MiB are held at a time; FileNotFoundError where there is none."""
    seen, at = hashlib.sha256(), 0
    while part := objects.get_range(key, at, at + _PART_BYTES):
        seen.update(part)
        at += len(part)
        if len(part) < _PART_BYTES:
            break
    return seen.hexdigest()
