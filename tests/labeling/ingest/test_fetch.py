"""A video comes whole, as listed, and nothing of it stays; what the dead left goes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labeling.config import SourceConfig
from labeling.errors import BadCredentials, BadInput, ErrorKind, Unavailable, record_of
from labeling.ingest.fetch import fetch_video, process_folder, sweep_scratch
from labeling.ingest.listing import MISSING, list_videos, ref_of
from labeling.objects import open_objects
from labeling.types import VideoRef


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def listed(root: str, **bodies: bytes) -> list[VideoRef]:
    for name, body in bodies.items():
        open_objects(root).put(f"{name}.mp4", body)
    return list(list_videos(SourceConfig(uri=root)))


def files_under(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".beside")]


def test_a_local_video_is_used_where_it_lies(tmp_path: Path, scratch: Path) -> None:
    (ref,) = listed(str(tmp_path / "v"), a=b"video")
    with fetch_video(ref, scratch) as path:
        assert path == tmp_path / "v" / "a.mp4"
    assert path.read_bytes() == b"video"
    assert not scratch.exists()


def test_a_video_in_s3_is_copied_and_removed(s3: str, scratch: Path) -> None:
    (ref,) = listed(s3, a=b"video")
    with fetch_video(ref, scratch, run_id="r1") as path:
        assert path.read_bytes() == b"video"
        assert path.suffix == ".mp4"
        assert path.is_relative_to(scratch / "r1")
    assert files_under(scratch) == []
    with pytest.raises(RuntimeError, match="tracking failed"), fetch_video(ref, scratch):
        raise RuntimeError("tracking failed")
    assert files_under(scratch) == []


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_video_that_changed_or_went_since_the_listing_is_refused(
    kind: str, tmp_path: Path, scratch: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "v") if kind == "folder" else request.getfixturevalue("s3")
    (ref,) = listed(root, a=b"video")
    open_objects(root).put("a.mp4", b"VIDEO")
    with pytest.raises(Unavailable, match="changed since the listing") as got, fetch_video(ref, scratch):
        pass
    assert got.value.kind is ErrorKind.TRANSIENT
    open_objects(root).delete("a.mp4")
    with pytest.raises(BadInput, match="does not exist") as gone, fetch_video(ref, scratch):
        pass
    assert gone.value.reason == "missing_video"
    assert files_under(scratch) == []


def test_a_server_that_is_away_is_the_source_that_is_unavailable(
    s3: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ref,) = listed(s3, a=b"video")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Unavailable) as got, fetch_video(ref, scratch):
        pass
    assert got.value.reason == "source_unavailable"


def test_a_process_without_credentials_is_no_videos_fault(s3: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ref,) = listed(s3, a=b"video")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(BadCredentials, match="AWS_ACCESS_KEY_ID") as got, fetch_video(ref, scratch):
        pass
    assert record_of(got.value).reason == "credentials_refused"


def test_a_video_above_the_cap_is_named_with_the_setting(s3: str, scratch: Path) -> None:
    (ref,) = listed(s3, a=b"x" * 1000)
    message = r"1000 bytes and run\.scratch_cap_gib allows 999"
    with pytest.raises(BadInput, match=message), fetch_video(ref, scratch, cap_bytes=999):
        pass


def test_scratch_that_stays_full_is_waited_for_and_then_said(s3: str, scratch: Path) -> None:
    first, second = listed(s3, a=b"x" * 600, b=b"y" * 600)
    with fetch_video(first, scratch, cap_bytes=1000):
        more = fetch_video(second, scratch, cap_bytes=1000, wait_s=0.1)
        with pytest.raises(Unavailable, match="600 more do not fit") as got, more:
            pass
        assert got.value.reason == "scratch_full"
    with fetch_video(second, scratch, cap_bytes=1000, wait_s=0.1) as path:
        assert path.read_bytes() == b"y" * 600


def test_one_waits_until_another_is_done(s3: str, scratch: Path) -> None:
    first, second = listed(s3, a=b"x" * 600, b=b"y" * 600)
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with fetch_video(first, scratch, cap_bytes=1000):
            holding.set()
            let_go.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(30)
    threading.Timer(0.3, let_go.set).start()
    with fetch_video(second, scratch, cap_bytes=1000, wait_s=30):
        assert let_go.is_set()
    thread.join()


KILLED = """
import os, signal, sys
from pathlib import Path
from labeling.ingest.fetch import process_folder
(process_folder(Path(sys.argv[1]), "old-run") / "half.mp4").write_bytes(b"x" * 500)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept_and_what_lives_stays(scratch: Path) -> None:
    run = subprocess.run([sys.executable, "-c", KILLED, str(scratch)], check=False)
    assert run.returncode == -9
    alive = process_folder(scratch, "new-run") / "mine.mp4"
    alive.write_bytes(b"y")
    assert [p.name for p in files_under(scratch / "old-run")] == ["half.mp4"]
    assert sweep_scratch(scratch, "new-run") == 500
    assert files_under(scratch) == [alive]
    assert not (scratch / "old-run").exists()
    assert sweep_scratch(scratch, "new-run") == 0


def test_what_a_killed_process_left_gives_its_room_back(s3: str, scratch: Path) -> None:
    (ref,) = listed(s3, a=b"x" * 600)
    subprocess.run([sys.executable, "-c", KILLED, str(scratch)], check=False)
    with fetch_video(ref, scratch, cap_bytes=1000, wait_s=5) as path:
        assert path.read_bytes() == b"x" * 600


def test_an_id_that_was_given_again_is_not_taken_for_the_owner(scratch: Path) -> None:
    mine = process_folder(scratch, "run")
    host, pid, _ = mine.name.rsplit("~", 2)
    reused = mine.with_name(f"{host}~{pid}~1")
    reused.mkdir()
    sweep_scratch(scratch, "run")
    assert mine.exists()
    assert not reused.exists()


def test_another_hosts_folder_stays_until_it_is_a_day_old(scratch: Path) -> None:
    foreign = scratch / "run" / "owner~otherhost~1~1"
    foreign.mkdir(parents=True)
    sweep_scratch(scratch)
    assert foreign.exists()
    long_ago = time.time() - 90_000
    os.utime(foreign, (long_ago, long_ago))
    sweep_scratch(scratch)
    assert not foreign.exists()


def test_only_folders_of_ours_are_swept(scratch: Path) -> None:
    other = scratch / "someone" / "a-b-c"
    other.mkdir(parents=True)
    sweep_scratch(scratch)
    assert other.exists()


def test_what_is_no_regular_file_is_refused_by_kind_at_once(tmp_path: Path, scratch: Path) -> None:
    folder = tmp_path / "v"
    (folder / "folder.mp4").mkdir(parents=True)
    os.mkfifo(folder / "pipe.mp4")
    os.symlink("/dev/zero", folder / "device.mp4")
    os.symlink(folder / "gone.mp4", folder / "link.mp4")
    for name, reason, what in (
        ("folder", "not_a_video", "is a folder"), ("pipe", "not_a_video", "is a named pipe"),
        ("device", "not_a_video", "is a character device"), ("link", "missing_video", "does not exist"),
    ):
        ref = VideoRef("0" * 16, f"{name}.mp4", str(folder / f"{name}.mp4"), MISSING, 0)
        with pytest.raises(BadInput, match=what) as refused, fetch_video(ref, scratch):
            pass
        assert refused.value.reason == reason
    assert ref_of(str(folder / "pipe.mp4")).content_id == MISSING


def test_a_manifest_that_names_a_pipe_lists_the_others(tmp_path: Path) -> None:
    listed(str(tmp_path / "v"), a=b"video")
    os.mkfifo(tmp_path / "v" / "pipe.mp4")
    manifest = tmp_path / "videos.csv"
    manifest.write_text("video\na.mp4\npipe.mp4\n")
    refs = list(list_videos(SourceConfig(uri=str(tmp_path / "v"), manifest=str(manifest))))
    assert [(ref.key, ref.content_id == MISSING) for ref in refs] == [("a.mp4", False), ("pipe.mp4", True)]
