"""A worker's AWS settings: all of its own or all of the driver's."""

import os
from pathlib import Path

import pytest

from flows.run.aws_settings import aws_settings, settle

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
