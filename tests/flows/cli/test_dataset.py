"""The commands that keep a dataset in order, as they are typed."""

import json
from pathlib import Path

import pytest

from flows.configure import load_config
from flows.run.upkeep_steps import verify_store
from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration, StoreBusy
from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue
from labeling.store.lock import run_lock
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.snapshots import list_versions, newest_snapshot, read_snapshot, read_verdicts
from tests.flows.command_line import typed
from tests.labeling.store.made_store import box_prompt, keys_of_one_bucket, label

STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    """Two versions: in the second an object is lost."""
    objects = FolderObjects(tmp_path / "store")
    label(objects, tmp_path / "s", {key: (box_prompt(1, category="cat"),) for key in keys_of_one_bucket(3)})
    publish(objects, QCConfig("lenient"), run_id="one")
    label(objects, tmp_path / "s", {keys_of_one_bucket(1)[0]: (box_prompt(1, 9.0),)}, lost_after=3)
    publish(objects, STRICT, run_id="two")
    return objects


def test_versions_are_listed_shown_and_compared(store: FolderObjects, tmp_path: Path) -> None:
    listed = typed("versions", "list", f"store.root={store.root}").splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["v000001", "v000002"]
    shown = json.loads(typed("versions", "show", "2", store.root))
    assert (shown["snapshot"], shown["counts"]["review"], shown["categories"]) == ("v000002", 1, {"cat": 2, "": 1})
    told = typed("versions", "diff", "1", "v000002", store.root, "-o", tmp_path / "diff.json")
    assert "0 masklets added, 0 removed, 1 labelled again, J between both 0.500, 2 the same; 1 verdicts moved" in told
    assert "accept -> review: 1" in told
    assert json.loads((tmp_path / "diff.json").read_text())["changed"][0]["j"] == 0.5
    with pytest.raises(BadConfiguration, match="v000001"):
        typed("versions", "show", "7", store.root)


@pytest.mark.parametrize(("words", "name"), [(("versions", "diff", "1", "2"), "diff.json"), (("card",), "README.md")])
def test_a_file_of_other_hands_is_not_written_over(
    store: FolderObjects, tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("# My thesis")
    with pytest.raises(BadConfiguration, match="not written by this command"):
        typed(*words, store.root, "-o", out / name if words[0] == "versions" else out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, "# My thesis")]
    for _ in range(2):
        typed(*words, store.root, "-o", tmp_path / "mine")


def test_going_back_takes_the_queue_along(store: FolderObjects) -> None:
    told = typed("restore", "v000001", f"store.root={store.root}")
    assert "v000003 is the newest (restored from v000001): tracks 3, accept 3, review 0, reject 0; 0 new review items" in told
    assert "1 new review items" in typed("restore", "v000002", f"store.root={store.root}")
    with ReviewQueue(str(Path(store.root) / "review.sqlite")) as queue:
        assert queue.counts()["open"] == 1
    assert list_versions(store) == [1, 2, 3, 4]


def decided_by(objects: FolderObjects) -> list[str | None]:
    return [row["decided_by"] for row in read_verdicts(objects, newest_snapshot(objects)).to_pylist()]


@pytest.mark.parametrize("words", [("qc", "store.root={}"), ("restore", "v000002", "{}")])
def test_decisions_that_wait_are_taken_in_and_reviewers_asked_for(store: FolderObjects, words: tuple[str, ...]) -> None:
    typed("restore", "v000002", store.root)  # opens the item
    with ReviewQueue(str(Path(store.root) / "review.sqlite")) as queue:
        (item,) = queue.list()
        queue.decide(item.item_id, "accept", reviewer="ann")
    assert decided_by(store) == [None] * 3
    typed(*(word.format(store.root) for word in words))
    assert sorted(decided_by(store), key=str) == [None, None, "ann"]
    assert newest_snapshot(store).counts["decided"] == 1
    before = list_versions(store)
    typed(*(word.format(store.root) for word in words))
    assert list_versions(store)[len(before) :] == ([] if words[0] == "qc" else [before[-1] + 1])


def test_items_that_going_back_opens_ask_for_as_many_reviewers_as_a_run_s(store: FolderObjects) -> None:
    typed("restore", "v000002", store.root, "run.reviewers=2")
    with ReviewQueue(str(Path(store.root) / "review.sqlite")) as queue:
        (item,) = queue.list()
        queue.decide(item.item_id, "accept", reviewer="ann")
        assert not queue.pending_decisions(), "a second reviewer is to agree"
        queue.decide(item.item_id, "accept", reviewer="bob")
        assert len(queue.pending_decisions()) == 1


def test_compact_then_vacuum_first_says_then_does(store: FolderObjects) -> None:
    # Too few to pack; of what was labelled again the older files are named no longer.
    assert "v000003: 12 -> 9 files, 0 masks packed" in typed("compact", store.root)
    assert "nothing to pack" in typed("compact", store.root)
    told = typed("compact", store.root, "upkeep.min_files=2", f"run.scratch={store.root}-scratch")
    assert "v000004: 9 -> 3 files, 18 masks packed" in told
    before = {stat.key for stat in store.list()}
    keep_all = typed("vacuum", store.root, "upkeep.keep_last=1", "upkeep.keep_days=0")
    assert "would remove 0 objects" in keep_all
    bounds = ("upkeep.keep_last=1", "upkeep.keep_days=0", "upkeep.min_age_hours=0")
    told = typed("vacuum", store.root, "--list", *bounds)
    assert "would drop v000001, v000002, v000003" in told
    assert {stat.key for stat in store.list()} == before
    # Twelve data files; of each snapshot the commit, its ledger, four tables and two cards.
    assert sum(line in before for line in told.splitlines()) == 12 + 3 * 8
    assert "removed 36 objects" in typed("vacuum", store.root, "--apply", *bounds)
    assert (list_versions(store), len(before) - sum(1 for _ in store.list())) == ([4], 36)
    assert verify_store(load_config([f"store.root={store.root}"])) == []


def test_the_card_is_written_again(store: FolderObjects, tmp_path: Path) -> None:
    store.delete("snapshots/v000002/card.json")
    assert "snapshots/v000002/README.md" in typed("card", store.root, "-o", tmp_path / "card")
    assert (tmp_path / "card" / "card.json").read_bytes() == store.get("snapshots/v000002/card.json")
    assert (tmp_path / "card" / "README.md").read_text().startswith("---\npretty_name: \"store v000002\"")


def test_while_a_run_writes_the_root_nothing_is_changed(store: FolderObjects) -> None:
    with run_lock(store, "run-7"):
        for words in (["compact", store.root], ["vacuum", store.root, "--apply"], ["restore", "1", store.root]):
            with pytest.raises(StoreBusy, match="run-7"):
                typed(*words)
        assert "would remove 0 objects" in typed("vacuum", store.root)
    assert newest_snapshot(store).version == 2


def test_bounds_that_mean_nothing_are_refused(store: FolderObjects) -> None:
    for command, bad in (("compact", "upkeep.min_files=1"), ("vacuum", "upkeep.keep_last=0"), ("vacuum", "upkeep.keep=[v9]")):
        with pytest.raises(BadConfiguration, match=r"min_files|keep"):
            typed(command, store.root, bad)


def test_a_store_that_is_upgraded_says_and_exports_the_same(store: FolderObjects, tmp_path: Path) -> None:
    def told() -> list[object]:
        typed("export", "coco", store.root, "-o", tmp_path / "coco", "--verdict", "accept", "--verdict", "review")
        exported = {p.name: json.loads(p.read_text()) for p in (tmp_path / "coco").rglob("*.json")}
        for document in exported.values():
            document.pop("info", None)
        verdicts = read_verdicts(store, read_snapshot(store)).to_pylist()
        return [exported, verdicts, [(m.track_id, len(m.frames)) for m in read_masklets(store)]]

    before = told()
    assert "v000003 is the newest, in storage version 3: 3 masklets" in typed("upgrade", store.root)
    assert "v000003 was there already" in typed("upgrade", store.root)
    assert told() == before
    assert "0 masklets added, 0 removed, 0 labelled again" in typed("versions", "diff", "2", "3", store.root)
    # What is published next is in parts too.
    label(store, tmp_path / "s", {keys_of_one_bucket(2)[1]: (box_prompt(1, 9.0),)})
    assert (publish(store, STRICT, run_id="three").storage_version, len(told()[1])) == (3, 3)
    typed("status", store.root)
    assert "snapshots/v000004/README.md" in typed("card", store.root)
    assert verify_store(load_config([f"store.root={store.root}"])) == []
    typed("vacuum", store.root, "--apply", "upkeep.keep_last=1", "upkeep.keep_days=0", "upkeep.min_age_hours=0")
    assert (list_versions(store), len(list(read_masklets(store)))) == ([4], 3)
