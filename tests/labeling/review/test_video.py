"""Videos that browsers play, read back with their colours, rate and length."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from labeling.review import video
from labeling.review.video import write_video

COLOURS = ((200, 30, 40), (30, 180, 60), (40, 50, 190), (128, 128, 128))


def flat(colour: tuple[int, int, int], *, size_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    return np.broadcast_to(np.asarray(colour, np.uint8), (*size_hw, 3))


def read_back(path: Path) -> tuple["av.VideoStream", list[np.ndarray]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def test_frames_come_back_with_their_colours(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clip.mp4"
    assert write_video(path, (flat(colour) for colour in COLOURS for _ in range(3)), Fraction(30000, 1001), crf=12) == 12
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", Fraction(30000, 1001))
        assert (context.colorspace, context.color_range) == (1, 1)
        frames = [frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray() for frame in container.decode(stream)]
    assert len(frames) == 12
    for position, colour in enumerate(COLOURS):
        assert np.abs(frames[3 * position + 1].mean(axis=(0, 1)) - colour).max() < 6


def test_the_index_stands_in_front(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [flat(COLOURS[0])] * 4, 25)
    body = (tmp_path / "clip.mp4").read_bytes()
    assert 0 < body.index(b"moov") < body.index(b"mdat")


def test_odd_sizes_grow_by_one(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [flat(COLOURS[1], size_hw=(37, 51))] * 3, 10)
    _, frames = read_back(tmp_path / "clip.mp4")
    assert [frame.shape for frame in frames] == [(38, 52, 3)] * 3


@pytest.mark.parametrize(
    ("frames", "frame_rate", "message"),
    [
        ([], 25, "at least one frame"),
        ([flat(COLOURS[0]), flat(COLOURS[0], size_hw=(64, 64))], 25, "frame 1's shape"),
        ([flat(COLOURS[0])], 0, "frame_rate is 0"),
    ],
)
def test_what_fails_leaves_nothing_behind(tmp_path: Path, frames, frame_rate: int, message: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"the one before")
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "clip.mp4", frames, frame_rate)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == b"the one before"


def test_a_build_without_an_encoder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "ENCODERS", ("h264_of_nowhere",))
    with pytest.raises(ValueError, match=r"no H\.264 encoder"):
        write_video(tmp_path / "clip.mp4", [flat(COLOURS[0])], 25)
