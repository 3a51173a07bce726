"""Files that end before their own headers say."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from labeling.ingest.wholeness import declared_seconds, is_shorter_than_declared, lacks_moov


def test_an_mp4_lacks_its_table_until_the_last_byte_of_it_is_there(clip: Callable[..., Path], tmp_path: Path) -> None:
    whole = clip().read_bytes()
    end = whole.index(b"moov") - 4 + struct.unpack(">I", whole[whole.index(b"moov") - 4:][:4])[0]
    cut = tmp_path / "cut.mp4"
    for num_bytes, lacks in ((end, False), (end - 1, True), (100, True), (12, True)):
        cut.write_bytes(whole[:num_bytes])
        assert lacks_moov(cut) is lacks


def test_large_boxes_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"12345"
    path.write_bytes(struct.pack(">I4s", 8, b"ftyp") + mdat + struct.pack(">I4s", 8, b"moov"))
    assert not lacks_moov(path)


def test_what_is_no_mp4_lacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for body in (b"", b"text that is longer than eight bytes"):
        path.write_bytes(body)
        assert not lacks_moov(path)
        assert not is_shorter_than_declared(path)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
def test_matroska_and_avi_know_their_length(name: str, codec: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    whole = clip(name, codec=codec).read_bytes()
    path = tmp_path / f"cut_{name}"
    for num_bytes, shorter in ((len(whole), False), (len(whole) - 1, True), (len(whole) // 2, True)):
        path.write_bytes(whole[:num_bytes])
        assert is_shorter_than_declared(path) is shorter


def test_a_live_recording_has_no_length_to_miss(clip: Callable[..., Path]) -> None:
    assert not is_shorter_than_declared(clip("live.mkv", container_options={"live": "1"}))


def test_durations() -> None:
    assert declared_seconds("01:02:03.500000000") == 3723.5
    assert declared_seconds("") is declared_seconds("1:2") is declared_seconds("a:b:c") is None
