"""Writes one job's rows: Parquet files in local scratch while tracking, one PUT each at the end, the done marker last.

Rows of several objects may come interleaved; each object's come in ascending frames. At most `GROUP_ROWS` rows of each
object are held. Until the marker is there, what was put is followed by no reader, and a retry overwrites it.
"""

import json
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from labeling.objects import Objects
from labeling.store import layout, schemas
from labeling.store.parquet import conform, open_writer, sha256_of
from labeling.store.records import MASK_CELLS, TrackRow, mask_to_row, track_to_row, video_to_row
from labeling.types import Cell, FrameMask, TableRow, Video

__all__ = ["GROUP_ROWS", "BatchWriter", "TrackRow", "WrittenBatch"]

GROUP_ROWS = 256
_BATCH = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """What a finished batch put: its files' keys (marker last) and the number of rows in `masks`."""

    files: tuple[str, ...]
    num_masks: int


@dataclass(slots=True)
class _TrackBuffer:
    """The rows of one object that wait for a full row group, and what was counted of those before."""

    label_version: int
    key: str
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    first_frame_idx: int | None = None
    last_frame_idx: int | None = None
    num_masks: int = 0
    num_visible: int = 0


class BatchWriter:
    """Collects one job's masks; a context manager that removes its scratch files, whatever happens.

    `components` are the digests by object that `Job.components` carries: they let a later plan say what changed.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        run_id: str,
        video: Video,
        batch: str,
        scratch: Path,
        components: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        if len(batch) != 16 or not _BATCH.issuperset(batch):
            raise ValueError(f"batch is {batch!r}; expected 16 hex digits, as batch_of() makes them from the job's keys")
        self._objects, self._run_id, self._video, self._batch = objects, layout.check_run_id(run_id), video, batch
        self._components = components or {}
        self._tracks: dict[int, _TrackBuffer] = {}
        scratch.mkdir(parents=True, exist_ok=True)
        # A name of its own: two attempts at one job may share the scratch folder.
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=scratch))
        self._masks = open_writer(self._path("masks"), schemas.MASKS)

    @property
    def name(self) -> str:
        """What the batch's files are called."""
        return f"{self._video.ref.video_id}-{self._batch}"

    def __enter__(self) -> "BatchWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._masks.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, object_id: int, label_version: int, key: str, mask: FrameMask) -> None:
        """Take one mask; ValueError when the object's frames do not ascend or its key or version changes on the way."""
        track = self._tracks.setdefault(object_id, _TrackBuffer(label_version, key))
        if (track.label_version, track.key) != (label_version, key):
            raise ValueError(
                f"object {object_id} has label_version {label_version} and key {key[:12]}; "
                f"its rows so far have {track.label_version} and {track.key[:12]}"
            )
        if track.last_frame_idx is not None and mask.frame_idx <= track.last_frame_idx:
            raise ValueError(f"object {object_id} has frame {mask.frame_idx} after {track.last_frame_idx}; expected ascending")
        if track.first_frame_idx is None:
            track.first_frame_idx = mask.frame_idx
        track.last_frame_idx = mask.frame_idx
        track.num_masks += 1
        track.num_visible += mask.visible
        track.rows.append(mask_to_row(mask))
        if len(track.rows) == GROUP_ROWS:
            # A row group holds one object, so that a reader of one track decodes no other.
            self._write_group(object_id, track)

    def finish(self, tracks: Sequence[TrackRow], *, cuts: Collection[int] | None = None) -> WrittenBatch:
        """Put the files, then the marker: from then on the objects are done. One row for each object of the job.

        `cuts` are those that were found in the video, None where nobody looked.

        Raises:
            ValueError: a track without a row here, or one whose key or version differ from its masks'.
        """
        self._check(tracks)
        for object_id, track in sorted(self._tracks.items()):
            if track.rows:
                self._write_group(object_id, track)
        self._masks.close()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_small(tracks, now, None if cuts is None else tuple(cuts))
        num_masks = sum(t.num_masks for t in self._tracks.values())
        rows = {"masks": num_masks, "tracks": len(tracks), "videos": 1}
        files = [self._put(table, count) for table, count in rows.items()]
        # Last: the marker is what makes the files count, and it holds their checksums.
        marker = layout.marker(self._run_id, self._video.ref.video_id, self._batch)
        self._objects.put(marker, self._marker(files, tracks, now))
        return WrittenBatch((*(str(f["file"]) for f in files), marker), num_masks)

    def _path(self, table: str) -> Path:
        return self._folder / f"{table}.parquet"

    def _write_group(self, object_id: int, track: _TrackBuffer) -> None:
        columns: dict[str, list[Cell]] = dict(zip(MASK_CELLS, map(list, zip(*track.rows, strict=True)), strict=True))
        ids: dict[str, str | int] = {
            "video_id": self._video.ref.video_id, "track_id": str(object_id),
            "label_version": track.label_version, "key": track.key,
        }
        columns |= {name: [value] * len(track.rows) for name, value in ids.items()}
        table = pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schemas.MASKS], schema=schemas.MASKS)
        self._masks.write_table(table, row_group_size=GROUP_ROWS)
        track.rows = []

    def _check(self, tracks: Sequence[TrackRow]) -> None:
        object_ids = {t.object_id for t in tracks}
        if len(object_ids) != len(tracks) or not object_ids or not set(self._tracks) <= object_ids:
            raise ValueError(
                f"tracks are of objects {sorted(t.object_id for t in tracks)}; "
                f"expected each object once, those with masks among them: {sorted(self._tracks)}"
            )
        for row in tracks:
            track = self._tracks.setdefault(row.object_id, _TrackBuffer(row.label_version, row.key))
            if (track.label_version, track.key) != (row.label_version, row.key):
                raise ValueError(f"object {row.object_id}'s row has another label_version or key than its masks")

    def _write_small(self, tracks: Sequence[TrackRow], now: str, cuts: tuple[int, ...] | None) -> None:
        video_row = video_to_row(replace(self._video, cuts=cuts), batch=self._batch, run_id=self._run_id, created_at=now)
        for table, schema, rows in (
            ("tracks", schemas.TRACKS, [self._track_row(t) for t in tracks]),
            ("videos", schemas.VIDEOS, [video_row]),
        ):
            with open_writer(self._path(table), schema) as writer:
                writer.write_table(conform(pa.Table.from_pylist(rows, schema=schema), schema))

    def _track_row(self, row: TrackRow) -> TableRow:
        track = self._tracks[row.object_id]
        counts = {
            "first_frame_idx": track.first_frame_idx, "last_frame_idx": track.last_frame_idx,
            "num_masks": track.num_masks, "num_visible": track.num_visible,
        }
        return {**track_to_row(row), **counts, "video_id": self._video.ref.video_id, "batch": self._batch}

    def _put(self, table: str, rows: int) -> TableRow:
        path, key = self._path(table), layout.data_file(table, self._video.ref.video_id, self._batch)
        described = {"file": key, "rows": rows, "num_bytes": path.stat().st_size, "sha256": sha256_of(path)}
        self._objects.put_file(key, path)
        return described

    def _marker(self, files: Sequence[TableRow], tracks: Sequence[TrackRow], now: str) -> bytes:
        covered = [
            {
                "object_id": t.object_id, "label_version": t.label_version, "key": t.key,
                "components": dict(self._components.get(t.object_id, {})),
            }
            for t in tracks
        ]
        document = {
            "storage_version": schemas.FILES_VERSION, "written_by": f"samurai-labeling {schemas.code_version()}",
            "run_id": self._run_id, "video_id": self._video.ref.video_id, "video_key": self._video.ref.key,
            "content_id": self._video.ref.content_id, "batch": self._batch, "written_at": now,
            "objects": covered, "files": list(files),
        }
        return json.dumps(document, indent=1, sort_keys=True).encode()
