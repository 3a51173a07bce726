"""What stands behind a video's name, looked at without opening it."""

import os
import pickle
import socket
from pathlib import Path

import pytest

from sam2.video.files import UnreadableVideo, reading, state_of


def test_a_file_that_changes_has_another_state(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    before = state_of(path, "a.mp4")
    assert state_of(str(path), "a.mp4") == before
    path.write_bytes(b"four")
    assert state_of(path, "a.mp4") != before
    assert state_of(b"bytes", "bytes") is None


@pytest.mark.timeout(10)
def test_other_kinds_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "none", tmp_path / "link")
    (tmp_path / "empty").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, reason, what in (
            ("pipe", "not_a_video", r"a named pipe \(FIFO\)"), ("socket", "not_a_video", "a socket"),
            ("/dev/null", "not_a_video", "a character device"), ("", "not_a_video", "a folder"),
            ("link", "missing_video", "a link to a file that is not there"), ("none", "missing_video", "does not exist"),
            ("empty/a", "missing_video", "does not exist"), ("empty", "empty_video", "is empty"),
            ("x" * 300, "source_unavailable", "File name too long"), ("a\0b", "source_unavailable", "cannot be opened"),
        ):
            with pytest.raises(UnreadableVideo, match=what) as refused:
                state_of(f"{tmp_path}/{name}" if name[:1] != "/" else name, "videos/a.mp4")
            assert refused.value.reason == reason
            assert str(refused.value).startswith("videos/a.mp4 ")


def test_no_bytes_are_an_empty_video() -> None:
    with pytest.raises(UnreadableVideo, match="is empty"):
        state_of(b"", "the video's bytes")


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableVideo("a.mp4 is empty", "empty_video")))
    assert (str(error), error.reason) == ("a.mp4 is empty", "empty_video")


def test_reading_gives_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    for video in (tmp_path / "a", b"content"):
        with reading(video, "a") as reader:
            assert reader.read() == b"content"
    with pytest.raises(UnreadableVideo, match="does not exist"), reading(tmp_path / "b", "b"):
        pass
