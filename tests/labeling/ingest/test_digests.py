"""Files are read once, and a memory that is broken, locked away or shared costs nothing but time."""

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labeling.ingest.digests import Digests, cache_folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"content")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_file_that_has_not_changed_is_not_read_again(video: Path, tmp_path: Path) -> None:
    memory = tmp_path / "cache" / "d.sqlite"
    with Digests(memory) as digests:
        assert digests.of(video) == _sha256(b"content")
    # Other bytes under the same length and time: the answer shows that they were not read.
    video.write_bytes(b"CONTENT")
    os.utime(video, (1_700_000_000, 1_700_000_000))
    with Digests(memory) as digests:
        assert digests.of(video) == _sha256(b"content")


def test_another_time_or_length_is_read_again(video: Path, tmp_path: Path) -> None:
    with Digests(tmp_path / "d.sqlite") as digests:
        digests.of(video)
    video.write_bytes(b"CONTENT")
    with Digests(tmp_path / "d.sqlite") as digests:
        assert digests.of(video) == _sha256(b"CONTENT")


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_bytes(b"one")
    stamp = path.stat().st_mtime_ns
    with Digests(tmp_path / "d.sqlite") as digests:
        digests.of(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp, stamp))
    with Digests(tmp_path / "d.sqlite") as digests:
        assert digests.of(path) == _sha256(b"two")


def test_a_broken_memory_is_made_anew(video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = tmp_path / "d.sqlite"
    memory.write_bytes(b"this is no database" * 100)
    with caplog.at_level(logging.WARNING), Digests(memory) as digests:
        assert digests.of(video) == _sha256(b"content")
    assert "made anew" in caplog.text
    assert memory.read_bytes().startswith(b"SQLite format 3")


def test_no_place_for_a_memory_is_said_once(video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING), Digests(tmp_path / "file" / "d.sqlite") as digests:
        assert [digests.of(video), digests.of(video)] == [_sha256(b"content")] * 2
    assert len(caplog.records) == 1
    assert "XDG_CACHE_HOME" in caplog.text


MANY = """
import sys
from pathlib import Path
from labeling.ingest.digests import Digests
with Digests(Path(sys.argv[1])) as digests:
    for path in sorted(Path(sys.argv[2]).iterdir()):
        assert len(digests.of(path)) == 64
"""


def test_many_processes_share_one_memory(tmp_path: Path) -> None:
    folder, memory = tmp_path / "videos", tmp_path / "d.sqlite"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n}.mp4").write_bytes(b"%d" % n)
        os.utime(folder / f"{n}.mp4", (1_700_000_000, 1_700_000_000))
    runs = [
        subprocess.Popen([sys.executable, "-c", MANY, memory, folder], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [(run.communicate(timeout=60)[1], run.returncode) for run in runs] == [("", 0)] * 3
    for path in folder.iterdir():  # all are remembered: the bytes are not looked at
        path.write_bytes(b"?" * path.stat().st_size)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    with Digests(memory) as digests:
        assert digests.of(folder / "7.mp4") == _sha256(b"7")
        assert digests.of(folder / "299.mp4") == _sha256(b"299")


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "samurai-labeling"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/samurai-labeling")
