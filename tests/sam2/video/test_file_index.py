"""Every frame counted without decoding, and the same as decoding counts; what is broken named."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from sam2.video import file_index
from sam2.video.file_index import index_frames
from sam2.video.files import UnreadableVideo

BF = {"bf": "3", "g": "8"}
VFR = {"pts": [0, 10, 15, 30, 31, 50, 70, 71, 72, 90, 100, 120], "num_frames": 12, "time_base": Fraction(1, 100), "rate": 25}

# name, how it is written, whether its frames are counted from packets
KINDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "h264 with B-frames": ("a.mp4", {"options": BF}, True),
    "open GOPs": ("a.mp4", {"options": {**BF, "x264-params": "open-gop=1:keyint=8:bframes=3"}}, True),
    "variable rate": ("a.mp4", {**VFR, "options": {"bf": "2"}}, True),
    "hevc with open GOPs": ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}}, True),
    "fragmented": ("a.mp4", {"options": BF, "container_options": {"movflags": "frag_keyframe+empty_moov"}}, True),
    "mpeg4": ("a.mp4", {"codec": "mpeg4", "options": {"bf": "2", "g": "8"}}, True),
    "mpeg4 in AVI": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}, False),
    "transport stream": ("a.ts", {"options": BF}, True),
    "mpeg2": ("a.mpg", {"codec": "mpeg2video", "rate": 25, "options": {"bf": "2", "g": "8"}}, True),
    "matroska": ("a.mkv", {"options": BF}, True),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "options": {"lag-in-frames": "16", "auto-alt-ref": "1"}}, True),
    "vp8 with hidden frames": ("a.webm", {"codec": "libvpx", "options": {"lag-in-frames": "16", "auto-alt-ref": "1"}}, False),
    "gif": ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}, True),
    "one frame": ("a.mp4", {"num_frames": 1}, True),
}


def decoded_times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_is_what_decoding_gives(kind: str, clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, how, from_packets = KINDS[kind]
    path = clip(name, **how)
    if from_packets:
        monkeypatch.setattr(file_index, "_decoded_index", lambda *args: pytest.fail("decoded all of it"))
    index = index_frames(path, "clip")
    assert list(index.pts) == decoded_times(path)
    assert len(index.pts) == how.get("num_frames", 24)
    assert not index.by_order


def test_seconds_count_from_the_files_start(clip: Callable[..., Path]) -> None:
    index = index_frames(clip("late.ts", options=BF), "clip")
    assert index.pts[0] > 0
    assert [round(index.seconds(i), 6) for i in (0, 6, 23)] == [0.0, 0.5, round(23 / 12, 6)]
    index = index_frames(clip("vfr.mp4", **VFR), "clip")
    assert [round(index.seconds(i), 6) for i in (0, 1, 2, 11)] == [0.0, 0.1, 0.15, 1.2]


def remuxed(source: Path, to: Path, keep: Callable[[int, Any], bool] = lambda i, p: True, **options: str) -> Path:
    """Copy a clip's packets, without decoding, to another container."""
    with av.open(str(source)) as reader, av.open(str(to), "w", options=options) as writer:
        out = writer.add_stream_from_template(reader.streams.video[0])
        for i, packet in enumerate(reader.demux(video=0)):
            if packet.dts is not None and keep(i, packet):
                packet.stream = out
                writer.mux(packet)
    return to


def test_packets_outside_the_edit_list_are_no_frames(clip: Callable[..., Path], tmp_path: Path) -> None:
    """A cut without re-encoding: the file holds frames from the key frame on, the edit list starts later."""
    source = clip(options={"g": "24", "bf": "0"})
    body = bytearray(source.read_bytes())
    at = body.index(b"elst")
    # version/flags, one entry: duration (ms), media time (1/12288 s), rate. Start at frame 5, to the end.
    assert int.from_bytes(body[at + 8:at + 12], "big") == 1
    body[at + 12:at + 16] = round(19 / 12 * 1000).to_bytes(4, "big")
    body[at + 16:at + 20] = (5 * 1024).to_bytes(4, "big")
    cut = tmp_path / "edited.mp4"
    cut.write_bytes(bytes(body))
    index = index_frames(cut, "clip")
    assert len(index.pts) == 19
    assert list(index.pts) == decoded_times(cut)


def test_a_stream_that_begins_in_mid_group_counts_only_what_decodes(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("whole.ts", options={"bf": "0", "g": "8"})
    cut = remuxed(source, tmp_path / "cut.ts", lambda i, packet: i >= 3)
    index = index_frames(cut, "clip")
    assert list(index.pts) == decoded_times(cut)
    assert 0 < len(index.pts) < 24


def test_times_that_are_missing_are_made_up_in_order(clip: Callable[..., Path], tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    remuxed(clip(options=BF), raw)
    index = index_frames(raw, "clip")
    assert len(index.pts) == 24
    seconds = [index.seconds(i) for i in range(24)]
    assert all(a < b for a, b in itertools.pairwise(seconds))
    assert seconds[0] == 0.0


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 8000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(UnreadableVideo, match=r"no video stream \(its streams: \['audio'\]\)") as got:
        index_frames(path, "sound.m4a")
    assert got.value.reason == "not_a_video"


FASTSTART = {"container_options": {"movflags": "faststart"}, "num_frames": 48}


def cut_short(name: str, share: float) -> Callable[[Callable[..., Path]], bytes]:
    def make(clip: Callable[..., Path]) -> bytes:
        whole = clip(f"whole_{name}", **(FASTSTART if name.endswith("mp4") else {"num_frames": 48})).read_bytes()
        return whole[:int(len(whole) * share)]

    return make


@pytest.mark.parametrize(
    ("body", "name", "reason", "message"),
    [
        (lambda clip: b"", "a.mp4", "empty_video", r"is empty \(0 bytes\)"),
        (lambda clip: b"This is no video.\n" * 100, "a.mp4", "not_a_video", "is no video file: it is text"),
        (lambda clip: bytes(5000), "a.mp4", "not_a_video", "is no video file"),
        (lambda clip: b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n", "a.mp4", "not_a_video", "is no video file"),
        (lambda clip: clip("w.mp4").read_bytes()[:-200], "a.mp4", "decode_error", r"cut short: an MP4 without its table"),
        (cut_short("w.mp4", 0.7), "a.mp4", "decode_error", r"breaks at frame \d+ of 48: the file ends"),
        (cut_short("w.mp4", 0.99), "a.mp4", "decode_error", r"breaks at frame 4\d of 48"),
        (cut_short("w.mkv", 0.6), "a.mkv", "decode_error", r"breaks at frame \d+ of 48: the file ends there"),
    ],
)
def test_a_broken_file_is_named_with_its_reason(
    body: Callable[[Any], bytes], name: str, reason: str, message: str, clip: Callable[..., Path], tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    path.write_bytes(body(clip))
    with pytest.raises(UnreadableVideo, match=message) as got:
        index_frames(path, "s3://bucket/the video.mp4")
    assert got.value.reason == reason
    assert str(got.value).startswith("s3://bucket/the video.mp4 ")
    assert capfd.readouterr() == ("", "")  # libav keeps its thoughts to itself


@pytest.mark.parametrize("kept", [1, 12, 23])
def test_an_mp4_cut_between_two_frames_is_named(kept: int, clip: Callable[..., Path]) -> None:
    path = clip(options={"bf": "0"}, container_options={"movflags": "faststart"})
    with av.open(str(path)) as container:
        end = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size][kept - 1]
    with pytest.raises(UnreadableVideo, match=f"^clip breaks at frame {kept} of 24: the file ends there") as got:
        index_frames(path.read_bytes()[:end], "clip")
    assert got.value.reason == "decode_error"


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4"), ("a.flv", "flv1"), ("a.asf", "wmv2"),
        ("a.mp4", "libx264"),
    ],
)
def test_a_file_that_ends_early_is_never_read_as_if_it_were_whole(name: str, codec: str, clip: Callable[..., Path]) -> None:
    whole = clip(name, codec=codec, num_frames=48).read_bytes()
    assert index_frames(whole, "clip").num_frames == 48
    for share in (0.05, 0.3, 0.5, 0.7, 0.85):
        with pytest.raises(UnreadableVideo) as got:
            index_frames(whole[:int(len(whole) * share)], "clip")
        assert got.value.reason in ("decode_error", "not_a_video", "empty_video")


def test_streams_that_begin_in_mid_file_are_left_aside(clip: Callable[..., Path]) -> None:
    film = clip("film.ts", options={"g": "8", "bf": "2"}).read_bytes()
    other = bytearray(clip("other.ts", options={"g": "8", "bf": "2"}).read_bytes())
    for at in range(0, len(other), 188):
        if int.from_bytes(other[at + 1:at + 3], "big") & 0x1FFF == 0x100:
            other[at + 1:at + 3] = (int.from_bytes(other[at + 1:at + 3], "big") | 0x011).to_bytes(2, "big")
    assert index_frames(film + bytes(other), "clip").num_frames >= 24


def test_a_missing_file_is_a_missing_video(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo) as got:
        index_frames(tmp_path / "none.mp4", "none.mp4")
    assert got.value.reason == "missing_video"


def test_a_video_without_frames_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as out:
        stream: Any = out.add_stream("libx264", rate=12)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        out.start_encoding()
    with pytest.raises(UnreadableVideo) as got:
        index_frames(path, "none.mp4")
    assert got.value.reason == "empty_video"
