"""What changed between two snapshots, counted and measured."""

from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.objects import FolderObjects
from labeling.store.commit import restore
from labeling.store.publish import publish
from labeling.store.snapshots import read_snapshot
from labeling.store.versions.compact import CompactLimits, compact
from labeling.store.versions.diff import Diff, TrackVersion, diff_snapshots
from tests.labeling.store.made_store import box_prompt, label

LENIENT = QCConfig("lenient")
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    """1: two videos. 2: one object is lost early in its new version, and a video came. 3: other rules. 4: as 1."""
    folder = tmp_path_factory.mktemp("diff")
    objects, scratch = FolderObjects(folder / "store"), folder / "scratch"
    label(objects, scratch, {"a.mp4": (box_prompt(1, category="cat"), box_prompt(2)), "b.mp4": (box_prompt(1),)}, num_frames=6)
    publish(objects, LENIENT, run_id="one")
    again = {"a.mp4": (box_prompt(1, 9.0, category="cat"), box_prompt(2)), "c.mp4": (box_prompt(1),)}
    label(objects, scratch, again, num_frames=8, lost_after=3)
    publish(objects, LENIENT, run_id="two")
    publish(objects, STRICT, run_id="three")
    restore(objects, 1, run_id="back")
    return objects


def between(store: FolderObjects, before: int, after: int) -> Diff:
    return diff_snapshots(store, read_snapshot(store, before), read_snapshot(store, after))


def test_added_changed_and_moved(store: FolderObjects) -> None:
    found = between(store, 1, 3)
    assert (found.before, found.after, found.same, found.removed) == ("v000001", "v000003", 2, ())
    assert found.added == (TrackVersion("c.mp4", "1", None, 1, "review"),)
    (again,) = found.changed
    assert again.before == TrackVersion("a.mp4", "1", "cat", 1, "accept")
    assert again.after == TrackVersion("a.mp4", "1", "cat", 2, "review")
    # Of six frames that both have, three are the same and three are empty in one.
    assert (again.j, found.mean_j) == (0.5, 0.5)
    assert (again.frames_shared, again.frames_before, again.frames_after) == (6, 6, 8)
    assert [(move.before.verdict, move.after.verdict) for move in found.moved] == [("accept", "review")]
    assert found.moves() == {("accept", "review"): 1}


def test_the_other_way_round_what_came_went(store: FolderObjects) -> None:
    found = between(store, 3, 4)
    assert [named.video_key for named in found.removed] == ["c.mp4"]
    assert (found.added, found.changed[0].j, found.moves()) == ((), 0.5, {("review", "accept"): 1})


def test_rules_alone_move_verdicts_and_nothing_else(store: FolderObjects) -> None:
    found = between(store, 2, 3)
    assert (found.added, found.removed, found.changed, found.mean_j, found.same) == ((), (), (), None, 4)
    assert found.moves() == {("accept", "review"): 2}


def test_a_restored_version_differs_in_nothing(store: FolderObjects) -> None:
    found = between(store, 1, 4)
    assert (found.added, found.removed, found.changed, found.moved, found.same) == ((), (), (), (), 3)


def test_packed_files_are_no_change(store: FolderObjects, tmp_path: Path) -> None:
    other = FolderObjects(tmp_path / "store")
    label(other, tmp_path / "s", {f"{i}.mp4": (box_prompt(1),) for i in range(20)}, num_frames=1)
    publish(other, LENIENT, run_id="one")
    assert compact(other, run_id="pack", scratch=tmp_path / "s", limits=CompactLimits(min_files=2))
    assert between(other, 1, 2).same == 20
