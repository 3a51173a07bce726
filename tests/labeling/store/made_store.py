"""Small real masklets to fill a store with: moving rectangles, measured by the real meter, written by the real writer."""

import json
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from labeling import rle
from labeling.ingest.listing import video_id_of
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import Objects
from labeling.qc.signals import SignalMeter
from labeling.store import schemas
from labeling.store.keys import LabelRecipe
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.reader import read_masklets
from labeling.store.writer import BatchWriter, TrackRow, WrittenBatch
from labeling.types import FrameMask, Prompt, Provenance, Video, VideoRef

SIZE_HW = (24, 32)
RECIPE = LabelRecipe(model={"config": "sam2.1_nano", "precision": "fp32"}, tracker={"name": "samurai", "overrides": {}})


def ref_of(key: str, content_id: str = "etag-1", num_bytes: int = 1000) -> VideoRef:
    return VideoRef(video_id_of(key), key, f"s3://videos/{key}", content_id, num_bytes)


def box_prompt(object_id: int, x0: float = 2, **given: object) -> Prompt:
    return Prompt(object_id=object_id, frame_idx=0, box_xyxy=(x0, 2, x0 + 8, 10), **given)


def video_of(ref: VideoRef, num_frames: int = 6) -> Video:
    return Video(ref, SIZE_HW, Fraction(30000, 1001), num_frames, num_frames / 29.97, "h264")


@cache
def mask_of(object_id: int, frame_idx: int, *, empty: bool = False) -> FrameMask:
    mask_HW = np.zeros(SIZE_HW, bool)
    if not empty:
        left = (3 * object_id + frame_idx) % 20
        mask_HW[4:12, left : left + 8] = True
    runs = rle.encode(mask_HW)
    return FrameMask(
        frame_idx=frame_idx,
        pts_seconds=frame_idx / 29.97,
        rle=runs,
        area=rle.area(runs),
        box_xywh=rle.box_xywh(runs) if not empty else None,
        predicted_iou=0.9375,
        object_score=-3.5 if empty else 6.25,
        motion_iou=None if frame_idx == 0 else 0.5,
        stability=0.96875,
        candidate_gap=0.125,
        pointer_similarity=None,
    )


def provenance_of(run_id: str) -> Provenance:
    return Provenance(
        model="sam2.1_nano", checkpoint_sha256="untrained", tracker="samurai", precision="fp32", image_size=256,
        device="cpu", presence_threshold=-1.0, direction="forward", semantics_version=1, code_version="0.1.0",
        run_id=run_id, created_at="2026-01-01T00:00:00+00:00",
    )


def write_job(
    objects: Objects, job: Job, scratch: Path, *, num_frames: int = 6, lost_after: int | None = None, measured: bool = True
) -> WrittenBatch:
    """Label a job with rectangles, all objects interleaved; from `lost_after` on nothing is seen any more."""
    video = video_of(job.video, num_frames)
    meters = {o: SignalMeter(SIZE_HW, video.frame_rate, -1.0) for o in job.keys}
    with BatchWriter(
        objects, run_id=job.run_id, video=video, batch=job.batch, scratch=scratch, components=job.components
    ) as writer:
        for frame_idx in range(num_frames):
            for object_id, key in job.keys.items():
                mask = mask_of(object_id, frame_idx, empty=lost_after is not None and frame_idx >= lost_after)
                if measured:
                    meters[object_id].add(mask)
                writer.add(object_id, job.label_versions[object_id], key, mask)
        return writer.finish([track_row(job, o, meter) for o, meter in meters.items()])


def track_row(job: Job, object_id: int, meter: SignalMeter) -> TrackRow:
    prompts = tuple(p for p in job.prompts if p.object_id == object_id)
    return TrackRow(
        object_id=object_id,
        label_version=job.label_versions[object_id],
        key=job.keys[object_id],
        category=prompts[0].category,
        prompts=prompts,
        signals=meter.signals(),
        provenance=provenance_of(job.run_id),
    )


def keys_of_one_bucket(count: int) -> list[str]:
    """Names of videos whose ids share their first two digits."""
    bucket = video_id_of("0.mp4")[:2]
    return list(islice((f"{i}.mp4" for i in range(100_000) if video_id_of(f"{i}.mp4")[:2] == bucket), count))


def label(
    objects: Objects, scratch: Path, by_video: Mapping[str, tuple[Prompt, ...]], run_id: str = "run", **how: int
) -> list[Job]:
    """Label what is due of some videos with rectangles; nothing is published."""
    refs = [ref_of(key) for key in by_video]
    jobs = list(make_plan(refs, PromptTable(by_video), read_ledger(objects), RECIPE, run_id).jobs)
    for job in jobs:
        write_job(objects, job, scratch, **how)
    return jobs


def rows_by_duckdb(root: Path, version: str) -> list[tuple[object, ...]]:
    """Every mask of a snapshot as DuckDB reads it, by the query of `labeling.store.schemas`."""
    import duckdb

    with duckdb.connect() as connection:
        *before, query = query_of(str(root), version)
        for statement in before:
            connection.sql(statement)
        return connection.sql(f"SELECT * FROM ({query}) ORDER BY video_id, track_id, frame_idx").fetchall()


def query_of(root: str, version: str) -> list[str]:
    """The statements of `labeling.store.schemas` that select every mask of a snapshot."""
    in_parts, whole = schemas.__doc__[schemas.__doc__.index("SET") :].split("and in a store of version 2:")
    said = in_parts if "parts" in json.loads(Path(root, f"snapshots/{version}.json").read_text()) else whole
    return said.replace("ROOT", root).replace("v000001", version).split(";")


def told(objects: Objects, snapshot: int | str | None = None) -> list[tuple[object, ...]]:
    """Every masklet of a snapshot as the reader gives it."""
    return [(m.masklet, m.video, m.signals, m.verdict, m.decided_by) for m in read_masklets(objects, snapshot=snapshot)]
