"""What every store of objects promises, and how roots and objects are named; `labeling.objects` opens one.

A root or object is a path, file:///path, or s3://bucket/prefix; the bucket may be an access point, by its ARN or its alias.
Keys that match `_HIDDEN` belong to the store itself (files being written, a lock, probes): they are never listed and cannot
be keys.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote

from labeling.errors import BadConfiguration

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_THREADS = 16
_HELD_ANSWERS = 1024  # of `map_objects`, at a time
_HIDDEN = re.compile(r"\.~[^/]*\.beside")
_ACCESS_POINT = re.compile(r"(arn:[\w-]+:s3:[\w-]+:\d{12}:accesspoint[/:][a-z0-9-]+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """One object as a listing shows it; `modified_at` in seconds since the epoch."""

    key: str
    num_bytes: int
    etag: str
    modified_at: float


class Objects(Protocol):
    """What a room may ask of a place that keeps objects; implementations pickle and are safe to share among threads."""

    @property
    def root(self) -> str:
        """The place: a folder's absolute path or s3://bucket/prefix."""

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Every object whose key starts with `prefix`, ascending by key; nothing where the folder is absent."""

    def stat(self, key: str) -> ObjectStat | None:
        """What the object is, or None where there is none."""

    def get(self, key: str) -> bytes:
        """The object's bytes; FileNotFoundError naming the uri where there is none."""

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """The object's bytes from `start` up to `stop`, fewer where it ends before; FileNotFoundError where there is none."""

    def put(self, key: str, body: bytes) -> str:
        """Write the object whole, over what was there; returns its etag."""

    def put_file(self, key: str, path: Path) -> str:
        """Write a file's bytes as the object, whole, over what was there; returns its etag."""

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write the object unless the key is taken; of many writers exactly one is told True."""

    def put_if_match(self, key: str, body: bytes, etag: str) -> bool:
        """Write the object only while it is the one with `etag`; False when it moved on or is gone."""

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is fine."""

    def sweep(self) -> int:
        """Remove what killed writers left beside objects, and nothing else; returns how many files that were."""

    def download(self, key: str, path: Path) -> None:
        """Copy the object to `path`, which appears whole or not at all; FileNotFoundError where there is none."""

    def uri(self, key: str) -> str:
        """The object's full name, for people and for `split_uri`."""


def check_key(key: str, refused: Set[str] = frozenset({"", ".", ".."})) -> str:
    """Return `key`, or raise a ValueError if one of its parts is `refused`: it could leave the root or have two names."""
    parts = key.split("/")
    if not key or "\0" in key or not refused.isdisjoint(parts):
        raise ValueError(f"key is {key!r}; expected parts joined by slashes, none of them among {sorted(refused)}")
    if _HIDDEN.fullmatch(parts[-1]):
        raise ValueError(f"key is {key!r}; expected another name: those like '.~*.beside' are kept for files being written")
    return key


def is_hidden(key: str) -> bool:
    """Return whether a stored name is one of this module's own and no object."""
    return _HIDDEN.fullmatch(key.rpartition("/")[2]) is not None


def missing(uri: str) -> FileNotFoundError:
    """The error for an object that is not there."""
    return FileNotFoundError(errno.ENOENT, "no such object", uri)


def map_objects(objects: Objects, call: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Yield `call(item)` in the order of the items: by threads where each call waits for a server, else one after another."""
    if not objects.root.startswith("s3://"):
        yield from map(call, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(_THREADS) as threads:
        while chunk := list(islice(rest, _HELD_ANSWERS)):
            yield from threads.map(call, chunk)


def split_s3_root(root: str) -> tuple[str, str]:
    """Split a root into its bucket and its prefix, without slashes around it; raises BadConfiguration where it is no root."""
    bucket, prefix = _split_after_bucket(root)
    prefix = prefix.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if ".." in parts:
        raise BadConfiguration(f"{root!r} holds '..'; expected s3://bucket/prefix")
    if "" in parts:
        plain = "/".join(["s3:/", bucket, *filter(None, parts)])
        raise BadConfiguration(
            f"{root!r} has an empty part between slashes; expected s3://bucket/prefix, perhaps {plain}. "
            f"Where keys are named so, give s3://{bucket} and choose them by source.glob or a manifest"
        )
    return bucket, prefix


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Split an object's uri into (root, key), as `split_uri` does."""
    bucket, path = _split_after_bucket(uri)
    parts = path.split("/")
    if not parts[-1]:
        raise BadConfiguration(f"{uri!r} names no object; expected s3://bucket/key")
    if "" in parts:
        return f"s3://{bucket}", path
    return "/".join([f"s3://{bucket}", *parts[:-1]]), parts[-1]


def _split_after_bucket(uri: str) -> tuple[str, str]:
    path = uri.removeprefix("s3://")
    if path.startswith("arn:"):
        point = _ACCESS_POINT.match(path)
        if point is None:
            raise BadConfiguration(
                f"{uri!r} is an ARN that cannot be used here; expected s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix, "
                "or the access point's alias as the bucket: s3://ALIAS/prefix"
            )
        return point[1], path[point.end():]
    bucket, _, key = path.partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise BadConfiguration(f"{uri!r} names no bucket; expected s3://bucket/prefix")
    return bucket, key


def split_uri(uri: str) -> tuple[str, str]:
    """Split one object's uri or path into (root, key): its parent and its name; BadConfiguration where it names none.

    Where a part of a key in S3 is empty, as in s3://bucket/a//b, the key is whole and the root is the bucket.
    """
    if uri.startswith("s3://"):
        return split_s3_uri(uri)
    if "://" in uri and not uri.startswith("file://"):
        raise BadConfiguration(f"{uri!r} cannot be read; expected a path, file:///path or s3://bucket/key")
    path = os.path.abspath(os.path.expanduser(local_path(uri)))
    if not uri or path == "/":
        raise BadConfiguration(f"{uri!r} names no file; expected a path, file:///path or s3://bucket/key")
    return os.path.split(path)


def local_path(text: str) -> str:
    """Return the path that a path or file:///path names; BadConfiguration for a uri of another machine."""
    if not text.startswith("file://"):
        return text
    path = text.removeprefix("file://").removeprefix("localhost")
    if not path.startswith("/"):
        raise BadConfiguration(f"{text!r} names another machine, or a relative path; expected file:///path from the top")
    return unquote(path)
