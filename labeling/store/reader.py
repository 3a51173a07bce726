"""Reading masklets back: one snapshot's current tracks, filtered by video, track, verdict and reason, masks as RLE or dense.

Legend: N the track's stored frames; H, W the upright video's height and width.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from labeling import rle
from labeling.ingest.listing import video_id_of
from labeling.objects import Objects, open_objects
from labeling.store.mask_rows import MaskReader, Span
from labeling.store.parquet import iterate_rows
from labeling.store.records import (
    mask_from_row,
    prompts_from_json,
    provenance_from_row,
    signals_from_row,
    verdict_from_row,
    video_from_row,
)
from labeling.store.schemas import TableRow
from labeling.store.snapshots import Snapshot, read_snapshot, read_tracks, read_verdicts, read_videos
from labeling.types import Decision, FrameMask, Masklet, Signals, Verdict, Video

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, eq=False)
class StoredMasklet:
    """A masklet with what the store says of it: its video, signals, verdict, and who decided if a person did.

    `overlap` is the containment with `overlap_track_id`, None in a video with one object. `masks_NHW` holds the dense masks
    where they were asked for, in the order of `masklet.frames`.
    """

    masklet: Masklet
    video: Video
    signals: Signals
    verdict: Verdict
    overlap: float | None
    overlap_track_id: str | None
    decided_by: str | None
    decided_at: str | None
    masks_NHW: npt.NDArray[np.bool_] | None = None

    @property
    def track_id(self) -> str:
        """The object's id as text, as the tables name it."""
        return self.masklet.track_id

    @property
    def frames(self) -> tuple[FrameMask, ...]:
        """The masks as run lengths with their scores, ascending."""
        return self.masklet.frames

    def reasons(self) -> tuple[str, ...]:
        """The reasons of the flags, the worst first."""
        return tuple(flag.reason for flag in self.verdict.flags)


def read_masklets(
    root: str | Objects,
    video: str | None = None,
    verdict: str | Decision | Collection[str] | None = None,
    reason: str | None = None,
    track: str | int | None = None,
    snapshot: int | str | Snapshot | None = None,
    dense: bool = False,
    frame_span: Span | None = None,
) -> Iterator[StoredMasklet]:
    """Yield a snapshot's current masklets by (video_id, object_id), one in memory at a time.

    Args:
        root: A folder, s3://bucket/prefix, or opened objects.
        video: A video's key, uri or id.
        verdict: One verdict or several: accept, review, reject.
        reason: A flag's reason; masklets without such a flag are left out.
        track: An object's id.
        snapshot: A version's number or name; the newest by default.
        dense: Decode every mask: N x H x W booleans for each masklet.
        frame_span: Half-open span of source frame indices; frames outside are neither read nor yielded.

    Raises:
        ValueError: there is no such snapshot or verdict, or the root was never published.
    """
    objects = open_objects(root) if isinstance(root, str) else root
    version = snapshot if isinstance(snapshot, Snapshot) else read_snapshot(objects, snapshot)
    verdicts, tracks, videos = (read(objects, version) for read in (read_verdicts, read_tracks, read_videos))
    # Both tables are by (video_id, object_id), so one filter serves both.
    selected = _selected(verdicts, videos, video=video, verdict=verdict, reason=reason, track=track)
    verdicts, tracks = verdicts.filter(selected), tracks.filter(selected)
    videos = videos.filter(pc.is_in(videos["video_id"], pc.unique(tracks["video_id"])))
    videos_by_batch = {(row["video_id"], row["batch"]): row for row in videos.to_pylist()}
    with MaskReader(objects) as masks:
        for verdict_row, row in zip(iterate_rows(verdicts), iterate_rows(tracks), strict=True):
            yield _masklet(masks, row, verdict_row, videos_by_batch[row["video_id"], row["batch"]], dense, frame_span)


def _selected(
    verdicts: pa.Table,
    videos: pa.Table,
    *,
    video: str | None,
    verdict: str | Decision | Collection[str] | None,
    reason: str | None,
    track: str | int | None,
) -> pa.Array:
    """Return which rows of `verdicts` are asked for, as booleans."""
    selected = pa.array(np.ones(len(verdicts), bool))
    if video is not None:
        selected = pc.and_(selected, pc.is_in(verdicts["video_id"], pa.array(_ids_of(video, videos), pa.string())))
    if verdict is not None:
        selected = pc.and_(selected, pc.is_in(verdicts["verdict"], pa.array(_verdicts_of(verdict), pa.string())))
    if track is not None:
        selected = pc.and_(selected, pc.equal(verdicts["track_id"], str(track)))
    if reason is not None:
        flags = verdicts["flags"].to_pylist()
        selected = pc.and_(selected, pa.array([any(f["reason"] == reason for f in row) for row in flags], pa.bool_()))
    return selected


def _ids_of(video: str, videos: pa.Table) -> list[str]:
    """Return the ids that a video's id, key or uri may mean; an id is 16 hex digits, and a key may look like one."""
    ids = [video_id_of(video)]
    if len(video) == 16 and _HEX.issuperset(video):
        ids.append(video)
    if "/" in video:
        ids += videos.filter(pc.equal(videos["uri"], video))["video_id"].to_pylist()
    return ids


def _verdicts_of(verdict: str | Decision | Collection[str]) -> list[str]:
    verdicts: Iterable[str] = [verdict] if isinstance(verdict, str) else verdict
    unknown = sorted(set(verdicts) - set(Decision))
    if unknown:
        raise ValueError(f"verdict is {unknown[0]!r}; expected {', '.join(Decision)}")
    return [Decision(name).value for name in verdicts]


def _masklet(
    masks: MaskReader,
    row: TableRow,
    verdict_row: TableRow,
    video_row: TableRow,
    dense: bool,
    frame_span: Span | None,
) -> StoredMasklet:
    frames = tuple(mask_from_row(mask) for mask in masks.rows(row, frame_span).to_pylist())
    masklet = Masklet(
        video_id=row["video_id"],
        object_id=row["object_id"],
        category=row["category"],
        prompts=prompts_from_json(row["prompts"]),
        frames=frames,
        label_version=row["label_version"],
        key=row["key"],
        provenance=provenance_from_row(row),
    )
    video = video_from_row(video_row)
    return StoredMasklet(
        masklet=masklet,
        video=video,
        signals=signals_from_row(row),
        verdict=verdict_from_row(verdict_row),
        overlap=verdict_row["overlap"],
        overlap_track_id=verdict_row["overlap_track_id"],
        decided_by=verdict_row["decided_by"],
        decided_at=verdict_row["decided_at"],
        masks_NHW=dense_masks(frames, video.size_hw) if dense else None,
    )


def dense_masks(frames: Collection[FrameMask], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode masks into one array (N, H, W); 1080p takes 2 MB a frame."""
    masks_NHW = np.zeros((len(frames), *size_hw), bool)
    for index, frame in enumerate(frames):
        masks_NHW[index] = rle.decode(frame.rle)
    return masks_NHW
