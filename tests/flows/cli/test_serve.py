"""`labeling review serve` and `token`: a real server on a real store, and what it refuses to begin with."""

import io
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.app import run_command
from flows.cli.review import app
from flows.cli.serve import Place, is_loopback, listening, serve, server_for
from flows.configure import load_config
from flows.run.review_queue import open_queue
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.review.accounts import Accounts, sha256
from tests.labeling.review.web.served import fill, make_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    make_store(folder)
    return folder


@pytest.fixture
def config(made: Path, tmp_path: Path) -> LabelConfig:
    """A dataset with its queue."""
    shutil.copytree(made / "store", tmp_path / "store")
    folders = [f"store.root={tmp_path / 'store'}", f"run.scratch={tmp_path / 'scratch'}"]
    return load_config([*folders, "model.allow_untrained=true"])


@pytest.fixture
def address(config: LabelConfig) -> Iterator[str]:
    """Where a server listens while the test runs."""
    from labeling.objects import FolderObjects

    place = Place(port=0, reviewer="ada")
    with open_queue(config) as queue, listening(place) as bound:
        fill(queue, FolderObjects(config.store.root))
        server = server_for(config, queue, place, Console(file=io.StringIO()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_a_reviewer_settles_an_item_over_http(address: str, config: LabelConfig) -> None:
    with httpx.Client(base_url=address, timeout=60) as browser:
        browser.headers["X-CSRF-Token"] = browser.get("/api/me").json()["csrf"]
        claimed = browser.post("/api/claim", json={}).json()
        token, item_id = claimed["lease"]["token"], claimed["item"]["item_id"]
        assert browser.get(f"/api/items/{item_id}/frames/3.jpg").content[:2] == b"\xff\xd8"
        clicked = browser.post(f"/api/items/{item_id}/preview", json={"token": token, "frame_idx": 3, "points": [[8, 8, 1]]})
        correction = {"frame_idx": 3, "points": [[8, 8, 1]], "mask": clicked.json()["mask"]}
        body = {"token": token, "action": "correct", "corrections": [correction], "seconds": 4.0, "clicks": 1}
        assert browser.post(f"/api/items/{item_id}/decision", json=body).json()["action"] == "correct"
    with open_queue(config) as queue:
        (kept,) = queue.corrections()
        assert kept.prompts[0].mask is not None
        assert kept.prompts[0].mask.counts == correction["mask"]["counts"]


def test_a_port_that_is_taken_and_an_address_that_is_none() -> None:
    with listening(Place(port=0)) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(BadConfiguration, match=f"cannot listen at 127.0.0.1 port {port}"), listening(Place(port=port)):
            pass
    nowhere = Place(host="no.such.name.invalid")
    wrong = {"--port is": Place(port=65536), "--port is -1": Place(port=-1), "cannot listen": nowhere}
    for message, place in wrong.items():
        with pytest.raises(BadConfiguration, match=message), listening(place):
            pass


def test_others_reach_it_only_where_there_are_tokens(config: LabelConfig) -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(BadConfiguration, match="labeling review token NAME"):
        serve(config, Place(host="0.0.0.0", port=0), console)
    with open_queue(config) as queue:
        Accounts(queue).make_token("ada")
        assert server_for(config, queue, Place(host="0.0.0.0", port=0), console).config.app is not None


def test_a_mistyped_root_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips").mkdir()
    for name, said in (("typo", "is no folder"), ("clips", "where no run has written")):
        assert run_command(["review", "serve", f"store.root={tmp_path / name}", "--port", "0"]) == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["clips"]


def test_a_lease_has_bounds(config: LabelConfig) -> None:
    for lease_s in (0.0, -1.0, 1e9):
        with pytest.raises(BadConfiguration, match="--lease-s"):
            serve(config, Place(port=0, lease_s=lease_s), Console(file=io.StringIO()))


def test_which_addresses_are_this_machines_own() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org")] == [False] * 4


def test_a_token_is_printed_once_and_kept_as_a_hash(config: LabelConfig) -> None:
    where = f"store.root={config.store.root}"
    made = CliRunner().invoke(app, ["token", "eve", where, "--role", "senior"])
    assert made.exit_code == 0, made.output
    token = made.output.strip()
    with closing(sqlite3.connect(Path(config.store.root) / "review.sqlite")) as kept:
        rows = kept.execute("SELECT token_sha256, reviewer, role FROM review_token").fetchall()
    assert rows == [(sha256(token), "eve", "senior")]
    assert "1 tokens of eve revoked" in CliRunner().invoke(app, ["token", "eve", where, "--revoke"]).output
    with open_queue(config) as queue:
        assert Accounts(queue).sign_in(token) is None
