"""The demo shows both sides of the judge: what it accepts, and what it leaves to a person."""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from flows.configure import load_config
from flows.demo import compare, print_masklets
from flows.demo_clips import render_demo
from flows.planning import plan_run
from flows.reviewing import open_queue
from labeling.ingest.prompts import PromptTable
from labeling.objects import open_objects
from labeling.review.from_snapshot import open_from_snapshot
from labeling.store.snapshots import read_snapshot
from tests.bench.review_loop import carry_out


def test_look_alikes_that_cross_are_mistaken_for_each_other_and_wait_for_a_person(tmp_path: Path) -> None:
    truth = render_demo(tmp_path / "clips")
    config = load_config([
        f"source.uri={tmp_path / 'clips'}", "source.glob=twins.mp4", f"prompts.uri={truth.prompts}", "model=nano",
        f"store.root={tmp_path / 'dataset'}", f"run.scratch={tmp_path / 'scratch'}", "tracker=samurai", "qc=default",
    ])
    objects = open_objects(config.store.root)
    carry_out(config, objects, *plan_run(config, objects, "run-1", corrections=PromptTable({})))

    with open_queue(config) as queue:
        open_from_snapshot(queue, objects, read_snapshot(objects))
        assert {(item.video_key, item.key.track_id) for item in queue.list()} == {("twins.mp4", "1"), ("twins.mp4", "2")}
    rows = compare(truth, config)
    assert np.mean([row.mean for row in rows]) < 0.8, "nobody need look at them"
    printed = io.StringIO()
    print_masklets(config, rows, Console(file=printed, width=200))
    assert "over 2 masklets; of those the judge accepted: none" in printed.getvalue()
