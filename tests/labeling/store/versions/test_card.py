"""A snapshot's card says what its tables hold."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from labeling.config import QCConfig, RuleConfig
from labeling.objects import FolderObjects
from labeling.store.publish import publish
from labeling.store.snapshots import read_files
from labeling.store.versions.card import data_checksum
from tests.labeling.store.made_store import box_prompt, label

STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


def test_the_card_of_a_snapshot_counts_and_sums(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "cars")
    prompts = {"a.mp4": (box_prompt(1, category="cat|dog"), box_prompt(2)), "b.mp4": (box_prompt(1, category="cat|dog"),)}
    label(store, tmp_path / "s", prompts)
    snapshot = publish(store, STRICT, run_id="run")
    said = json.loads(store.get("snapshots/v000001/card.json"))
    assert (said["name"], said["snapshot"], said["counts"]) == ("cars", "v000001", snapshot.counts)
    assert (said["frames"], said["hours"], said["categories"]) == (12, 0.0001, {"cat|dog": 2, "": 1})
    (maker,) = said["made_by"]
    assert (maker["model"], maker["checkpoint_sha256"], maker["tracks"]) == ("sam2.1_nano", "untrained", 3)
    assert {name: (of["files"], of["rows"]) for name, of in said["files"].items()} == {
        "masks": (2, 18), "tracks": (2, 3), "videos": (2, 2),
    }
    lines = [f"{hashlib.sha256(store.get(part.file)).hexdigest()}  {part.file}\n" for part in snapshot.parts["files"]]
    assert said["checksums"]["files"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    text = store.get("snapshots/v000001/README.md").decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["size_categories"] == ["n<1K"]
    assert yaml.safe_load(front)["pretty_name"] == "cars v000001"
    assert "| cat\\|dog | 2 |" in body
    assert "- `object_lost`: visible_share at least 0.9, rejected past 0.1" in body
    assert said["checksums"]["files"] in body


@pytest.mark.usefixtures("version_2")
def test_the_card_of_version_2_sums_its_tables_and_all_data(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "cars")
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1),)})
    snapshot = publish(store, STRICT, run_id="run")
    said, files = json.loads(store.get("snapshots/v000001/card.json")), read_files(store, snapshot)
    for key in (snapshot.files, snapshot.verdicts):
        assert said["checksums"][key] == hashlib.sha256(store.get(key)).hexdigest()
    lines = [f"{hashlib.sha256(store.get(file)).hexdigest()}  {file}\n" for file in sorted(files["file"].to_pylist())]
    assert said["checksums"]["data"] == data_checksum(files) == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert said["checksums"]["data"] in store.get("snapshots/v000001/README.md").decode()


def test_a_store_without_a_masklet_has_a_card(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "store")
    publish(store, QCConfig(), run_id="run")
    said = json.loads(store.get("snapshots/v000001/card.json"))
    assert (said["hours"], said["frames"], said["categories"], said["made_by"], said["files"]) == (0, 0, {}, [], {})


@pytest.mark.parametrize("name", ["card.json", "README.md"])
def test_a_card_that_a_killed_publisher_did_not_write_is_written_by_the_next(tmp_path: Path, name: str) -> None:
    objects = FolderObjects(tmp_path / "store")
    for run, x0 in (("one", 2.0), ("two", 9.0)):
        label(objects, tmp_path / "s", {"a.mp4": (box_prompt(1, x0),)}, run)
        publish(objects, QCConfig(), run_id=run)
    keys = [f"snapshots/{version}/{name}" for version in ("v000001", "v000002")]
    before = [objects.get(key) for key in keys]
    objects.delete(keys[0])
    objects.put(keys[1], b"")
    publish(objects, QCConfig(), run_id="three")
    assert [objects.get(key) for key in keys] == before
    objects.put(keys[1].replace(name, "card.json"), b"{\"counts\": [")
    publish(objects, QCConfig(), run_id="four")
    assert objects.get(keys[1]) == before[1]


def test_names_of_others_are_shown_as_they_are(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "cars")
    label(store, tmp_path / "s", {"a.mp4": (box_prompt(1, category="</script>[x](y)|`*\x0b"),)})
    publish(store, STRICT, run_id="run")
    text = store.get("snapshots/v000001/README.md").decode()
    assert "| &lt;/script&gt;\\[x\\](y)\\|\\`\\*\ufffd | 1 |" in text
    assert "<script" not in text
