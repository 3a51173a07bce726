"""A worker that does not see the driver's store takes no job."""

import os
from pathlib import Path

import pytest

from flows.label_video import LabelVideo, seen_from_anywhere
from flows.run import shared_root as module
from flows.run.shared_root import aws_settings, settle, shared_root
from labeling.config import LabelConfig, NetworkConfig, RunConfig, StoreConfig
from labeling.errors import BadInput, ClusterFailed, record_of
from labeling.objects import open_objects


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "node_name", lambda: "node-7")


def test_the_token_goes_there_and_back_and_leaves_nothing(tmp_path: Path) -> None:
    objects = open_objects(tmp_path / "root")
    shared = shared_root(objects, "run-1")
    with shared.laid_out():
        shared.accept(shared.prove())
        shared.accept(shared.prove())
    assert list(objects.list()) == []


def test_a_worker_whose_folder_is_another_is_named_with_the_root(tmp_path: Path) -> None:
    shared = shared_root(open_objects(tmp_path / "root"), "run-1")
    with pytest.raises(BadInput, match=f"node node-7 does not see under {tmp_path}/root") as error:
        shared.prove()      # nothing was laid out here, as on a node with a folder of its own
    assert record_of(error.value).reason == "store_not_shared"
    assert not (tmp_path / "root").exists()


def test_what_a_worker_wrote_elsewhere_is_not_accepted(tmp_path: Path) -> None:
    shared = shared_root(open_objects(tmp_path / "root"), "run-1")
    message = f"what node node-7-1 wrote under {tmp_path}/root is not seen here"
    with shared.laid_out(), pytest.raises(ClusterFailed, match=message):
        shared.accept(f"{shared.key}-node-7-1")


def test_another_endpoint_with_the_same_names_is_told_apart(s3: str) -> None:
    shared = shared_root(open_objects(s3 + "/labels"), "run-1")
    with pytest.raises(BadInput, match="AWS_ENDPOINT_URL"):
        shared.prove()


def test_what_goes_to_actors_is_named_from_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = LabelConfig(
        store=StoreConfig(root="labels"), model=NetworkConfig(checkpoint="w.pt"), run=RunConfig(scratch="s")
    )
    there = seen_from_anywhere(config)
    full = tuple(str(tmp_path / name) for name in ("labels", "w.pt", "s"))
    assert (there.store.root, there.model.checkpoint, there.run.scratch) == full
    assert config.store.root == "labels"
    assert seen_from_anywhere(LabelConfig(store=StoreConfig(root="s3://b/p"))).store.root == "s3://b/p"
    assert LabelVideo(config, None, "run-1").scratch == tmp_path / "s"      # type: ignore[arg-type]


DRIVERS = {"AWS_ACCESS_KEY_ID": "driver", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "http://driver:9000"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in aws_settings():
        monkeypatch.delenv(name)
    for name in DRIVERS:        # so that what the tests set is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    "own",
    [
        {"AWS_ACCESS_KEY_ID": "worker", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"},
        {"AWS_PROFILE": "worker"},
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"},
    ],
)
def test_a_worker_with_credentials_keeps_all_its_settings(own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    before = aws_settings()
    assert settle(DRIVERS, same_machine=False) == "worker"
    assert aws_settings() == before


def test_a_worker_with_a_file_of_credentials_keeps_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    assert settle(DRIVERS, same_machine=False) == "worker"
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_worker_without_credentials_gets_all_of_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "old")
    assert settle(DRIVERS, same_machine=False) == "driver"
    assert aws_settings() == DRIVERS


def test_a_worker_that_the_driver_started_itself_has_an_old_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the driver's of yesterday")
    assert settle(DRIVERS, same_machine=True) == "driver"
    assert aws_settings() == DRIVERS


def test_a_driver_with_a_role_leaves_workers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    before = aws_settings()
    assert settle({}, same_machine=False) == "worker"
    assert aws_settings() == before
