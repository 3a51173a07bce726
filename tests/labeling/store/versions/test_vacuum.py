"""What goes is what no kept snapshot needs and nobody may still be writing; everything else stays."""

import os
import time
from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.objects import FolderObjects, Objects, open_objects
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import list_versions, read_snapshot, verify_files
from labeling.store.versions.compact import CompactLimits, compact
from labeling.store.versions.vacuum import Retention, plan_vacuum, vacuum
from tests.labeling.store.made_store import box_prompt, keys_of_one_bucket, label, rows_by_duckdb, told

DAY_S = 86_400.0
NOTHING_LONGER = Retention(keep_last=1, keep_days=0, min_age_hours=0)


def made(store: Objects, scratch: Path) -> None:
    """Three versions: labelled, labelled in part again, packed."""
    keys = keys_of_one_bucket(3)
    label(store, scratch, {key: (box_prompt(1),) for key in keys})
    publish(store, QCConfig("one"), run_id="one")
    label(store, scratch, {keys[0]: (box_prompt(1, 9.0),)}, num_frames=4)
    publish(store, QCConfig("two"), run_id="two")
    assert compact(store, run_id="compact", scratch=scratch, limits=CompactLimits(min_files=2))


def keys(store: Objects) -> set[str]:
    return {stat.key for stat in store.list()}


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_what_only_old_snapshots_need_goes_with_them(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path / "store") if place == "folder" else f"{request.getfixturevalue('s3')}/labels"
    store = open_objects(root)
    made(store, tmp_path / "s")
    store.put("masks/notes.txt", b"someone's own")
    store.put("snapshots/v000001.json.bak", b"someone's own")
    before, masklets = keys(store), told(store)
    later = time.time() + 10
    planned = plan_vacuum(store, NOTHING_LONGER, now=later)
    assert keys(store) == before
    assert (planned.kept, planned.dropped) == (("v000003",), ("v000001", "v000002"))
    # Twelve files of data; of each dropped snapshot the commit and two cards. Its parts are still needed.
    assert len(planned.objects) == 12 + 2 * 3
    assert planned.num_bytes == sum(stat.num_bytes for stat in store.list() if stat in planned.objects)
    vacuum(store, planned)
    assert keys(store) == before - {stat.key for stat in planned.objects}
    assert {"masks/notes.txt", "snapshots/v000001.json.bak"} < keys(store)
    assert told(store) == masklets
    assert list(verify_files(store, read_snapshot(store))) == []
    assert plan_vacuum(store, NOTHING_LONGER, now=later).objects == ()
    if place == "folder":
        store.delete("masks/notes.txt")
        assert len(rows_by_duckdb(Path(store.root), "v000003")) == 4 + 6 + 6
    label(store, tmp_path / "s", {"new.mp4": (box_prompt(1),)})
    assert publish(store, QCConfig("two"), run_id="next").name == "v000004"
    assert len(told(store)) == 4


def test_a_reader_of_an_old_snapshot_goes_on_through_compact_and_vacuum(tmp_path: Path) -> None:
    store, videos = FolderObjects(tmp_path / "store"), keys_of_one_bucket(3)
    label(store, tmp_path / "s", {key: (box_prompt(1),) for key in videos})
    held = publish(store, QCConfig("one"), run_id="one")
    whole, reading = told(store), read_masklets(store, snapshot=held)
    found = [next(reading)]
    compact(store, run_id="compact", scratch=tmp_path / "s", limits=CompactLimits(min_files=2))
    # No snapshot but the newest is asked for; the age guard keeps what was the newest a moment ago.
    vacuum(store, plan_vacuum(store, Retention(keep_last=1, keep_days=0, min_age_hours=1), now=time.time() + 60))
    found += reading
    assert [(m.masklet, m.video, m.signals, m.verdict, m.decided_by) for m in found] == whole == told(store, held.version)
    assert list(verify_files(store, held)) == []


def test_snapshots_are_kept_by_number_age_and_name(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    for name in "abcde":
        publish(store, QCConfig(name), run_id=name)

    def kept(days_later: float = 0.01, **how: object) -> tuple[str, ...]:
        return plan_vacuum(store, Retention(min_age_hours=0, **how), now=time.time() + days_later * DAY_S).kept

    assert kept(keep_last=2, keep_days=0) == ("v000004", "v000005")
    assert kept(keep_last=1, keep_days=0, keep=("v000002",)) == ("v000002", "v000005")
    assert len(kept(keep_last=1, keep_days=2)) == 5
    assert kept(days_later=3, keep_last=1, keep_days=2) == ("v000005",)
    assert len(kept(keep_last=10, keep_days=0)) == 5
    with pytest.raises(ValueError, match=r"'v000009'.*v000001"):
        kept(keep=("v000009",))
    with pytest.raises(ValueError, match="keep_last"):
        Retention(keep_last=0)


def test_what_a_run_may_still_be_writing_stays(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    label(store, tmp_path / "s", {"published.mp4": (box_prompt(1),)})
    publish(store, QCConfig(), run_id="run")
    names = ("waiting.mp4", "killed.mp4", "running.mp4")
    label(store, tmp_path / "s", {name: (box_prompt(1),) for name in names})
    pending = {store.get(s.key).decode().split('"video_key": "')[1].split('"')[0]: s.key for s in store.list("ledger/pending/")}
    files = {name: {k for k in keys(store) if Path(pending[name]).stem in k} for name in names}
    for name in ("killed.mp4", "running.mp4"):
        store.delete(pending[name])
    staged = "snapshots/v000002/files.parquet"  # by a publisher that was killed before its commit
    for key in (staged, "ledger/compact-v000003.parquet"):
        store.put(key, b"x")
    long_ago = time.time() - 2 * DAY_S
    for key in {*files["waiting.mp4"], *files["killed.mp4"], staged} - set(pending.values()):
        os.utime(tmp_path / "store" / key, (long_ago, long_ago))
    planned = plan_vacuum(store, Retention())
    assert {stat.key for stat in planned.objects} == files["killed.mp4"] - set(pending.values()) | {staged}
    vacuum(store, planned)
    assert publish(store, QCConfig(), run_id="run").counts["tracks"] == 2
    assert plan_vacuum(store, Retention()).objects == ()


def test_stopped_at_any_step_it_leaves_whole_snapshots(tmp_path: Path) -> None:
    class Mortal(FolderObjects):
        """A folder whose process dies right before its n-th delete."""

        lives = 0

        def delete(self, key: str) -> None:
            self.lives -= 1
            if self.lives < 0:
                raise KeyboardInterrupt
            super().delete(key)

    store = Mortal(tmp_path / "store")
    store.lives = 1000
    made(store, tmp_path / "s")
    newest, later = told(store), time.time() + 10
    for lives in (0, 1, 2, 5):
        store.lives = lives
        with pytest.raises(KeyboardInterrupt):
            vacuum(store, plan_vacuum(store, NOTHING_LONGER, now=later))
        for version in list_versions(store):
            assert list(verify_files(store, read_snapshot(store, version))) == []
    store.lives = 1000
    vacuum(store, plan_vacuum(store, NOTHING_LONGER, now=later))
    assert list_versions(store) == [3]
    assert told(store) == newest
    # Commit and cards, the parts of three versions, of which the last has two, three packed files.
    assert sum(1 for _ in store.list()) == 1 + 2 + 4 + 4 + 2 + 3
