"""What a run refuses to begin with, before anything is started or written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.configure import load_config
from flows.run.plan import check_inputs, part_of
from labeling.config import SourceConfig
from labeling.errors import BadConfiguration


@pytest.fixture
def inputs(clip: Callable[..., Path], tmp_path: Path) -> list[str]:
    clip("clips/a.mp4", num_frames=2)
    (tmp_path / "p.jsonl").write_text('{"video": "a.mp4", "object_id": 1, "frame_idx": 0, "box_xyxy": [1, 1, 9, 9]}\n')
    return [f"source.uri={tmp_path}/clips", f"prompts.uri={tmp_path}/p.jsonl", f"store.root={tmp_path}/store", "model=nano"]


def test_what_cannot_be_begun_with_is_named_and_left_alone(inputs: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("years")
    for override, said in (
        (f"metrics.textfile={tmp_path}/notes.txt", "metrics.textfile: .*was not written by this command"),
        (f"metrics.textfile={tmp_path}", "metrics.textfile: .*a folder"),
        (f"run.scratch={tmp_path}/notes.txt", "run.scratch is .*is no folder"),
    ):
        with pytest.raises(BadConfiguration, match=said):
            check_inputs(load_config([*inputs, override]))
    assert sorted(os.listdir(tmp_path)) == ["clips", "notes.txt", "p.jsonl"]
    assert (tmp_path / "notes.txt").read_text() == "years"
    check_inputs(load_config([*inputs, f"run.scratch={tmp_path}/notes.txt", "cluster.address=ray:6379"]))   # it is the nodes'


def test_parts_of_a_source_are_told_apart() -> None:
    parts = [SourceConfig("s"), SourceConfig("s", glob="a/**"), SourceConfig("s", limit=3), SourceConfig("s", manifest="m.csv")]
    assert [bool(part_of(part)) for part in parts] == [False, True, True, True]
    assert len({part_of(part) for part in parts}) == 4
