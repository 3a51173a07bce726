"""Which side of a split each video is on: `snapshots/vN/splits.parquet`, a row a video.

Videos come in groups that stay together: those of one prefix of keys, and those whose pictures are nearly the same, by a
perceptual hash (`alike`). A group that had a side keeps it, so additions move nothing. New groups come in the order of a hash
of their name, rarest category first, and each takes the side that lacks most of its categories.
"""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labeling.errors import require
from labeling.export.selection import DEFAULT_CATEGORY
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.objects import Objects
from labeling.store import layout
from labeling.store.records import video_from_row
from labeling.store.snapshots import Snapshot, read_tracks, read_videos
from labeling.types import Video

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
LOOKED_AT = 5
MARGIN = 1.0  # of 255: less is what an encoder does to a plain ground
FEWEST_BITS = 8  # a picture with fewer is too plain to be told from others
NEAR_BITS = 10  # of 64: hashes of a re-encoded picture differ by up to about 6, those of two pictures by about 32
SCHEMA = pa.schema([(name, pa.string()) for name in ("video_id", "key", "group", "split")])


@dataclass(frozen=True, slots=True)
class SplitVideo:
    """A video with what a split looks at; `hashes` are those of some of its frames (K,) uint64."""

    video_id: str
    key: str
    categories: Mapping[str, int]
    hashes: tuple[int, ...] = ()


def picture_hash(grey_HW: npt.NDArray[np.float64]) -> int:
    """Return 64 bits that say where a picture gets brighter from left to right, on 8 x 9 means over its area."""
    rows = np.array_split(np.arange(grey_HW.shape[0]), 8)
    columns = np.array_split(np.arange(grey_HW.shape[1]), 9)
    means = np.array([[grey_HW[np.ix_(r, c)].mean() for c in columns] for r in rows])
    bits = (means[:, 1:] > means[:, :-1] + MARGIN).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def alike(first: Sequence[int], second: Sequence[int]) -> bool:
    """Return whether two videos show nearly the same: half of the frames' hashes of the one are near one of the other's."""
    if not first or not second:
        return False
    near = sum(min((a ^ b).bit_count() for b in second) <= NEAR_BITS for a in first)
    return 2 * near > len(first)


def grouped(videos: Sequence[SplitVideo], *, prefix_parts: int = 0) -> dict[str, str]:
    """Return the group of each video's id: the least key of those that stay together.

    `prefix_parts` n keeps together the keys that agree in their first n folders; 0 takes each video for itself.
    """
    parent = {video.video_id: video.video_id for video in videos}

    def top(name: str) -> str:
        while parent[name] != name:
            name = parent[name] = parent[parent[name]]
        return name

    by_prefix: dict[str, str] = {}
    for video in videos:
        if prefix_parts:
            prefix = "/".join(video.key.split("/")[:-1][:prefix_parts])
            parent[top(video.video_id)] = top(by_prefix.setdefault(prefix, video.video_id))
    for number, video in enumerate(videos):
        for other in videos[:number]:
            if alike(video.hashes, other.hashes) or alike(other.hashes, video.hashes):
                parent[top(video.video_id)] = top(other.video_id)
    least: dict[str, str] = {}
    for video in videos:
        name = top(video.video_id)
        least[name] = min(video.key, least.get(name, video.key))
    return {video.video_id: least[top(video.video_id)] for video in videos}


def assign(
    videos: Sequence[SplitVideo], groups: Mapping[str, str], *, shares: Mapping[str, float] = SHARES,
    before: Mapping[str, str] | None = None, seed: int = 0,
) -> dict[str, str]:
    """Return the side of each video's id; `before` are sides that were given earlier, which groups keep.

    Raises ValueError when shares are not above 0 and do not add up to 1.
    """
    require(bool(shares) and min(shares.values()) > 0, "shares", dict(shares), "numbers above 0")
    require(abs(sum(shares.values()) - 1) < 1e-6, "shares", dict(shares), "a sum of 1")
    members: dict[str, list[SplitVideo]] = defaultdict(list)
    for video in videos:
        members[groups[video.video_id]].append(video)
    has = {side: Counter[str]() for side in shares}
    sides: dict[str, str] = {}
    for group, together in members.items():
        given = Counter(side for video in together if (side := (before or {}).get(video.video_id)) is not None)
        known = [(given[side], side) for side in shares if given[side]]
        if known:
            sides[group] = max(known)[1]
            has[sides[group]] += _weights(together)
    everywhere = _weights(videos)
    for group in sorted(set(members) - set(sides), key=lambda name: _order(name, members[name], everywhere, seed)):
        weights = _weights(members[group])
        sides[group] = max(shares, key=lambda side: (_lack(has[side], weights, everywhere, shares[side]), shares[side]))
        has[sides[group]] += weights
    return {video.video_id: sides[groups[video.video_id]] for video in videos}


def _weights(videos: Iterable[SplitVideo]) -> Counter[str]:
    """How many tracks of each category the videos have, and under "" how many videos they are."""
    total = Counter[str]()
    for video in videos:
        total.update(video.categories)
        total[""] += 1
    return total


def _order(name: str, together: Sequence[SplitVideo], everywhere: Mapping[str, int], seed: int) -> tuple[int, str]:
    rarest = min((everywhere[category] for video in together for category in video.categories), default=0)
    return rarest, hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _lack(has: Mapping[str, int], weights: Mapping[str, int], everywhere: Mapping[str, int], share: float) -> float:
    """How much of its share a side is short of, in the mean over a group's categories, each as a part of that share."""
    short = [1 - has.get(name, 0) / (share * everywhere[name]) for name in weights]
    return sum(short) / len(short)


def hashes_of(video: Video, scratch: Path) -> tuple[int, ...]:
    """Return the hashes of `LOOKED_AT` frames spread over a video, its file fetched to `scratch`.

    Raises BadInput or Unavailable where it cannot be read.
    """
    frame_indices = sorted({int(video.num_frames * (2 * k + 1) / (2 * LOOKED_AT)) for k in range(LOOKED_AT)})
    fetched = fetch_video(video.ref, scratch, run_id="split")
    with fetched as path, FrameReader(path, video, frame_indices) as frames:
        pictures = [frames.scaled(k, width=72) for k in range(len(frames))]
    hashes = (picture_hash(picture_HW3.mean(axis=2)) for picture_HW3 in pictures)
    return tuple(bits for bits in hashes if bits.bit_count() >= FEWEST_BITS)


def split_snapshot(
    objects: Objects, snapshot: Snapshot, *, shares: Mapping[str, float] = SHARES, prefix_parts: int = 0, seed: int = 0,
    look: bool = True, scratch: Path,
) -> dict[str, str]:
    """Give every video of a snapshot its side, write the table beside it, and return the sides by video id.

    With `look`, videos that are nearly the same are found by their pictures: a copy that was encoded or scaled anew is on the
    side of its original. The hash of pictures, and no feature of an encoder, because it finds copies without weights and is
    the same on every machine. Raises ValueError for bad shares, BadInput or Unavailable for a video that cannot be read.
    """
    categories: dict[str, Counter[str]] = defaultdict(Counter)
    for row in read_tracks(objects, snapshot).select(["video_id", "category"]).to_pylist():
        categories[row["video_id"]][row["category"] or DEFAULT_CATEGORY] += 1
    probed = {row["video_id"]: video_from_row(row) for row in read_videos(objects, snapshot).to_pylist()}
    videos = [
        SplitVideo(video_id, video.ref.key, categories[video_id], hashes_of(video, scratch) if look else ())
        for video_id, video in sorted(probed.items(), key=lambda item: item[1].ref.key)
    ]
    groups = grouped(videos, prefix_parts=prefix_parts)
    sides = assign(videos, groups, shares=shares, before=read_splits(objects, snapshot), seed=seed)
    names = [{"video_id": v.video_id, "key": v.key, "group": groups[v.video_id], "split": sides[v.video_id]} for v in videos]
    write_splits(objects, snapshot, names)
    return sides


def write_splits(objects: Objects, snapshot: Snapshot, rows: Sequence[Mapping[str, str]]) -> str:
    """Write the table beside the snapshot and return its key."""
    body, key = io.BytesIO(), layout.splits(snapshot.version)
    pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda row: row["key"]), schema=SCHEMA), body)
    objects.put(key, body.getvalue())
    return key


def read_splits(objects: Objects, snapshot: Snapshot) -> dict[str, str]:
    """Return the side of each video's id: the snapshot's table, else that of the newest snapshot before it that has one."""
    made = (layout.splits_version(stat.key) for stat in objects.list(layout.SNAPSHOTS))
    for version in sorted((v for v in made if v is not None and v <= snapshot.version), reverse=True):
        with suppress(FileNotFoundError):
            table = pq.read_table(pa.BufferReader(objects.get(layout.splits(version))))
            return dict(zip(table["video_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    return {}
