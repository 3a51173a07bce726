"""Publishing: verdicts from stored signals, versions that stay, crashes and races that lose nothing."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labeling.config import AuditConfig, QCConfig, RuleConfig
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store import advance
from labeling.store.ledger import read_ledger
from labeling.store.parquet import sha256_of
from labeling.store.plan import make_plan
from labeling.store.publish import missing_results, publish, recompute
from labeling.store.reader import read_masklets
from labeling.store.snapshots import Snapshot, list_versions, newest_snapshot, read_files, read_snapshot, read_verdicts
from labeling.types import Prompt, ReviewDecision
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job

LENIENT = QCConfig("lenient", [])
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])
NO_TWINS = QCConfig("no_twins", [RuleConfig("containment", "duplicate", "at_most", 0.5, None)])


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store")


def label(store: FolderObjects, scratch: Path, by_video: dict[str, tuple[Prompt, ...]], run_id: str = "run", **how) -> None:
    refs = [ref_of(key) for key in by_video]
    for job in make_plan(refs, PromptTable(by_video), read_ledger(store), RECIPE, run_id).jobs:
        write_job(store, job, scratch, **how)


def verdicts(store: FolderObjects, version: int | None = None) -> dict[tuple[str, str], tuple]:
    rows = read_verdicts(store, read_snapshot(store, version)).to_pylist()
    ids = {ref_of(key).video_id: key for key in ("a.mp4", "b.mp4", "c.mp4")}
    return {(ids[r["video_id"]], r["track_id"]): (r["verdict"], r["label_version"], r["decided_by"]) for r in rows}


def contents(store: FolderObjects) -> dict[str, bytes]:
    return {stat.key: store.get(stat.key) for stat in store.list()}


def test_the_first_snapshot_names_counts_and_sums_all_it_holds(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),)})
    snapshot = publish(store, STRICT, run_id="run")
    assert (snapshot.version, snapshot.parent, snapshot.name) == (1, None, "v000001")
    counts = {"videos": 2, "tracks": 3, "masks": 18, "visible_masks": 18, "decided": 0, "accept": 3, "review": 0, "reject": 0}
    assert snapshot.counts == counts
    assert snapshot == newest_snapshot(store)
    assert snapshot.qc["rules"][0]["reason"] == "object_lost"
    files = read_files(store, snapshot).to_pylist()
    assert len(files) == 6
    for f in files:
        path = Path(store.root, f["file"])
        assert (f["rows"], f["sha256"]) == (pq.read_metadata(path).num_rows, sha256_of(path))
    assert [s.key for s in store.list("snapshots/")] == [
        "snapshots/v000001.json",
        "snapshots/v000001/README.md",
        "snapshots/v000001/card.json",
    ]
    assert sorted(s.key for s in store.list("parts/")) == sorted(snapshot.keys)


def test_nothing_new_is_no_new_snapshot(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)})
    first = publish(store, LENIENT, run_id="run")
    before = contents(store)
    assert publish(store, LENIENT, run_id="again") == first
    assert contents(store) == before


def test_an_empty_store_can_be_published_and_read(store: FolderObjects) -> None:
    assert publish(store, LENIENT, run_id="run").counts["tracks"] == 0
    assert list(read_masklets(store)) == []


def test_rules_can_be_changed_without_tracking(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)}, lost_after=3)
    label(store, tmp_path / "s", {"b.mp4": (box_prompt(1),)})
    publish(store, LENIENT, run_id="run")
    judged = recompute(store, STRICT, run_id="qc")
    assert (judged.version, judged.parent, judged.counts["review"]) == (2, 1, 1)
    assert verdicts(store) == {("a.mp4", "1"): ("review", 1, None), ("b.mp4", "1"): ("accept", 1, None)}
    assert set(verdicts(store, 1).values()) == {("accept", 1, None)}
    (flag,) = [flag for flags in read_verdicts(store, judged)["flags"].to_pylist() for flag in flags]
    assert (flag["reason"], flag["value"], flag["threshold"]) == ("object_lost", 0.5, 0.9)
    assert (flag["first_frame_idx"], flag["stop_frame_idx"]) == (3, 6)


def test_a_risk_to_accept_up_to_stands_above_the_rules_and_below_people(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)}, lost_after=3)
    label(store, tmp_path / "s", {"b.mp4": (box_prompt(1),)})
    (risky,) = [r for r in read_verdicts(store, publish(store, STRICT, run_id="run"))["risk"].to_pylist() if r]
    certified = recompute(store, replace(STRICT, accept_risk=risky), run_id="qc")
    assert certified.counts["accept"] == 2
    assert certified.qc["accept_risk"] == risky
    assert recompute(store, replace(STRICT, accept_risk=risky / 2), run_id="qc").counts["review"] == 1
    decisions = [ReviewDecision(ref_of("a.mp4").video_id, "1", 1, "reject", "ana", "2026-01-02T00:00:00Z")]
    assert recompute(store, replace(STRICT, accept_risk=1.0), run_id="qc", decisions=decisions).counts["reject"] == 1


def test_an_audit_judges_nothing_anew(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)})
    first = publish(store, STRICT, run_id="run")
    assert publish(store, replace(STRICT, audit=AuditConfig(count=3)), run_id="run") == first
    assert set(first.qc) == {"name", "rules", "judges"}


def test_rules_cannot_be_changed_where_nothing_was_published(store: FolderObjects) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        recompute(store, STRICT, run_id="qc")


def test_only_the_newest_version_is_current_and_the_old_snapshot_keeps_reading(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1), box_prompt(2))})
    publish(store, LENIENT, run_id="one")
    kept = contents(store)
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, 9.0), box_prompt(2))}, num_frames=4)
    second = publish(store, LENIENT, run_id="two")
    assert second.counts["masks"] == 4 + 6
    assert verdicts(store) == {("a.mp4", "1"): ("accept", 2, None), ("a.mp4", "2"): ("accept", 1, None)}
    assert [(m.track_id, len(m.frames)) for m in read_masklets(store)] == [("1", 4), ("2", 6)]
    assert [(m.track_id, len(m.frames)) for m in read_masklets(store, snapshot=1)] == [("1", 6), ("2", 6)]
    now = contents(store)
    assert {key: now[key] for key in kept} == kept
    assert len(read_files(store, second)) == 6


def test_containment_is_measured_where_rows_changed_and_taken_over_elsewhere(
    store: FolderObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[set[str]] = []
    measure = advance.measure_overlaps

    def noted(objects, tracks):
        measured.append({t["video_id"] for t in tracks})
        return measure(objects, tracks)

    monkeypatch.setattr(advance, "measure_overlaps", noted)
    pair = (box_prompt(1), box_prompt(2))
    label(store, tmp_path / "s", {"a.mp4": pair, "b.mp4": pair, "c.mp4": (box_prompt(1),)})
    first = publish(store, LENIENT, run_id="one")
    overlaps = {(r["video_id"], r["track_id"]): r for r in read_verdicts(store, first).to_pylist()}
    a, b, c = (ref_of(key).video_id for key in ("a.mp4", "b.mp4", "c.mp4"))
    assert (overlaps[a, "1"]["overlap"], overlaps[a, "1"]["overlap_track_id"]) == (0.625, "2")  # 5 of 8 columns are shared
    assert overlaps[c, "1"]["overlap"] is None
    judged = recompute(store, NO_TWINS, run_id="qc")
    assert (judged.counts["review"], judged.counts["accept"]) == (4, 1)
    flags = [flag for flags in read_verdicts(store, judged)["flags"].to_pylist() for flag in flags]
    assert [(f["first_frame_idx"], f["stop_frame_idx"]) for f in flags] == [(0, 6)] * 4
    label(store, tmp_path / "s", {"b.mp4": (*pair, box_prompt(3))})
    third = publish(store, NO_TWINS, run_id="two")
    assert measured == [{a, b, c}, set(), {b}]
    assert third.counts["review"] == 5


def test_a_person_s_word_stands_until_a_newer_version(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)}, lost_after=3)
    publish(store, STRICT, run_id="one")
    video_id = ref_of("a.mp4").video_id
    said = ReviewDecision(video_id, "1", 1, "accept", "ana", "2026-01-02T00:00:00Z")
    other = ReviewDecision(ref_of("b.mp4").video_id, "1", 1, "correct", "bo", "2026-01-02T00:00:00Z", prompts=(box_prompt(1),))
    second = publish(store, STRICT, run_id="two", decisions=[other, said])
    assert second.counts["decided"] == 1
    assert verdicts(store) == {("a.mp4", "1"): ("accept", 1, "ana"), ("b.mp4", "1"): ("review", 1, None)}
    assert publish(store, STRICT, run_id="three", decisions=[said]) == second
    assert publish(store, STRICT, run_id="three") == second
    recompute(store, NO_TWINS, run_id="qc")
    assert verdicts(store)["a.mp4", "1"] == ("accept", 1, "ana")
    changed_mind = ReviewDecision(video_id, "1", 1, "reject", "ana", "2026-01-03T00:00:00Z")
    publish(store, STRICT, run_id="four", decisions=[changed_mind, said])
    assert verdicts(store)["a.mp4", "1"] == ("reject", 1, "ana")
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, 9.0),)})
    publish(store, STRICT, run_id="five", decisions=[changed_mind])
    assert verdicts(store)["a.mp4", "1"] == ("accept", 2, None)
    (row,) = read_masklets(store, video="a.mp4", snapshot=second.version)
    assert (row.decided_by, row.decided_at, row.reasons()) == ("ana", "2026-01-02T00:00:00Z", ("object_lost",))


class Killed(BaseException):
    """Stands for a process that ends here."""


class Mortal(FolderObjects):
    """A folder whose process dies right before, or right after, its n-th change."""

    def __init__(self, root: str, dies_at: int, *, after: bool) -> None:
        super().__init__(root)
        self._lives, self._after = dies_at, after
        self._one_at_a_time = threading.Lock()

    def _change(self, change):
        with self._one_at_a_time:
            self._lives -= 1
            if self._lives < 0 or (self._lives == 0 and not self._after):
                raise Killed
            done = change()
            if self._lives == 0:
                raise Killed
            return done

    def put(self, key, body):
        return self._change(lambda: super(Mortal, self).put(key, body))

    def put_file(self, key, path):
        return self._change(lambda: super(Mortal, self).put_file(key, path))

    def put_if_absent(self, key, body):
        return self._change(lambda: super(Mortal, self).put_if_absent(key, body))

    def delete(self, key):
        return self._change(lambda: super(Mortal, self).delete(key))


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_the_next_publish_mends_it(tmp_path: Path, after: bool) -> None:
    prompts = {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),)}
    whole = FolderObjects(tmp_path / "whole")
    label(whole, tmp_path / "s", prompts)
    publish(whole, STRICT, run_id="one")
    label(whole, tmp_path / "s", {"c.mp4": (box_prompt(1),)})
    shutil.copytree(whole.root, tmp_path / "ready")
    expected = publish(whole, STRICT, run_id="two")
    for dies_at in range(1, 100):
        store = FolderObjects(shutil.copytree(tmp_path / "ready", tmp_path / f"{dies_at}"))
        mortal = Mortal(store.root, dies_at, after=after)
        try:
            publish(mortal, STRICT, run_id="two")
        except Killed:
            assert len(list(read_masklets(store, snapshot=1))) == 3
            assert len(list(read_masklets(store))) == (4 if list_versions(store)[-1] == 2 else 3)
            mended = publish(store, STRICT, run_id="two")
            assert (mended.version, mended.counts) == (2, expected.counts)
            assert list(store.list("ledger/pending/")) == []
            assert verdicts(store) == verdicts(whole)
            continue
        break
    assert 7 <= dies_at < 100  # five staged files, the commit and one marker at least


def test_killed_while_writing_a_batch_leaves_it_due(tmp_path: Path) -> None:
    prompts = {"a.mp4": (box_prompt(1),)}
    for dies_at in (1, 2, 3, 4):
        store = FolderObjects(tmp_path / str(dies_at))
        with pytest.raises(Killed):
            label(Mortal(store.root, dies_at, after=False), tmp_path / "s", prompts)
        assert publish(store, LENIENT, run_id="one").counts["tracks"] == 0
        label(store, tmp_path / "s", prompts)
        assert publish(store, LENIENT, run_id="two").counts["masks"] == 6
        assert sum(1 for _ in store.list("masks/")) == 1


def published_late(store: FolderObjects, tmp_path: Path) -> Snapshot:
    """Publish one masklet; right before the commit another publisher, who has seen one more marker, commits that version."""
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)})

    class Slow(FolderObjects):
        raced = False

        def put_if_absent(self, key: str, body: bytes) -> bool:
            if key == "snapshots/v000001.json" and not self.raced:
                self.raced = True
                label(store, tmp_path / "s", {"b.mp4": (box_prompt(1),)})
                publish(store, LENIENT, run_id="fast")
                label(store, tmp_path / "s", {"c.mp4": (box_prompt(1),)})
            return super().put_if_absent(key, body)

    return publish(Slow(store.root), LENIENT, run_id="slow")


def test_of_two_that_publish_at_once_one_commits_and_the_other_goes_on_from_it(store: FolderObjects, tmp_path: Path) -> None:
    slow = published_late(store, tmp_path)
    assert (slow.version, slow.parent, slow.counts["tracks"]) == (2, 1, 3)
    assert [read_snapshot(store, v).run_id for v in list_versions(store)] == ["fast", "slow"]
    assert len(list(read_masklets(store, snapshot=1))) == 2
    assert len(list(read_masklets(store, snapshot=2))) == 3
    # What the loser wrote first is named by nothing, which `vacuum` finds; the winner's parts are those of both versions.
    assert set(read_snapshot(store, 1).keys) < set(slow.keys) < {s.key for s in store.list("parts/")}


@pytest.mark.usefixtures("version_2")
def test_of_two_that_publish_at_once_in_version_2_the_winners_tables_stay(store: FolderObjects, tmp_path: Path) -> None:
    slow = published_late(store, tmp_path)
    # What the loser had staged is gone, and the winner's stayed: its own names were taken, so its content named them.
    staged = {s.key for s in store.list("snapshots/v000001/")}
    first = read_snapshot(store, 1)
    beside = {"snapshots/v000001/README.md", "snapshots/v000001/card.json"}
    assert staged == {first.files, first.tracks, first.videos, first.verdicts} | beside
    assert [s.key for s in store.list("ledger/")] == sorted([first.ledger, slow.ledger])
    assert (slow.version, len(list(read_masklets(store)))) == (2, 3)


def test_two_real_publishers_lose_nothing(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)})
    outcomes: list[int] = []

    def publish_once(run_id: str) -> None:
        outcomes.append(publish(store, LENIENT, run_id=run_id).version)

    threads = [threading.Thread(target=publish_once, args=(f"run-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert newest_snapshot(store).counts["tracks"] == 2
    assert len(list(read_masklets(store))) == 2


def test_the_lock_is_asked_right_before_the_commit(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)})

    def lost() -> None:
        raise RuntimeError("another run took over")

    with pytest.raises(RuntimeError, match="took over"):
        publish(store, LENIENT, run_id="run", still_held=lost)
    assert list_versions(store) == []
    assert publish(store, LENIENT, run_id="run").counts["tracks"] == 1


def cut(store: FolderObjects, key: str) -> None:
    store.put(key, store.get(key)[:-9])


def of_other_objects(store: FolderObjects, key: str) -> None:
    said = json.loads(store.get(key))
    said["objects"][0]["object_id"] = 7
    store.put(key, json.dumps(said).encode())


@pytest.mark.parametrize(
    ("prefix", "harm", "said"),
    [
        ("tracks/", FolderObjects.delete, "is gone"), ("masks/", FolderObjects.delete, "is gone"),
        ("masks/", cut, "noted were"),
        ("videos/", cut, "is damaged"), ("ledger/pending/", cut, "is no done marker"),
        ("ledger/pending/", of_other_objects, "other objects than the marker names"),
    ],
)
def test_a_batch_that_is_not_whole_is_set_aside_and_the_others_publish(
    store: FolderObjects, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    prefix: str, harm: Callable[[FolderObjects, str], None], said: str,
) -> None:
    table = {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)}
    label(store, tmp_path / "s", table)
    video_id = ref_of("a.mp4").video_id
    (harmed,) = (stat.key for stat in store.list(prefix) if video_id in stat.key)
    harm(store, harmed)
    with caplog.at_level("WARNING"):
        snapshot = publish(store, LENIENT, run_id="run")
    assert snapshot.counts["tracks"] == 1
    assert said in caplog.text
    (aside,) = store.list("ledger/set-aside/")
    assert video_id in aside.key
    assert f"{video_id}-" in caplog.text
    assert not list(store.list("ledger/pending/"))
    label(store, tmp_path / "s", table, "again")
    assert publish(store, LENIENT, run_id="again").counts["tracks"] == 2, "its video was due again"


def test_what_was_reported_and_is_not_there_is_found(store: FolderObjects, tmp_path: Path) -> None:
    table = {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)}
    label(store, tmp_path / "s", table)
    names = [stat.key.rpartition("/")[2].removesuffix(".json") for stat in store.list("ledger/pending/")]
    store.delete(f"ledger/pending/run/{names[1]}.json")
    snapshot = publish(store, LENIENT, run_id="run")
    assert missing_results(store, snapshot, names) == [names[1]]
    assert missing_results(store, snapshot, names[:1]) == []


def test_a_snapshot_is_plain_json(store: FolderObjects) -> None:
    publish(store, STRICT, run_id="run")
    said = json.loads(store.get("snapshots/v000001.json"))
    assert (said["storage_version"], set(said["parts"])) == (3, {"objects", "tracks", "videos", "files"})


@pytest.mark.usefixtures("version_2")
def test_a_snapshot_of_version_2_names_its_tables(store: FolderObjects) -> None:
    publish(store, STRICT, run_id="run")
    said = json.loads(store.get("snapshots/v000001.json"))
    assert (said["storage_version"], said["ledger"]) == (2, "ledger/compact-v000001.parquet")
    assert not {"parts", "queue"} & set(said)
    label_version_2 = publish(store, LENIENT, run_id="run")
    assert (label_version_2.storage_version, label_version_2.parts) == (2, {})


@pytest.mark.usefixtures("version_2")
def test_a_publisher_tidies_up_only_what_publishers_stage(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "store")
    label(objects, tmp_path / "s", {"a.mp4": (box_prompt(1),)})
    mine = ["snapshots/v000001/files-notes.txt", "snapshots/v000001/tracks.csv", "ledger/compact-v000001.txt"]
    staged = ["snapshots/v000001/tracks-0123abcd.parquet", "ledger/compact-v000001-0123abcd.parquet"]
    for key in (*mine, *staged):
        objects.put(key, b"x")
    publish(objects, QCConfig(), run_id="run")
    there = {stat.key for stat in objects.list()}
    assert there >= set(mine)
    assert there.isdisjoint(staged)
