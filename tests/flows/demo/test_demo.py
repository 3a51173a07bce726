"""The demo shows both sides of the judge: what it accepts, and what it leaves to a person."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flows.configure import load_config
from flows.demo.clips import render_demo
from flows.demo.demo import cleared, compare, print_masklets, run_demo
from flows.run.plan import plan_run
from flows.run.review_queue import open_queue
from labeling.errors import BadConfiguration
from labeling.ingest.prompts import PromptTable
from labeling.objects import open_objects
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
        queue.open_from_snapshot(objects, read_snapshot(objects))
        assert {(item.video_key, item.key.track_id) for item in queue.list()} == {("twins.mp4", "1"), ("twins.mp4", "2")}
    rows = compare(truth, config)
    assert np.mean([row.mean for row in rows]) < 0.8, "nobody need look at them"
    printed = io.StringIO()
    print_masklets(config, rows, Console(file=printed, width=200))
    assert "over 2 masklets; of those the judge accepted: none" in printed.getvalue()


def test_a_folder_with_other_files_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.txt").write_text("years")
    with pytest.raises(BadConfiguration, match=r"no \.labeling-demo"):
        run_demo(str(tmp_path), Console(file=io.StringIO()))
    with pytest.raises(BadConfiguration, match="expected a folder"):
        run_demo(str(tmp_path / "dataset" / "thesis.txt"), Console(file=io.StringIO()))
    assert (tmp_path / "dataset" / "thesis.txt").read_text() == "years"


def test_of_an_earlier_demo_only_what_it_made_goes(tmp_path: Path) -> None:
    folder = cleared(tmp_path / "demo")
    for name in ("clips", "dataset", "notes"):
        (folder / name).mkdir()
        (folder / name / "file").write_text("x")
    (folder / "thesis.txt").write_text("years")
    cleared(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".labeling-demo", "notes", "thesis.txt"]
