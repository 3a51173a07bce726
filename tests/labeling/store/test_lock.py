"""One run at a time: taken, kept alive, taken over when its holder is gone, and a holder that lost it finds out."""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labeling.errors import DamagedStore, StoreBusy
from labeling.objects import FolderObjects, Objects, open_objects
from labeling.store.layout import LOCK
from labeling.store.lock import RunLock, holder_of, run_lock


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    root = str(tmp_path / "store") if request.param == "folder" else f"{request.getfixturevalue('s3')}/labels"
    return open_objects(root)


def rewrite(store: Objects, **changes: object) -> None:
    """Change the lock as its holder would."""
    store.put(LOCK, json.dumps(json.loads(store.get(LOCK)) | changes).encode())


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)


def test_a_second_run_is_told_who_holds_it_and_may_go_on_afterwards(store: Objects) -> None:
    with run_lock(store, "ana@one run-1") as lock:
        lock.check()
        with pytest.raises(StoreBusy, match="ana@one run-1"), run_lock(store, "bo@two run-2"):
            pass
        lock.check()
    with run_lock(store, "bo@two run-2") as lock:
        lock.check()
        assert json.loads(store.get(LOCK))["holder"] == "bo@two run-2"


def test_heartbeats_keep_it_and_silence_loses_it(store: Objects, caplog: pytest.LogCaptureFixture) -> None:
    with run_lock(store, "ana", stale_s=2) as lock:
        first = json.loads(store.get(LOCK))["heartbeat_at"]
        wait_until(lambda: json.loads(store.get(LOCK))["heartbeat_at"] > first + 1)
        lock.check()
        with pytest.raises(StoreBusy), run_lock(store, "bo", stale_s=0.001):
            pass
    frozen = RunLock(store, "dead", 0.5)
    assert frozen._take()  # a holder that never beats
    with pytest.raises(StoreBusy), run_lock(store, "bo", stale_s=100):
        pass
    rewrite(store, heartbeat_at=time.time() - 101)
    with caplog.at_level(logging.WARNING), run_lock(store, "bo", stale_s=100):
        assert json.loads(store.get(LOCK))["holder"] == "bo"
    assert "from dead: no sign of life" in caplog.text


def test_a_holder_that_lost_it_finds_out_and_gives_nothing_back(store: Objects) -> None:
    with run_lock(store, "ana", stale_s=0.4) as lock:
        rewrite(store, holder="bo", token="other", heartbeat_at=time.time() + 100)
        wait_until(lambda: lock._lost)
        with pytest.raises(StoreBusy, match="ana no longer holds .*bo took it over"):
            lock.check()
    said = json.loads(store.get(LOCK))
    assert (said["holder"], said["released"]) == ("bo", False)


def test_a_holder_without_a_store_gives_up_by_itself(tmp_path: Path) -> None:
    class Away(FolderObjects):
        away = False

        def put_if_match(self, key: str, body: bytes, etag: str) -> bool:
            if self.away:
                raise OSError("no route to host")
            return super().put_if_match(key, body, etag)

    store = Away(tmp_path / "store")
    with run_lock(store, "ana", stale_s=0.4) as lock:
        store.away = True
        time.sleep(0.6)
        with pytest.raises(StoreBusy, match="no heartbeat could be written"):
            lock.check()


def hold_for_ever(root: str) -> None:
    with run_lock(open_objects(root), "killed", stale_s=1000):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_of_this_machine_is_taken_over_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    child = multiprocessing.get_context("spawn").Process(target=hold_for_ever, args=(str(tmp_path / "store"),))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    store = open_objects(str(tmp_path / "store"))
    assert json.loads(store.get(LOCK))["holder"] == "killed"
    with caplog.at_level(logging.WARNING), run_lock(store, "next", stale_s=1000):
        assert "from killed: its process is gone" in caplog.text


def test_a_process_of_another_machine_is_not_thought_dead(store: Objects) -> None:
    with run_lock(store, "ana", stale_s=1000):
        rewrite(store, process={"machine": "elsewhere", "pid": 1, "started": "5"})
        with pytest.raises(StoreBusy), run_lock(store, "bo", stale_s=1000):
            pass


def test_of_many_that_start_at_once_one_holds_it(store: Objects) -> None:
    with run_lock(store, "before", 1000):  # given back: anyone may take it, and only one does
        pass
    held: list[RunLock] = []
    gate = threading.Barrier(6)

    def start(n: int) -> None:
        lock = RunLock(store, f"run-{n}", 1000)
        gate.wait()
        try:
            lock.acquire()
        except StoreBusy:
            return
        held.append(lock)

    threads = [threading.Thread(target=start, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    held[0].check()
    held[0].release()


@pytest.mark.parametrize(
    "body",
    [
        b"cut off in the middl", b"", b"[]", b"{}", b'{"holder": 1}', b'\xff\xfe',
        b'{"holder": "a", "token": "b", "acquired_at": NaN, "heartbeat_at": 0, "process": {"machine": "", "pid": 1}}',
        b'{"holder": "a", "token": "b", "acquired_at": 1e300, "heartbeat_at": 0, "process": {"machine": "", "pid": 1}}',
    ],
)
def test_a_damaged_lock_is_named_and_left(store: Objects, body: bytes) -> None:
    store.put(LOCK, body)
    with pytest.raises(DamagedStore, match=r"locks/run\.json is damaged .*delete it"), run_lock(store, "ana"):
        pass
    with pytest.raises(DamagedStore, match=r"locks/run\.json"):
        holder_of(store)
    assert store.get(LOCK) == body


def test_no_time_is_no_patience(store: Objects) -> None:
    with pytest.raises(ValueError, match="stale_s is 0"), run_lock(store, "ana", stale_s=0):
        pass
