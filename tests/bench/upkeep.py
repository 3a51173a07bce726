"""Upkeep of many small files: `python -m tests.bench.upkeep [COUNT]` makes a dataset of COUNT files and times each step.

A third of the files are masks, of one object on eight frames. Of every hundredth there is a second version. Each step is a
process of its own; the table has its seconds on the clock, its CPU seconds and its peak RSS. With `--root FOLDER` the dataset
stays, and `--first` and `--last` take the steps in several goes.
"""

import argparse
import hashlib
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labeling import rle
from labeling.config import QCConfig
from labeling.ingest.listing import video_id_of
from labeling.objects import FolderObjects
from labeling.store import layout, schemas
from labeling.store.commit import commit, restore
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import read_contents, read_snapshot, verify_files
from labeling.store.verdicts import judge_tracks
from labeling.store.versions.compact import compact
from labeling.store.versions.diff import diff_snapshots
from labeling.store.versions.vacuum import Retention, plan_vacuum, vacuum
from tests.labeling.store.made_store import query_of

FRAMES, SIZE_HW = 8, (270, 480)
QC = QCConfig("bench")
# Stand for what differs between videos, each of the length of what takes its place.
VIDEO_ID, BATCH, NUMBER = "video-id-of-one-", "batch-of-a-video", "number"


def made(root: str, count: int) -> None:
    """Make the two versions."""
    objects = FolderObjects(root)
    publish(objects, QC, run_id="empty")
    videos = range(count // 3)
    commit_version(objects, videos, 1)
    commit_version(objects, videos[::100], 2)


def commit_version(objects: FolderObjects, numbers: Iterable[int], label_version: int) -> None:
    """Write a batch for each video, without a flush of each file to disk, and commit them."""
    parent = read_snapshot(objects)
    before, rows = read_contents(objects, parent), {"ledger": [], "files": [], "tracks": [], "videos": []}
    for number in numbers:
        write_batch(Path(objects.root), number, label_version, rows)
    new = {row["video_id"] for row in rows["tracks"]}
    fresh = {
        name: pa.Table.from_pylist(rows[name], schema)
        for name, schema in (("ledger", schemas.LEDGER), ("files", schemas.FILES), ("videos", schemas.VIDEOS))
    }
    tracks = pa.Table.from_pylist(rows["tracks"], schemas.SNAPSHOT_TRACKS)
    old = before.tracks.filter(pa.array([v not in new for v in before.tracks["video_id"].to_pylist()], pa.bool_()))
    tracks = pa.concat_tables([old, tracks]).sort_by("video_id")
    after = replace(
        before,
        tracks=tracks,
        verdicts=judge_tracks(tracks.to_pylist(), {}, {}, QC),
        files=pa.concat_tables([before.files, fresh["files"]]).sort_by("file"),
        ledger=pa.concat_tables([before.ledger, fresh["ledger"]]),
        videos=pa.concat_tables([before.videos, fresh["videos"]]),
    )
    commit(objects, parent, after, parent.qc, run_id=f"bench-{label_version}")


def write_batch(root: Path, number: int, label_version: int, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write the three files of one video and note what the tables beside a snapshot say of them."""
    video_id, batch = video_id_of(f"{number:06d}.mp4"), f"{number * 10 + label_version:016x}"
    written = {VIDEO_ID: video_id, BATCH: batch, NUMBER: f"{number:06d}"}
    for table, body in templates(label_version).items():
        for name, value in written.items():
            body = body.replace(name.encode(), value.encode())
        key = layout.data_file(table, video_id, batch)
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        rows["files"].append({
            "file": key, "table": table, "video_id": video_id, "batch": batch, "rows": FRAMES if table == "masks" else 1,
            "num_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(),
        })
    track, video = told(label_version)
    for table, row in (("tracks", track), ("videos", video), ("ledger", track | {"written_at": "", "components": "{}"})):
        rows[table].append({n: _written(value, written) if isinstance(value, str) else value for n, value in row.items()})


def _written(value: str, names: dict[str, str]) -> str:
    for name, real in names.items():
        value = value.replace(name, real)
    return value


@cache
def templates(label_version: int) -> dict[str, bytes]:
    """The three files of a video, not compressed, so that names of one length can be put into their bytes."""
    track, video = told(label_version)
    found = {
        "masks": pa.Table.from_pylist(mask_rows(label_version), schemas.MASKS),
        "tracks": pa.Table.from_pylist([track], schemas.TRACKS),
        "videos": pa.Table.from_pylist([video], schemas.VIDEOS),
    }
    bodies = {}
    for table, content in found.items():
        sink = pa.BufferOutputStream()
        pq.write_table(content, sink, compression="none")
        bodies[table] = sink.getvalue().to_pybytes()
    return bodies


@cache
def told(label_version: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of a video's track and of the video."""
    names = {"video_id": VIDEO_ID, "batch": BATCH, "run_id": "bench", "created_at": "2026-01-01T00:00:00+00:00"}
    track = names | {
        "track_id": "1", "object_id": 1, "label_version": label_version, "key": BATCH * 4, "prompts": "[]",
        "first_frame_idx": 0, "last_frame_idx": FRAMES - 1, "num_masks": FRAMES, "num_visible": FRAMES, "signal_spans": "{}",
        "model": "bench", "checkpoint_sha256": "bench", "tracker": "samurai", "precision": "fp32", "image_size": 256,
        "device": "cpu", "presence_threshold": 0.0, "direction": "forward", "semantics_version": 1, "code_version": "0",
        "category": "thing",
    }
    video = names | {
        "video_key": f"{NUMBER}.mp4", "uri": f"/v/{NUMBER}.mp4", "content_id": NUMBER, "num_bytes": 1000,
        "height": SIZE_HW[0], "width": SIZE_HW[1], "frame_rate": 25.0, "frame_rate_numerator": 25,
        "frame_rate_denominator": 1, "num_frames": FRAMES, "duration_seconds": FRAMES / 25, "codec": "h264",
        "rotation_degrees": 0,
    }
    return track, video


def mask_rows(label_version: int) -> list[dict[str, Any]]:
    """Eight masks of an ellipse that moves, two pixels further down in the second version."""
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return [
        {
            "video_id": VIDEO_ID, "track_id": "1", "frame_idx": i, "pts_seconds": i / 25, "height": SIZE_HW[0],
            "width": SIZE_HW[1], "area": 1, "box_xywh": [0, 0, 1, 1], "predicted_iou": 0.9, "object_score": 5.0,
            "rle": rle.encode(((y - 100 - 2 * label_version) / 40) ** 2 + ((x - 100 - 2 * i) / 60) ** 2 < 1).counts,
            "visible": True, "source": "model", "label_version": label_version, "key": BATCH * 4,
        }
        for i in range(FRAMES)
    ]


def query(root: str, version: str) -> str:
    """Count and sum what DuckDB sees of a snapshot."""
    import duckdb

    *before, rows = query_of(root, version)
    for statement in before:
        duckdb.sql(statement)
    sums = "count(*), sum(frame_idx), sum(label_version), count(DISTINCT video_id), sum(hash(video_id, frame_idx, rle))"
    return str(duckdb.sql(f"SELECT {sums} FROM ({rows})").fetchall())


def read_all(objects: FolderObjects, version: str) -> str:
    """Read every masklet of a snapshot."""
    return f"{sum(len(masklet.frames) for masklet in read_masklets(objects, snapshot=version)):,} masks"


def diffed(objects: FolderObjects, before: str, after: str) -> str:
    """Compare two snapshots."""
    found = diff_snapshots(objects, read_snapshot(objects, before), read_snapshot(objects, after))
    mean = "" if found.mean_j is None else f", J {found.mean_j:.3f}"
    return f"{len(found.added)} added, {len(found.changed)} changed{mean}, {found.same} the same"


def compacted(root: str) -> str:
    """Pack the newest snapshot."""
    done = compact(FolderObjects(root), run_id="bench", scratch=Path(f"{root}-scratch"))
    if done is None:
        return "nothing to pack"
    return f"{done.files_before:,} -> {done.files_after:,} files, {done.bytes_packed / 2**20:.1f} MiB of masks"


def vacuumed(objects: FolderObjects, *, apply: bool) -> str:
    """Remove all but the newest snapshot's, or say what that would be."""
    planned = plan_vacuum(objects, Retention(keep_last=1, keep_days=0, min_age_hours=0), now=time.time() + 10)
    if apply:
        vacuum(objects, planned)
    return f"{len(planned.objects):,} objects, {planned.num_bytes / 2**20:.0f} MiB"


def steps(root: str, count: int) -> dict[str, Callable[[], object]]:
    """What is timed, in order."""
    objects = FolderObjects(root)
    return {
        "imports alone": lambda: "-",
        "make it": lambda: made(root, count),
        "diff v2 v3": lambda: diffed(objects, "v000002", "v000003"),
        "DuckDB, v3, small files": lambda: query(root, "v000003"),
        "read v3, small files": lambda: read_all(objects, "v000003"),
        "compact": lambda: compacted(root),
        "DuckDB, v4, packed": lambda: query(root, "v000004"),
        "read v4, packed": lambda: read_all(objects, "v000004"),
        "diff v3 v4": lambda: diffed(objects, "v000003", "v000004"),
        "verify v4": lambda: f"{len(list(verify_files(objects, read_snapshot(objects, 'v000004'))))} bad files",
        "restore v3": lambda: restore(objects, 3, run_id="bench").name,
        "DuckDB, v5, restored": lambda: query(root, "v000005"),
        "restore v4": lambda: restore(objects, 4, run_id="bench").name,
        "vacuum, dry run": lambda: vacuumed(objects, apply=False),
        "vacuum": lambda: vacuumed(objects, apply=True),
        "DuckDB, v6, after vacuum": lambda: query(root, "v000006"),
    }


def measured(name: str, step: Callable[[], object]) -> None:
    """Do a step in a forked process and print what it took; RuntimeError when it fails."""
    started, child = time.perf_counter(), os.fork()
    if child == 0:
        try:
            print(f"  {step() or ''}", flush=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status, used = os.wait4(child, 0)
    wall, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    print(f"{name}: {wall:.1f} s, {cpu:.1f} s of CPU, peak {used.ru_maxrss / 2**10:.0f} MiB", flush=True)
    if status:
        raise RuntimeError(f"{name} failed")


def main() -> None:
    """Measure every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--root", type=Path, help="where the dataset is made and stays")
    parser.add_argument("--first", type=int, default=0, help="the number of the first step")
    parser.add_argument("--last", type=int, default=99)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        todo = steps(str(asked.root or f"{folder}/store"), asked.count)
        for name in list(todo)[asked.first : asked.last + 1]:
            measured(name, todo[name])


if __name__ == "__main__":
    main()
