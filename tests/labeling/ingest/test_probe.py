"""What is known of a video before any GPU sees it."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from labeling.errors import BadInput
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.types import Video, VideoRef
from tests.fixtures_clips import drawn_frame

SHARED = Path(__file__).resolve().parents[4] / "shared" / "videos"


def probed(path: Path) -> Video:
    return probe(VideoRef("0" * 16, path.name, str(path), "c", 1), path)


def turned_clip(path: Path, degrees: float, **mirror: bool) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=12)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(degrees, **mirror)
        for i in range(6):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(drawn_frame(i, (48, 64)), format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_a_plain_clip(clip: Callable[..., Path]) -> None:
    video = probed(clip(num_frames=30, rate=Fraction(30000, 1001), options={"bf": "3"}))
    assert (video.size_hw, video.frame_rate, video.num_frames) == ((48, 64), Fraction(30000, 1001), 30)
    assert (video.codec, video.rotation_degrees) == ("h264", 0)
    assert video.duration_seconds == pytest.approx(30 * 1001 / 30000, abs=1e-3)


@pytest.mark.parametrize(
    ("counter_clockwise", "turn", "size_hw"), [(90, 270, (64, 48)), (-90, 90, (64, 48)), (180, 180, (48, 64))]
)
def test_the_size_is_that_of_the_upright_frame(
    counter_clockwise: float, turn: int, size_hw: tuple[int, int], tmp_path: Path
) -> None:
    video = probed(turned_clip(tmp_path / "turned.mp4", counter_clockwise))
    assert (video.rotation_degrees, video.size_hw) == (turn, size_hw)


def test_variable_frame_rate(clip: Callable[..., Path]) -> None:
    pts = [0, 10, 20, 30, 80, 90, 100, 110, 120, 130]
    video = probed(clip(pts=pts, num_frames=10, time_base=Fraction(1, 100), rate=25))
    assert video.num_frames == 10
    assert 6 < video.frame_rate < 9
    assert video.duration_seconds == pytest.approx(1.3 + float(1 / video.frame_rate), abs=1e-6)


@pytest.mark.parametrize("pause_s", [10, 14 * 3600])
def test_a_long_pause_says_nothing_about_the_rate(pause_s: int, clip: Callable[..., Path]) -> None:
    pts = [83 * k + (pause_s * 1000 if k >= 12 else 0) for k in range(24)]
    video = probed(clip("pause.mkv", pts=pts, num_frames=24, time_base=Fraction(1, 1000), rate=12))
    assert video.frame_rate == pytest.approx(12, abs=0.1)
    assert video.duration_seconds == pytest.approx(pause_s + 24 * 0.083, abs=0.1)


def test_a_frame_an_hour_is_a_rate(clip: Callable[..., Path]) -> None:
    pts = [3_600_000 * k for k in range(6)]
    video = probed(clip("lapse.mkv", pts=pts, num_frames=6, time_base=Fraction(1, 1000), rate=25))
    assert video.frame_rate == Fraction(1, 3600)


@pytest.mark.parametrize(
    ("name", "how", "codec", "size_hw"),
    [
        ("a.webm", {"codec": "libvpx-vp9"}, "vp9", (48, 64)),
        ("a.avi", {"codec": "mpeg4"}, "mpeg4", (48, 64)),
        ("a.mkv", {"codec": "ffv1", "size_hw": (47, 63), "pix_fmt": "yuv444p"}, "ffv1", (47, 63)),
    ],
)
def test_other_codecs_and_odd_sizes(
    name: str, how: dict[str, Any], codec: str, size_hw: tuple[int, int], clip: Callable[..., Path]
) -> None:
    video = probed(clip(name, **how))
    assert (video.codec, video.size_hw, video.num_frames, video.frame_rate) == (codec, size_hw, 24, 12)


def test_a_broken_file_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(BadInput) as got:
        probed(path)
    assert got.value.reason == "not_a_video"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared clips are not here")
def test_real_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = SHARED / "01_dog.mp4"
    video = probe(ref_of(str(path)), path)
    assert (video.size_hw, video.num_frames, video.frame_rate) == ((720, 1280), 289, Fraction(30000, 1001))
