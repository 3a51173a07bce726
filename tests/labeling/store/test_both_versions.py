"""What a store in parts says is what one of version 2 says, whatever happened to both, and however small its leaves are."""

import json
from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.objects import FolderObjects
from labeling.store import commit, parts
from labeling.store.changes import merged_parts
from labeling.store.commit import restore
from labeling.store.judges import choose
from labeling.store.publish import nothing_to_publish, publish
from labeling.store.snapshots import read_contents, read_snapshot
from labeling.store.versions.card import CARD, CardFacts, read_facts
from labeling.store.versions.compact import CompactLimits, compact
from labeling.types import ReviewDecision
from tests.labeling.store.made_judges import step_document
from tests.labeling.store.made_store import box_prompt, label, told

LENIENT = QCConfig("lenient", [], judge="none")
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)], judge="none")
NAMES = [f"{number}.mp4" for number in range(12)]


def lives(store: FolderObjects, scratch: Path) -> list[dict[str, object]]:
    """Label, decide, label again, judge by other rules, pack, go back, go on; what each version then holds."""
    pair = (box_prompt(1), box_prompt(2))
    label(store, scratch, dict.fromkeys(NAMES, pair))
    first = publish(store, LENIENT, run_id="one")
    one = read_contents(store, first).verdicts.slice(3, 1).to_pylist()[0]
    decision = ReviewDecision(one["video_id"], one["track_id"], 1, "reject", "ann", "2026-01-02T00:00:00+00:00")
    assert nothing_to_publish(store, LENIENT, decisions=[decision]) is None
    publish(store, LENIENT, run_id="two", decisions=[decision])
    assert nothing_to_publish(store, LENIENT, decisions=[decision]) is not None
    label(store, scratch, {NAMES[0]: (box_prompt(1, 9.0), box_prompt(2)), "new.mp4": pair}, lost_after=3)
    publish(store, LENIENT, run_id="three", decisions=[decision])
    publish(store, STRICT, run_id="four")
    assert compact(store, run_id="pack", scratch=scratch, limits=CompactLimits(min_files=2))
    restore(store, 2, run_id="back")
    label(store, scratch, {NAMES[1]: (box_prompt(1, 9.0), box_prompt(2))})
    publish(store, LENIENT, run_id="five")
    by_hand = step_document(usual=(0.0, 0.1, 0.2), weights=("untrained",), low=0.2, high=0.1)
    (scratch / "judge.json").write_text(json.dumps(by_hand))
    choose(store, str(scratch / "judge.json"))
    publish(store, QCConfig("lenient", []), run_id="six")
    versions = (read_snapshot(store, version) for version in range(1, 9))
    return [
        {name: getattr(read_contents(store, v), name) for name in ("files", "tracks", "videos", "verdicts")}
        | {"counts": v.counts, "facts": counted(read_facts(store, v))} for v in versions
    ]


def counted(facts: CardFacts) -> object:
    """What a card counts, but for bytes: files say when they were made."""
    files = {name: count for name, count in facts.files.items() if name[1] != "num_bytes"}
    return round(facts.seconds, 3), facts.frames, facts.categories, facts.made_by, files


def test_both_versions_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(commit, "NEW_STORES", 2)
        whole = lives(FolderObjects(tmp_path / "whole"), tmp_path / "s")
    for name, value in {"LEAF_ROWS": 4, "GROUP_ROWS": 2, "MERGE_ROWS": 6, "MERGE_PARTS": 2}.items():
        monkeypatch.setattr(parts, name, value)
    store = FolderObjects(tmp_path / "parts")
    in_parts = lives(store, tmp_path / "s")
    for version, (ours, theirs) in enumerate(zip(in_parts, whole, strict=True), start=1):
        for name, value in theirs.items():
            assert same(ours[name], value), f"{name} of version {version}"
    newest = read_snapshot(store)
    assert sum(part.leaf for part in newest.parts["objects"]) > 3
    merged = merged_parts(store, {name: list(of_table) for name, of_table in newest.parts.items()}, always=True)
    assert all(part.leaf for of_table in merged.values() for part in of_table)
    assert sum(part.rows for part in merged["tracks"]) == newest.counts["tracks"]
    assert store.stat(f"snapshots/{newest.name}/{CARD}") is not None
    assert len(told(store)) == newest.counts["tracks"]


def same(ours: object, theirs: object) -> bool:
    """Whether two tables have the same rows, but for when each store's were made."""
    if not hasattr(ours, "column_names"):
        return ours == theirs
    times = {"created_at", "sha256", "num_bytes", "file", "masks_file"}
    kept = [name for name in ours.column_names if name not in times]
    return bool(ours.select(kept).equals(theirs.select(kept)))
