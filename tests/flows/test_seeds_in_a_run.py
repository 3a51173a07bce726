"""`qc.seeds`: what an actor does about prompts before it follows them."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.configure import load_config
from flows.label_video import LabelVideo
from flows.run import review_queue as reviewing
from flows.run.plan import plan_run
from labeling import rle
from labeling.config import LabelConfig
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Receipt
from labeling.objects import open_objects
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import read_snapshot, read_tracks
from labeling.track.predictor import recipe_of
from labeling.types import Decision, Prompt, TableRow
from tests.fixtures_clips import write_clip


def settings(tmp_path: Path, seeds: str) -> LabelConfig:
    return load_config([
        f"source.uri={tmp_path}/clips", f"prompts.uri={tmp_path}/p.jsonl", f"store.root={tmp_path}/store", "model=nano",
        "model.image_size=128", f"run.scratch={tmp_path}/scratch", f"qc.seeds={seeds}",
    ])


def labelled(tmp_path: Path, seeds: str) -> tuple[Receipt, list[TableRow]]:
    """Two boxes on one object and a mask elsewhere, labelled as an actor does it: the receipt, and rows of `tracks`."""
    (tmp_path / "clips").mkdir(exist_ok=True)
    write_clip(tmp_path / "clips" / "a.mp4", num_frames=3)
    sign = np.zeros((48, 64), bool)
    sign[4:14, 30:50] = True
    box = {"video": "a.mp4", "frame_idx": 0, "box_xyxy": [0, 18, 9, 29]}
    mask = {"video": "a.mp4", "frame_idx": 0, "mask": {"size": [48, 64], "counts": rle.encode(sign).counts}}
    rows = [{**box, "object_id": 1}, {**box, "object_id": 2}, {**mask, "object_id": 3}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = settings(tmp_path, seeds)
    objects = open_objects(config.store.root)
    recipe, plan = plan_run(config, objects, "run-1", corrections=PromptTable({}))
    work = LabelVideo(config, recipe, "run-1")
    work.setup("cpu")
    receipt = work(plan.jobs[0], deadline=math.inf)
    publish(objects, config.qc, run_id="run-1")
    tracks = [name for name in receipt.files if name.startswith("tracks/")]
    return receipt, pq.read_table(str(tmp_path / "store" / tracks[0])).to_pylist()


def test_warned_of_prompts_are_followed_and_go_to_people(tmp_path: Path) -> None:
    receipt, rows = labelled(tmp_path, "warn")
    assert (receipt.num_objects, dict(receipt.dead_objects)) == (3, {})
    assert [row["seed_twin"] == 1.0 for row in rows] == [True, True, False]
    assert all(0 <= row["seed_fit"] <= 1 and 0 <= row["seed_agreement"] <= 1 for row in rows[:2])
    for stored in read_masklets(str(tmp_path / "store")):
        if stored.track_id in ("1", "2"):
            assert stored.verdict.decision is not Decision.ACCEPT
            flag = next(flag for flag in stored.verdict.flags if flag.signal == "seed_twin")
            assert (flag.reason, flag.value, flag.threshold, flag.frame_span) == ("wrong_seed", 1.0, 0.8, (0, 1))


def test_what_is_asked_about_is_held_and_the_rest_is_followed(tmp_path: Path) -> None:
    receipt, rows = labelled(tmp_path, "ask")
    assert (receipt.num_objects, dict(receipt.dead_objects)) == (3, {})
    assert [(row["track_id"], row["num_masks"], row["direction"]) for row in rows] == [
        ("1", 1, "held"), ("2", 1, "held"), ("3", 3, "forward")
    ]
    for stored in read_masklets(str(tmp_path / "store")):
        if stored.track_id in ("1", "2"):
            assert stored.verdict.decision is Decision.REVIEW
            assert {flag.reason for flag in stored.verdict.flags} == {"wrong_seed"}


def test_an_answer_makes_the_object_due(tmp_path: Path) -> None:
    labelled(tmp_path, "ask")
    config = settings(tmp_path, "ask")
    objects = open_objects(config.store.root)

    def due(seeds: str = "ask") -> set[int]:
        corrections = reviewing.corrections_now(config, objects)
        _, plan = plan_run(settings(tmp_path, seeds), objects, "run-2", corrections=corrections)
        return {o for job in plan.jobs for o in job.keys}

    with reviewing.open_queue(config) as queue:
        reviewing.open_items(objects, queue, read_snapshot(objects), "run-1")
        first, second = queue.list()[:2]
        assert [item.reasons for item in (first, second)] == [("wrong_seed",)] * 2
        assert due() == set()
        # Without asking they are followed at once.
        assert due("warn") == {1, 2}
        queue.decide(first.key, "accept", reviewer="ada")
        drawn = Prompt(int(second.key.track_id), 0, box_xyxy=(30, 4, 50, 14))
        queue.decide(second.key, "correct", reviewer="ada", prompts=[drawn])
        assert due() == {1, 2}
        table = reviewing.collect_corrections(objects, queue)
    (prompt,) = (p for p in table.by_video["a.mp4"] if p.mask is not None)
    assert (prompt.object_id, prompt.frame_idx) == (int(first.key.track_id), 0)
    _, plan = plan_run(config, objects, "run-2", corrections=table)
    (job,) = plan.jobs
    work = LabelVideo(config, recipe_of(config.model, config.precision, config.tracker), "run-2")
    work.setup("cpu")
    receipt = work(job, deadline=math.inf)
    publish(objects, config.qc, run_id="run-2")
    # The twin that was accepted is not asked about again; nothing is held any more.
    assert (receipt.num_objects, receipt.num_masks) == (2, 6)
    rows = read_tracks(objects, read_snapshot(objects)).to_pylist()
    assert [(row["label_version"], row["direction"]) for row in rows] == [(2, "forward"), (2, "forward"), (1, "forward")]
    assert due() == set()


@pytest.mark.parametrize("seeds", ["off"])
def test_nothing_is_looked_at_without(tmp_path: Path, seeds: str) -> None:
    _, rows = labelled(tmp_path, seeds)
    assert [(row["seed_fit"], row["seed_twin"]) for row in rows] == [(None, None)] * 3
