"""What an export takes from a snapshot: the videos and current tracks whose verdict is asked for, in a fixed order."""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from labeling.certify.certificate import Certificate, certificate_beside
from labeling.objects import Objects
from labeling.store.reader import MaskReader
from labeling.store.records import mask_from_row, video_from_row
from labeling.store.snapshots import Snapshot, read_snapshot, read_tracks, read_verdicts, read_videos
from labeling.types import Decision, FrameMask, TableRow, Video

ACCEPTED = frozenset({"accept"})
DEFAULT_CATEGORY = "object"
_ROWS_AT_ONCE = 64  # of masks, as Python objects


@dataclass(frozen=True, slots=True)
class SelectedTrack:
    """One masklet of an export; `risk` and `verdict` are the snapshot's."""

    track_id: str
    object_id: int
    label_version: int
    category: str
    verdict: str
    risk: float
    last_frame_idx: int
    row: TableRow


@dataclass(frozen=True, slots=True)
class SelectedVideo:
    """One video of an export with its tracks by ascending object id; `folder` is its name in the export, one level deep."""

    video: Video
    folder: str
    tracks: tuple[SelectedTrack, ...]

    @property
    def num_frames(self) -> int:
        """Frames of the source, at least up to the last one that a track has."""
        return max(self.video.num_frames, *(track.last_frame_idx + 1 for track in self.tracks))


@dataclass(frozen=True, slots=True)
class Selection:
    """The snapshot's part that is exported, videos by ascending key; `left_out` counts its other tracks by verdict.

    `certificate` is what is promised of it: of accepted masklets alone, and where the snapshot has one.
    """

    snapshot: Snapshot
    verdicts: tuple[str, ...]
    videos: tuple[SelectedVideo, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    certificate: Certificate | None = None

    @property
    def categories(self) -> dict[str, int]:
        """Category names, sorted, with their numbers from 1 on."""
        names = sorted({track.category for video in self.videos for track in video.tracks})
        return {name: number for number, name in enumerate(names, start=1)}


def folder_names(keys_by_video_id: Mapping[str, str]) -> dict[str, str]:
    """Name each video by its key without suffix, anything but letters, digits, `.`, `_`, `-` as `_`; twins get their id."""
    plain = {
        video_id: re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"\.[A-Za-z0-9]{1,5}$", "", key)).strip(".") or "video"
        for video_id, key in keys_by_video_id.items()
    }
    with_id = {video_id: f"{name}-{video_id}" for video_id, name in plain.items()}
    # Some file systems do not tell upper from lower case.
    uses = Counter(name.lower() for name in plain.values())
    names = {video_id: name if uses[name.lower()] == 1 else with_id[video_id] for video_id, name in plain.items()}
    return names if len({name.lower() for name in names.values()}) == len(names) else with_id


def check_verdicts(verdicts: Collection[str]) -> tuple[str, ...]:
    """Return verdicts sorted; ValueError names one that is none, or says that there is none."""
    names = {decision.value for decision in Decision}
    for verdict in verdicts:
        if verdict not in names:
            raise ValueError(f"verdict is {verdict!r}; expected accept, review or reject")
    if not verdicts:
        raise ValueError("verdicts is empty; expected at least one of accept, review, reject")
    return tuple(sorted(verdicts))


def select(
    objects: Objects,
    *,
    verdicts: Collection[str] = ACCEPTED,
    snapshot: int | str | None = None,
    categories: Collection[str] = (),
    videos_in: Collection[str] | None = None,
) -> Selection:
    """Return the current tracks of a snapshot (the newest without one) that have one of `verdicts`.

    `categories` are those to take, all without one; `videos_in` the ids of the videos to take, None for all.

    Raises ValueError for an unknown verdict, snapshot or category.
    """
    exported = check_verdicts(verdicts)
    version = read_snapshot(objects, snapshot)
    tracks, left_out = _tracks_by_video(objects, version, frozenset(exported), frozenset(categories), videos_in)
    # Each batch has a row of its video; the latest probe holds.
    probed = sorted(read_videos(objects, version).to_pylist(), key=lambda row: row["created_at"])
    videos = {row["video_id"]: video_from_row(row) for row in probed}
    folders = folder_names({video_id: videos[video_id].ref.key for video_id in tracks})
    chosen = [
        SelectedVideo(videos[video_id], folders[video_id], tuple(sorted(rows, key=lambda track: track.object_id)))
        for video_id, rows in tracks.items()
    ]
    promised = certificate_beside(objects, version.version) if frozenset(exported) == ACCEPTED else None
    return Selection(version, exported, tuple(sorted(chosen, key=lambda entry: entry.video.ref.key)), left_out, promised)


def _tracks_by_video(
    objects: Objects,
    version: Snapshot,
    exported: frozenset[str],
    categories: frozenset[str],
    videos_in: Collection[str] | None,
) -> tuple[dict[str, list[SelectedTrack]], Mapping[str, int]]:
    judged = {}
    for row in read_verdicts(objects, version).select(["video_id", "track_id", "verdict", "risk"]).to_pylist():
        judged[row["video_id"], row["track_id"]] = (row["verdict"], row["risk"])
    columns = ["video_id", "track_id", "object_id", "label_version", "category", "batch", "last_frame_idx", "masks_file"]
    by_video: dict[str, list[SelectedTrack]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    known = set()
    for row in read_tracks(objects, version).select(columns).to_pylist():
        verdict, risk = judged[row["video_id"], row["track_id"]]
        category = row["category"] or DEFAULT_CATEGORY
        known.add(category)
        if (categories and category not in categories) or (videos_in is not None and row["video_id"] not in videos_in):
            continue
        if verdict not in exported:
            left_out[verdict] += 1
            continue
        last = -1 if row["last_frame_idx"] is None else row["last_frame_idx"]
        by_video[row["video_id"]].append(
            SelectedTrack(row["track_id"], row["object_id"], row["label_version"], category, verdict, risk, last, row)
        )
    for category in sorted(categories - known):
        there = ", ".join(sorted(known)) or "it has none"
        raise ValueError(f"category is {category!r}; expected one of {version.name}: {there}")
    return by_video, dict(sorted(left_out.items()))


def masks_of(masks: MaskReader, track: SelectedTrack) -> Iterator[FrameMask]:
    """Yield a track's masks, frames ascending; they are read together (about 0.5 KB a frame), never decoded."""
    for batch in masks.rows(track.row).to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield mask_from_row(row)


@dataclass(frozen=True, slots=True)
class ObjectOnFrame:
    """One object's mask on one frame; `number` counts the video's objects from 1 on, by ascending object id."""

    number: int
    track: SelectedTrack
    mask: FrameMask


def frames_of(masks: MaskReader, video: SelectedVideo) -> Iterator[tuple[int, list[ObjectOnFrame]]]:
    """Yield a video's tracked frames, ascending, with what was tracked on each by ascending number, seen there or not.

    The video's tracks are held as they were read, columns of Parquet; records are made of a frame at a time.
    """

    def of_track(number: int, track: SelectedTrack) -> Iterator[ObjectOnFrame]:
        return (ObjectOnFrame(number, track, mask) for mask in masks_of(masks, track))

    tracks = [of_track(number, track) for number, track in enumerate(video.tracks, start=1)]
    merged = heapq.merge(*tracks, key=lambda entry: entry.mask.frame_idx)
    for frame_idx, entries in groupby(merged, key=lambda entry: entry.mask.frame_idx):
        yield frame_idx, list(entries)
