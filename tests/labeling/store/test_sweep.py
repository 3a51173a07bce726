"""Only what no marker names and no job may still be writing is removed."""

import os
import time
from pathlib import Path

from labeling.config import QCConfig
from labeling.objects import FolderObjects
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.sweep import sweep_orphans
from tests.labeling.store.made_store import RECIPE, Table, box_prompt, ref_of, write_job


def test_old_files_without_a_marker_go_and_nothing_else(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    refs = [ref_of(key) for key in ("published.mp4", "waiting.mp4", "killed.mp4", "running.mp4")]
    table = Table({ref.key: (box_prompt(1),) for ref in refs})
    written = {}
    for job in make_plan(refs, table, read_ledger(store), RECIPE, "run").jobs:
        written[job.video.key] = write_job(store, job, tmp_path / "scratch").files
        if job.video.key == "published.mp4":
            publish(store, QCConfig(), run_id="run")
        if job.video.key in ("killed.mp4", "running.mp4"):
            store.delete(written[job.video.key][-1])
    long_ago = time.time() - 100_000
    for key, files in written.items():
        for file in files[:3] if key != "running.mp4" else ():
            os.utime(tmp_path / "store" / file, (long_ago, long_ago))
    store.put("masks/notes.txt", b"someone's own")
    os.utime(tmp_path / "store" / "masks/notes.txt", (long_ago, long_ago))
    assert sorted(sweep_orphans(store, read_ledger(store))) == sorted(written["killed.mp4"][:3])
    left = {stat.key for stat in store.list("masks/")}
    assert left == {"masks/notes.txt", *(files[0] for key, files in written.items() if key != "killed.mp4")}
    assert sweep_orphans(store, read_ledger(store)) == []
