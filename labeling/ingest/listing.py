"""Which videos there are: everything under a root that a glob matches, or what a manifest names.

Nothing is downloaded: the content id comes from S3's listing, or for a local file from its digest, which is remembered.
"""

import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from labeling.config import SourceConfig
from labeling.errors import BadConfiguration, BadInput, LabelingError, require, shown
from labeling.ingest.digests import Digests
from labeling.ingest.names import compile_glob, has_video_suffix, literal_start, names_suffix
from labeling.ingest.tables import Row, read_rows
from labeling.objects import FolderObjects, Objects, ObjectStat, check_key, open_objects, split_uri
from labeling.objects_contract import local_path
from labeling.types import VideoRef
from sam2.video.files import UnreadableVideo, refuse_kind

log = logging.getLogger(__name__)

MISSING = "missing"  # the content id of a video that is not there, or cannot be read
_LINK = "it is a link that leads out of the source, to {}; set source.uri to a folder above both, or name it in a manifest"
_ASKED_ONE_BY_ONE = 64  # a manifest with more videos is looked up in one listing


def list_videos(source: SourceConfig) -> Iterator[VideoRef]:
    """Yield the source's videos in the order of their keys, at most `source.limit`.

    Without a manifest: what `source.glob` matches under `source.uri`; unless the glob names a suffix, only files with a
    suffix that videos have. macOS's `._*` companions are left out. With one: the videos it names, each once, of those that
    the glob matches; one that is not there comes with the content id `missing`.
    Raises BadConfiguration for a root or manifest that cannot be read, Unavailable where a server does not answer.
    """
    if source.limit is not None and source.limit < 0:
        raise BadConfiguration(f"source.limit is {source.limit}; expected 0 or more, or null for all")
    matches = compile_glob(source.glob).match
    if source.manifest:
        refs = _named_in(source.manifest, source.uri)
        return itertools.islice((ref for ref in refs if matches(ref.key)), source.limit)
    if not source.uri:
        raise BadConfiguration("source.uri and source.manifest are empty; expected a folder, s3://bucket/prefix or a manifest")
    return itertools.islice(_videos_under(source.uri, source.glob), source.limit)


def why_source_is_gone(source: SourceConfig, uri: str) -> str:
    """Say why nothing at all of a source can be reached any more, "" where something can.

    Of what a run planned with, one video may be gone or closed, or all of it: a disk that went away, a right taken back. The
    videos of a manifest have no place in common: of these, only the bucket of the one at `uri`, which failed, is asked whether
    it takes a signature of ours at all.
    """
    if source.manifest:
        return _why_signatures_fail(uri)
    try:
        first = next(list_videos(replace(source, limit=1)), None)
    except BadConfiguration as error:
        return str(error)
    except (LabelingError, OSError):
        return ""
    return "" if first is not None else f"the source {source.uri} holds no video any more; bring it back and run again"


def _why_signatures_fail(uri: str) -> str:
    """Say that a bucket refuses our signature for whatever is asked of it; "" where it refuses for another reason or not."""
    if not uri.startswith("s3://"):
        return ""
    try:
        # One odd key may break a signature with some servers; a listing of the whole bucket names no key.
        next(open_objects("s3://" + uri.removeprefix("s3://").partition("/")[0]).list(), None)
    except BadConfiguration as error:
        return str(error) if "SignatureDoesNotMatch" in str(error) else ""
    except (LabelingError, OSError):
        return ""
    return ""


def video_id_of(key: str) -> str:
    """The first 16 hex digits of SHA-256 of a key relative to the source's root."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def ref_of(uri: str) -> VideoRef:
    """The video at a path or uri by itself, with its name as key; FileNotFoundError where there is none.

    Raises BadInput for a name that is not UTF-8, of which no key can be made.
    """
    root, key = split_uri(uri)
    if not _is_utf8(key):
        raise BadInput(f"{uri!r} has a name that is not UTF-8; rename it", "not_a_video")
    objects = open_objects(root, unavailable="source_unavailable")
    stat = objects.stat(key)
    if stat is None:
        what = "is a folder" if os.path.isdir(objects.uri(key)) else "does not exist"
        raise FileNotFoundError(f"{uri} {what}; expected a video file")
    with Digests() as digests:
        return _ref(key, objects.uri(key), stat, digests)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_id_of(uri: str, stat: ObjectStat, digests: Digests) -> str:
    """What tells one content from another: S3's ETag and size, or the digest of a local file.

    Raises BadInput (`not_a_video`) for a pipe or a device: to read one could take for ever.
    """
    if uri.startswith("s3://"):
        return f"etag:{stat.etag}:{stat.num_bytes}"
    try:
        refuse_kind(os.stat(uri), uri)
    except UnreadableVideo as error:
        raise BadInput(str(error), error.reason) from error
    return f"sha256:{digests.of(uri)}"


def _ref(key: str, uri: str, stat: ObjectStat, digests: Digests) -> VideoRef:
    try:
        content_id = content_id_of(uri, stat, digests)
    except (BadInput, PermissionError):  # it costs itself alone: who fetches it says why
        content_id = MISSING
    return VideoRef(video_id_of(key), key, uri, content_id, stat.num_bytes)


def _open_source(root: str) -> Objects:
    objects = open_objects(root, unavailable="source_unavailable")
    if not objects.root.startswith("s3://") and not os.path.isdir(objects.root):
        raise BadConfiguration(f"the source {objects.root} does not exist; expected a folder of videos")
    return objects


def _videos_under(root: str, glob: str) -> Iterator[VideoRef]:
    objects, matches, any_suffix = _open_source(root), compile_glob(glob).match, names_suffix(glob)
    top = os.path.realpath(objects.root) if isinstance(objects, FolderObjects) else None
    with Digests() as digests:
        for stat in objects.list(literal_start(glob)):
            if not matches(stat.key) or not (any_suffix or has_video_suffix(stat.key)):
                continue
            if stat.key.rpartition("/")[2].startswith("._"):
                continue
            uri = objects.uri(stat.key)
            if top is not None and _leads_out(uri, top):
                log.warning("%s is passed over: %s", uri, _LINK.format(os.path.realpath(uri)))
                continue
            try:
                yield _ref(stat.key, uri, stat, digests)
            except FileNotFoundError:
                log.warning("%s went away while the source was listed", uri)


def _leads_out(path: str, top: str) -> bool:
    real = os.path.realpath(path)
    return os.path.commonpath([real, top]) != top


def why_not_listed(source: SourceConfig, video: str) -> str:
    """Say why a folder's listing passed over what is at a name; "" where nothing is there, or it cannot be told."""
    if source.manifest or not source.uri or source.uri.startswith("s3://"):
        return ""
    path = os.path.join(open_objects(source.uri).root, video)
    try:
        if os.path.islink(path) and not os.path.exists(path):
            return f"it is a link to {shown(os.readlink(path))}, which is not there"
        refuse_kind(os.stat(path), "it")
    except UnreadableVideo as error:
        return str(error).partition(";")[0]
    except PermissionError as error:
        return f"it may not be looked at ({error.strerror})"
    except (OSError, ValueError):
        return ""
    return _LINK.format(os.path.realpath(path)) if _leads_out(path, os.path.realpath(open_objects(source.uri).root)) else ""


def _named_in(manifest: str, uri: str) -> Iterator[VideoRef]:
    """Yield a manifest's videos in key order; its `root` (a value that holds from its row on) goes before `source.uri`,
    which goes before the manifest's own folder."""
    root = uri or split_uri(manifest)[0]
    locations: dict[str, tuple[str, str]] = {}  # key -> (root, key below it)
    roots: dict[str, str] = {}
    for row in read_rows(manifest, what="manifest", columns=()):
        try:
            root = _root_of(row, manifest) or root
            if _only_sets_root(row):
                continue
            at_root = roots.get(root) or roots.setdefault(root, _open_source(root).root)
            key, location = _location_of(_video_of(row), at_root)
        except ValueError as error:
            raise BadConfiguration(f"manifest {manifest}, line {row.line}: {error}") from error
        locations[key] = location
    with Digests() as digests:
        stats = _stats_of(set(locations.values()))
        for key in sorted(locations, key=str.encode):
            yield _ref_or_missing(key, *locations[key], stats, digests)


def _only_sets_root(row: Row) -> bool:
    return row.problem is None and row.values.get("video") is None and row.values.get("root") is not None


def _root_of(row: Row, manifest: str) -> str | None:
    root = row.values.get("root")
    if root is None:
        return None
    require(isinstance(root, str) and bool(root), "root", root, "a folder or s3://bucket/prefix")
    if "://" in root or "://" in manifest:
        return str(root)
    return os.path.join(split_uri(manifest)[0], os.path.expanduser(root))


def _video_of(row: Row) -> str:
    if row.problem is not None:
        raise ValueError(row.problem)
    video = row.values.get("video")
    require(isinstance(video, str) and bool(video.strip()), "video", video, "a key or uri")
    return str(video)


def _ref_or_missing(
    key: str, root: str, below: str, stats: Mapping[tuple[str, str], ObjectStat | None], digests: Digests
) -> VideoRef:
    uri, stat = open_objects(root).uri(below), stats[root, below]
    if stat is None:
        return VideoRef(video_id_of(key), key, uri, MISSING, 0)
    return _ref(key, uri, stat, digests)


def _location_of(video: str, root: str) -> tuple[str, tuple[str, str]]:
    """A manifest's word for a video as (key, (root, key below that root)).

    A uri below the root gives the key below it; one elsewhere gives its own text without the colon, which stays a path.
    """
    full = local_path(video)
    base = root.rstrip("/") + "/"
    if "://" not in full and not full.startswith("/"):
        key = check_key(full.removeprefix("./"))
        return key, (root, key)
    if full.startswith(base):
        key = check_key(full[len(base):])
        return key, (root, key)
    elsewhere = full.replace("://", "/", 1) if "://" in full else f"file{full}"
    return check_key(elsewhere), split_uri(full)


def _stats_of(locations: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ObjectStat | None]:
    """Look up each (root, key): by one listing for each root with many keys, else one by one, some at a time."""
    by_root: dict[str, set[str]] = {}
    for root, key in locations:
        by_root.setdefault(root, set()).add(key)
    stats: dict[tuple[str, str], ObjectStat | None] = {}
    for root, keys in by_root.items():
        objects = open_objects(root, unavailable="source_unavailable")
        if len(keys) > _ASKED_ONE_BY_ONE:
            listed = {stat.key: stat for stat in objects.list(os.path.commonprefix(list(keys))) if stat.key in keys}
            stats |= {(root, key): listed.get(key) for key in keys}
            continue
        with ThreadPoolExecutor(max_workers=8) as threads:
            stats |= dict(zip(((root, key) for key in keys), threads.map(objects.stat, keys), strict=True))
    return stats
