"""Packing: the same rows for every reader, in few files; what was read before can be read still."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labeling.config import QCConfig
from labeling.errors import StoreBusy
from labeling.objects import FolderObjects, Objects, open_objects
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import list_versions, read_files, read_snapshot, read_tracks, verify_files
from labeling.store.versions import compact as compacting
from labeling.store.versions.compact import CompactLimits, compact
from tests.labeling.store.made_store import box_prompt, keys_of_one_bucket, label, ref_of, rows_by_duckdb, told

LENIENT, MANY = QCConfig("lenient", []), CompactLimits(min_files=3)
FIVE = keys_of_one_bucket(5)


def made(store: Objects, scratch: Path, keys: list[str] = FIVE) -> None:
    """Videos of one bucket, two objects each, and one of another bucket; the first was labelled twice."""
    prompts = {key: (box_prompt(1), box_prompt(2)) for key in keys} | {"other.mp4": (box_prompt(1),)}
    label(store, scratch, prompts, num_frames=3)
    publish(store, LENIENT, run_id="one")
    label(store, scratch, {keys[0]: (box_prompt(1, 9.0), box_prompt(2))}, num_frames=5)
    publish(store, LENIENT, run_id="two")


def packed(store: Objects, tmp_path: Path, limits: CompactLimits = MANY) -> compacting.Compacted | None:
    return compact(store, run_id="compact", scratch=tmp_path / "scratch", limits=limits)


def tables(store: Objects, version: int | None = None) -> dict[str, list[str]]:
    """The files of a snapshot by table, the packed ones as `packed`."""
    files = read_files(store, read_snapshot(store, version)).to_pylist()
    named = [(f["table"], "packed" if "/packed-" in f["file"] else f["video_id"]) for f in files]
    return {table: sorted(name for of, name in named if of == table) for table in ("masks", "tracks", "videos")}


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_rows_are_the_same_in_fewer_files(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path / "store") if place == "folder" else f"{request.getfixturevalue('s3')}/labels"
    store = open_objects(root)
    made(store, tmp_path / "s")
    before = told(store)
    by_duckdb = rows_by_duckdb(Path(store.root), "v000002") if place == "folder" else []
    done = packed(store, tmp_path)
    assert done
    # Eighteen files of six videos and three of the second version; of the first version of one object nothing is current.
    assert (done.snapshot.name, done.files_before, done.files_after) == ("v000003", 21, 6)
    assert (done.masks_packed, done.passed_over, done.snapshot.note) == (4 * 6 + 3 + 5, (), "compacted")
    other = ref_of("other.mp4").video_id
    assert tables(store) == {table: sorted([other, "packed"]) for table in ("masks", "tracks", "videos")}
    assert told(store) == told(store, 2) == before
    assert done.snapshot.counts == read_snapshot(store, 2).counts
    assert list(verify_files(store, done.snapshot)) == []
    if place == "folder":
        assert len(by_duckdb) == 4 * 6 + 3 + 5 + 3
        assert rows_by_duckdb(Path(store.root), "v000003") == rows_by_duckdb(Path(store.root), "v000002") == by_duckdb
    assert packed(store, tmp_path) is None
    (one,) = read_masklets(store, video=FIVE[0], track=1, frame_span=(2, 4))
    assert [frame.frame_idx for frame in one.frames] == [2, 3]


def test_what_is_labelled_after_that_is_packed_with_it(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    packed(store, tmp_path)
    label(store, tmp_path / "s", {FIVE[1]: (box_prompt(1, 9.0), box_prompt(2))}, num_frames=4)
    fourth = publish(store, LENIENT, run_id="three")
    assert (fourth.version, fourth.counts["masks"]) == (4, 3 * 6 + 3 + 5 + 4 + 3 + 3)
    assert [len(m.frames) for m in read_masklets(store, video=FIVE[1])] == [4, 3]
    before, small = told(store), rows_by_duckdb(tmp_path / "store", "v000004")
    done = packed(store, tmp_path, CompactLimits(min_files=2))
    assert done
    assert told(store) == before
    assert rows_by_duckdb(tmp_path / "store", "v000005") == small
    assert tables(store)["masks"] == sorted(["packed", ref_of("other.mp4").video_id])
    assert read_files(store, done.snapshot)["rows"].to_pylist().count(1) == 2  # the other bucket's track and video


def test_a_marker_that_was_taken_in_and_left_behind_brings_no_twins(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    label(store, tmp_path / "s", {key: (box_prompt(1),) for key in FIVE[:3]}, num_frames=3)
    left = {stat.key: store.get(stat.key) for stat in store.list("ledger/pending/")}
    publish(store, LENIENT, run_id="one")
    assert packed(store, tmp_path)
    for key, body in left.items():
        store.put(key, body)
    label(store, tmp_path / "s", {"new.mp4": (box_prompt(1),)}, num_frames=3)
    assert publish(store, LENIENT, run_id="two").counts["masks"] == 12
    assert tables(store)["masks"] == sorted(["packed", id_of("new.mp4")])
    assert len(rows_by_duckdb(tmp_path / "store", "v000003")) == 12
    assert list(store.list("ledger/pending/")) == []


def test_a_track_stays_in_one_file_and_full_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "GROUP_ROWS", 2)
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s", keys_of_one_bucket(12))
    before = told(store)
    # So small a target that some tracks fill a file.
    largest = max(row["num_bytes"] for row in read_files(store, read_snapshot(store)).to_pylist() if row["table"] == "masks")
    done = packed(store, tmp_path, CompactLimits(target_bytes=2 * largest + 2, min_files=3))
    assert done
    assert tables(store)["masks"].count("packed") > 1
    assert told(store) == before
    files = {row["masks_file"] for row in read_tracks(store, done.snapshot).to_pylist() if row["masks_file"]}
    rows = [pq.read_table(Path(store.root, file), columns=["track_id", "video_id"]).to_pylist() for file in files]
    assert sum(map(len, rows)) == 11 * 6 + 3 + 5
    seen = [{(row["video_id"], row["track_id"]) for row in own} for own in rows]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 24


def test_a_bound_on_bytes_leaves_buckets_for_the_next_time(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    many = [f"{i}.mp4" for i in range(40)]
    label(store, tmp_path / "s", {key: (box_prompt(1),) for key in many}, num_frames=1)
    publish(store, LENIENT, run_id="one")
    sizes = CompactLimits(min_files=2, at_most_bytes=1)
    first, second = packed(store, tmp_path, sizes), packed(store, tmp_path, sizes)
    assert first
    assert second
    assert first.masks_packed >= second.masks_packed >= 2
    assert len(told(store)) == 40


def test_a_damaged_file_is_passed_over_and_named(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    rows = read_files(store, read_snapshot(store)).to_pylist()
    bad, gone = [r["file"] for r in rows if r["table"] == "masks" and r["video_id"] in map(id_of, FIVE[3:])]
    store.put(bad, store.get(bad)[:-1] + b"?")
    store.delete(gone)
    done = packed(store, tmp_path)
    assert done
    assert [(one.file, one.problem[:6]) for one in done.passed_over] == [(bad, "its SH"), (gone, "it is ")]
    assert {one.file for one in verify_files(store, done.snapshot)} == {bad, gone}
    assert tables(store)["masks"] == sorted(["packed", *map(id_of, FIVE[3:]), id_of("other.mp4")])
    assert [len(m.frames) for m in read_masklets(store, video=FIVE[0])] == [5, 3]


def id_of(key: str) -> str:
    return ref_of(key).video_id


class Killed(BaseException):
    """Stands for a process that ends here."""


class Mortal(FolderObjects):
    """A folder whose process dies right before its n-th write."""

    lives = 0

    def _write(self, key, content):
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        return super()._write(key, content)

    def put_if_absent(self, key, body):
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        return super().put_if_absent(key, body)


def test_killed_at_any_write_it_can_be_done_again(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s", FIVE[:3])
    before = told(store)
    for lives in range(100):
        mortal = Mortal(store.root)
        mortal.lives = lives
        try:
            packed(mortal, tmp_path)
        except Killed:
            assert told(store) == before
            continue
        break
    # The commit is the sixth write: three packed files, parts of two tables come before it, a card of two files after it.
    assert (lives, list_versions(store)) == (7, [1, 2, 3])
    assert told(store) == before
    assert list(verify_files(store, read_snapshot(store))) == []
    assert sum("/packed-" in stat.key for stat in store.list()) == 3
    assert list((tmp_path / "scratch").iterdir()) == []


def test_another_publisher_that_commits_meanwhile_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")
    advance = compacting._advance

    def raced(*given):
        label(store, tmp_path / "s", {"late.mp4": (box_prompt(1),)})
        publish(store, LENIENT, run_id="late")
        return advance(*given)

    monkeypatch.setattr(compacting, "_advance", raced)
    with pytest.raises(StoreBusy, match="compact again"):
        packed(store, tmp_path)
    assert (read_snapshot(store).run_id, len(told(store))) == ("late", 12)


def test_the_lock_is_asked_before_each_bucket(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    made(store, tmp_path / "s")

    def lost() -> None:
        raise StoreBusy("another run took over")

    with pytest.raises(StoreBusy):
        compact(store, run_id="compact", scratch=tmp_path, limits=MANY, still_held=lost)
    assert not [stat.key for stat in store.list() if "/packed-" in stat.key]


def test_bounds_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        packed(FolderObjects(tmp_path / "empty"), tmp_path)
    for bad in ({"min_files": 1}, {"target_bytes": 0}, {"at_most_bytes": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            CompactLimits(**bad)
