"""What stands behind a video's name, looked at without opening it."""

import io
import os
import pickle
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from sam2.video.files import (
    UnreadableVideo,
    declared_seconds,
    declares_too_much,
    ends_within_frames,
    lacks_moov,
    reading,
    state_of,
)


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


def test_an_mp4_lacks_its_table_until_the_last_byte_of_it_is_there(clip: Callable[..., Path]) -> None:
    whole = clip().read_bytes()
    end = whole.index(b"moov") - 4 + struct.unpack(">I", whole[whole.index(b"moov") - 4:][:4])[0]
    for num_bytes, lacks in ((end, False), (end - 1, True), (100, True), (12, True)):
        assert lacks_moov(io.BytesIO(whole[:num_bytes])) is lacks


def test_large_boxes_are_stepped_over() -> None:
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"12345"
    assert not lacks_moov(io.BytesIO(struct.pack(">I4s", 8, b"ftyp") + mdat + struct.pack(">I4s", 8, b"moov")))


def test_what_is_no_mp4_lacks_nothing() -> None:
    for body in (b"", b"text that is longer than eight bytes"):
        assert not lacks_moov(io.BytesIO(body))
        assert not ends_within_frames(io.BytesIO(body))
        assert declares_too_much(io.BytesIO(body)) is None


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
def test_matroska_and_avi_know_where_their_frames_end(name: str, codec: str, clip: Callable[..., Path]) -> None:
    whole = clip(name, codec=codec).read_bytes()
    # Without the last byte a part of the index is lost, and no frame.
    for num_bytes, cut in ((len(whole), False), (len(whole) - 1, False), (len(whole) // 2, True)):
        assert ends_within_frames(io.BytesIO(whole[:num_bytes])) is cut


def test_a_live_recording_has_no_length_to_miss(clip: Callable[..., Path]) -> None:
    live = clip("live.mkv", container_options={"live": "1"}).read_bytes()
    assert not ends_within_frames(io.BytesIO(live))
    assert not ends_within_frames(io.BytesIO(live[:len(live) // 2]))


def test_a_fragmented_mp4_ends_where_its_index_says(clip: Callable[..., Path]) -> None:
    movflags = {"movflags": "frag_keyframe+empty_moov+global_sidx"}
    whole = clip(num_frames=48, options={"g": "8"}, container_options=movflags).read_bytes()
    fragment = whole.rindex(b"moof") - 4
    for num_bytes, cut in ((len(whole), False), (fragment, True), (fragment + 30, True)):
        assert ends_within_frames(io.BytesIO(whole[:num_bytes])) is cut


def test_more_frames_than_bytes_are_too_many(clip: Callable[..., Path]) -> None:
    whole = bytearray(clip().read_bytes())
    assert declares_too_much(io.BytesIO(whole)) is None
    at = whole.index(b"stsz") + 8
    whole[at:at + 8] = struct.pack(">II", 7, 170_000_000)
    assert declares_too_much(io.BytesIO(whole)) == 170_000_000
    nested = b"".join(struct.pack(">I4s", 8 * (5000 - k), b"moov") for k in range(5000))
    assert declares_too_much(io.BytesIO(nested)) is None


def test_durations() -> None:
    assert declared_seconds("01:02:03.500000000") == 3723.5
    assert declared_seconds("") is declared_seconds("1:2") is declared_seconds("a:b:c") is None
