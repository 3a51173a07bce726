"""What one more result costs in a large dataset: `python -m tests.bench.publish COUNT [--storage 2|3] [--root FOLDER]`.

Makes a dataset of COUNT masklets, one a video, out of rows alone: no video, and masks of one video in two. Then each step is a
process of its own: publish nothing, one new masklet, one decision; plan 30,000 videos of which none is due; read one video's
masklets; count verdicts. Printed are seconds on the clock, CPU seconds, peak RSS, and the MiB that a step wrote.
"""

import argparse
import hashlib
import json
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from labeling.ingest.listing import video_id_of
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store import commit as committing
from labeling.store import layout, schemas
from labeling.store.changes import Changes
from labeling.store.commit import commit
from labeling.store.contents import Contents
from labeling.store.judges import judges_of
from labeling.store.keys import Keyer
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import _plain, publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import read_snapshot, read_verdicts
from labeling.types import ReviewDecision
from tests.bench.upkeep import QC, measured, told
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job

PLANNED = 30_000
SLICE = 50_000


def video_key(number: int) -> str:
    """Name a video that is not there."""
    return f"{number:08d}.mp4"


def made_contents(numbers: range) -> Contents:
    """Return rows of so many videos, each with one masklet whose key is that of `made_store`'s recipe."""
    (track, video), keyer, count = told(1), Keyer(RECIPE), len(numbers)
    ids = sorted((video_id_of(video_key(number)), number) for number in numbers)
    video_ids, keys = [video_id for video_id, _ in ids], [video_key(number) for _, number in ids]
    prompts = [box_prompt(1)]
    made_of = [json.dumps(dict(keyer.components(key, prompts)), sort_keys=True) for key in keys]
    own = {"video_id": video_ids, "batch": [hashlib.sha256(v.encode()).hexdigest()[:16] for v in video_ids]}
    own |= {"key": [keyer.key(key, prompts) for key in keys], "components": made_of}
    batches, made_at = own["batch"], "2026-01-01T00:00:00+00:00"
    shared = {"written_at": made_at, "verdict": "accept", "risk": 0.01, "flags": []}

    def table(schema: pa.Schema, **columns: list[Any]) -> pa.Table:
        given = own | columns
        values = {**track, **video, **shared}
        arrays = [
            pa.array(given[f.name] if f.name in given else [values.get(f.name)] * count, f.type) for f in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    files = [layout.data_file(name, *batch) for batch in zip(video_ids, batches, strict=True) for name in layout.DATA_TABLES]
    described = {
        "file": files, "table": [*layout.DATA_TABLES] * count, "video_id": [v for v in video_ids for _ in range(3)],
        "batch": [b for b in batches for _ in range(3)], "rows": [1, 1, 8] * count, "num_bytes": [7000] * (3 * count),
        "sha256": [hashlib.sha256(file.encode()).hexdigest() for file in files],
    }
    return Contents(
        ledger=table(schemas.LEDGER),
        files=pa.table(described, schema=schemas.FILES).sort_by("file"),
        tracks=table(schemas.SNAPSHOT_TRACKS, masks_file=[None] * count),
        videos=table(schemas.VIDEOS, video_key=keys, uri=[f"/v/{key}" for key in keys]),
        verdicts=table(schemas.VERDICTS),
    )


def made(root: str, count: int, storage: int) -> str:
    """Make the dataset: its rows and no masks."""
    committing.NEW_STORES = storage
    objects = FolderObjects(root)
    qc = _plain(QC, judges_of(objects, QC.judge))
    if storage == schemas.FILES_VERSION:
        snapshot = commit(objects, None, made_contents(range(count)), qc, run_id="made")
    else:
        version = Changes(objects, None)
        for start in range(0, count, SLICE):
            version.add(Contents.none(), made_contents(range(start, min(count, start + SLICE))))
        snapshot = version.commit(qc, run_id="made")
    assert snapshot is not None
    return f"{snapshot.counts['tracks']:,} masklets"


def written(root: str) -> int:
    """Return the bytes of all files of a store."""
    return sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file())


def wrote(root: str, step: Any) -> str:
    """Do a step and say what it wrote, and what came of it."""
    before = written(root)
    said = step()
    return f"{said}, {(written(root) - before) / 2**20:.2f} MiB written"


def published_one(root: str, count: int) -> str:
    """Label one more video and publish it."""
    objects = FolderObjects(root)
    with tempfile.TemporaryDirectory() as scratch:
        ref = ref_of(f"new-{datetime.now(UTC):%H%M%S%f}.mp4")
        ledger = read_ledger(objects, [ref.video_id])
        (job,) = make_plan([ref], PromptTable({ref.key: (box_prompt(1),)}), ledger, RECIPE, "bench").jobs
        write_job(objects, job, Path(scratch))
    return ref.key


def decided(root: str, number: int) -> str:
    """Publish one decision."""
    video_id = video_id_of(video_key(number))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    decision = ReviewDecision(video_id, "1", 1, "reject", "a", now)
    return publish(FolderObjects(root), QC, run_id="bench", decisions=[decision]).name


def planned(root: str, count: int) -> str:
    """Plan the first of the videos again, and say how many are due."""
    refs = [ref_of(video_key(number), video_key(number)) for number in range(min(PLANNED, count))]
    table = PromptTable({ref.key: (box_prompt(1),) for ref in refs})
    ledger = read_ledger(FolderObjects(root), [ref.video_id for ref in refs])
    plan = make_plan(refs, table, ledger, RECIPE, "bench")
    return f"{len(plan.entries):,} videos, {len(plan.jobs)} due"


def counted(root: str) -> str:
    """Count the verdicts of the newest snapshot by reading them."""
    objects = FolderObjects(root)
    return str(read_verdicts(objects, read_snapshot(objects))["verdict"].value_counts().to_pylist())


def one_video(root: str, number: int) -> str:
    """Read the masklets of the newest video, which alone has masks."""
    objects = FolderObjects(root)
    keys = sorted(Path(root, "masks").rglob("*.parquet"))
    video_id = keys[-1].name.partition("-")[0]
    return f"{sum(len(m.frames) for m in read_masklets(objects, video=video_id))} masks"


def main() -> None:
    """Measure every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--storage", type=int, default=schemas.STORAGE_VERSION, choices=(2, 3))
    parser.add_argument("--root", help="where the dataset is made and stays")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root, count = asked.root or f"{folder}/store", asked.count
        measured("imports alone", lambda: "-")
        if not Path(root).exists():
            measured(f"make {count:,} masklets, storage version {asked.storage}", lambda: made(root, count, asked.storage))
        measured("label one video", lambda: published_one(root, count))
        measured("publish it", lambda: wrote(root, lambda: publish(FolderObjects(root), QC, run_id="bench").name))
        measured("publish nothing", lambda: wrote(root, lambda: publish(FolderObjects(root), QC, run_id="bench").name))
        measured("publish one decision", lambda: wrote(root, lambda: decided(root, count // 2)))
        measured("plan", lambda: planned(root, count))
        measured("count verdicts", lambda: counted(root))
        measured("read one video", lambda: one_video(root, count))


if __name__ == "__main__":
    main()
