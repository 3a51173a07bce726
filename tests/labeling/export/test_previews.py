"""Pictures of a masklet: the right frames, the right masks on them, no larger than said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from labeling import rle
from labeling.export.previews import (
    FLAG_RGB,
    Timeline,
    draw_overlay,
    render_filmstrip,
    render_preview,
    small_frame,
    strip_positions,
    window,
)
from labeling.ingest.decode import FrameReader
from labeling.ingest.listing import video_id_of
from labeling.ingest.probe import probe
from labeling.review.overlays import colour_of
from labeling.types import RLE, VideoRef


def even_timeline(count: int, *, rate: int = 12, stride: int = 1) -> Timeline:
    return Timeline(range(0, count * stride, stride), [i * stride / rate for i in range(count)])


class Counted(list):
    """Grey frames that remember which were read."""

    def __init__(self, count: int, size_hw: tuple[int, int]) -> None:
        super().__init__(np.full((*size_hw, 3), 90, np.uint8) for _ in range(count))
        self.read: list[int] = []

    def __getitem__(self, i: int) -> np.ndarray:  # type: ignore[override]
        self.read.append(i)
        return super().__getitem__(i)


def square(top: int, left: int, side: int, size_hw: tuple[int, int]) -> RLE:
    mask = np.zeros(size_hw, bool)
    mask[top:top + side, left:left + side] = True
    return rle.encode(mask)


def decoded(path: Path) -> tuple[list[np.ndarray], Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], Fraction(stream.average_rate)


@pytest.mark.parametrize(
    ("count", "rate", "stride", "focus", "expected"),
    [
        (48, 12, 1, None, range(0, 48)),
        (600, 12, 1, (400, 410), range(345, 465)),
        (600, 12, 1, (0, 3), range(0, 120)),
        (600, 12, 1, (599, 600), range(479, 599)),
        (600, 12, 1, (10_000, 10_001), range(479, 599)),
        (600, 60, 1, None, range(0, 600, 4)),
        (300, 60, 5, (750, 755), range(90, 210)),
        (1, 12, 1, None, range(0, 1)),
    ],
)
def test_the_window_is_bounded_and_about_what_is_flagged(
    count: int, rate: int, stride: int, focus: tuple[int, int] | None, expected: range
) -> None:
    shown = window(even_timeline(count, rate=rate, stride=stride), focus=focus)
    assert shown.step == expected.step
    assert abs(shown.start - expected.start) <= 1
    assert abs(len(shown) - len(expected)) <= 1
    assert shown[-1] < count


def test_the_clip_shows_masks_where_they_are_and_reads_each_frame_once(tmp_path: Path) -> None:
    size_hw = (200, 1280)
    frames, masks = Counted(30, size_hw), {4: {i: square(40, 40 * i, 80, size_hw) for i in range(30)}}
    out = render_preview(frames, even_timeline(30), masks, tmp_path / "clip.mp4", focus=(10, 12))
    shown, rate = decoded(out)
    assert frames.read == list(range(30))
    assert rate == 12
    assert len(shown) == 30
    for i, frame in enumerate(shown):
        assert frame.shape == (100, 640, 3)
        inside, outside = frame[25:55, 20 * i + 5:20 * i + 35], frame[25:55, (20 * i + 200) % 560:][:, :30]
        assert np.abs(inside.mean((0, 1)) - 90).sum() > 40
        assert np.abs(outside.mean((0, 1)) - 90).sum() < 12
        edge = np.abs(frame[1, 100:500].astype(int) - FLAG_RGB).mean()
        assert (edge < 25) == (i in (10, 11)), (i, edge)


def test_a_long_fast_video_gives_a_short_clip_at_a_modest_rate(tmp_path: Path) -> None:
    frames = Counted(900, (32, 48))
    shown, rate = decoded(render_preview(frames, even_timeline(900, rate=60), {1: {}}, tmp_path / "c.mp4", focus=(450, 460)))
    assert len(shown) == len(frames.read) == 150
    assert rate == 15
    assert frames.read[0] == pytest.approx(155, abs=2)


def test_a_flag_on_the_whole_track_marks_no_frame_and_a_higher_rate_can_be_asked_for(tmp_path: Path) -> None:
    timeline = even_timeline(30, rate=30)
    shown, rate = decoded(
        render_preview(Counted(30, (32, 64)), timeline, {}, tmp_path / "c.mp4", focus=(0, 30), max_frame_rate=30)
    )
    assert (len(shown), rate) == (30, 30)
    assert all(np.abs(frame[1].astype(int) - FLAG_RGB).mean() > 25 for frame in shown)


def test_masks_shrink_with_the_frame() -> None:
    size_hw = (400, 600)
    true = square(100, 200, 120, size_hw)
    frame = np.full((*size_hw, 3), 90, np.uint8)
    drawn = draw_overlay(frame, {1: {5: true}}, frame_idx=5, pts_seconds=0.5, max_width=300)
    assert drawn.shape == (200, 300, 3)
    tinted = (drawn != 90).any(axis=2)
    tinted[170:] = False  # the label
    assert abs(int(tinted.sum()) - 62 * 62 + 4) <= 4
    assert tuple(drawn[80, 100]) == colour_of(1) or tuple(drawn[50, 130]) == colour_of(1)
    np.testing.assert_array_equal(draw_overlay(frame, {1: {6: true}}, frame_idx=5, pts_seconds=0.5, max_width=300)[:170], 90)


def test_frames_are_scaled_down_to_even_sides_and_never_up() -> None:
    assert small_frame(np.zeros((1080, 1920, 3), np.uint8), max_width=640).shape == (360, 640, 3)
    assert small_frame(np.zeros((1921, 1081, 3), np.uint8), max_width=640).shape == (1136, 640, 3)
    assert small_frame(np.zeros((33, 47, 3), np.uint8), max_width=640).shape == (32, 46, 3)
    same = np.zeros((30, 40, 3), np.uint8)
    assert small_frame(same, max_width=640) is same


@pytest.mark.parametrize(
    ("count", "focus", "expected"),
    [
        (100, None, [0, 20, 40, 59, 79, 99]),
        (100, (40, 60), [0, 39, 46, 53, 60, 99]),
        (100, (0, 100), [0, 20, 40, 59, 79, 99]),
        (100, (90, 100), [0, 89, 92, 96, 99]),
        (3, None, [0, 1, 2]),
        (1, (0, 1), [0]),
    ],
)
def test_the_strip_s_frames_stand_round_the_flagged_span(
    count: int, focus: tuple[int, int] | None, expected: list[int]
) -> None:
    assert strip_positions(even_timeline(count), focus=focus) == expected


def test_pictures_come_from_a_video_file_as_the_reader_gives_it(clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip(num_frames=24, size_hw=(48, 64))
    video = probe(VideoRef(video_id_of("clip.mp4"), "clip.mp4", str(path), "x", path.stat().st_size), path)
    indices = range(2, 24, 2)
    masks = {7: {i: square(4, 4, 16, (48, 64)) for i in indices}}
    with FrameReader(path, video, indices) as frames:
        timeline = Timeline(indices, [frames.pts_seconds(i) for i in range(len(frames))])
        strip = render_filmstrip(frames, timeline, masks, tmp_path / "strip.jpg", focus=(8, 12))
        shown, rate = decoded(render_preview(frames, timeline, masks, tmp_path / "clip_out.mp4", focus=(8, 12)))
    assert (len(shown), rate) == (11, 6)
    with Image.open(strip) as picture:
        assert picture.size == (6 * 64 + 5 * 2, 48)
        first = np.asarray(picture)[:, :64]
    # Frame 2 of the clip has a grey level of 24; its mask stands in the corner.
    assert first[30, 50].mean() == pytest.approx(24, abs=10)
    assert first[12, 12].mean() > 50


def test_a_timeline_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="timeline has 2 frame_indices and 1 pts_seconds"):
        Timeline([0, 1], [0.0])
    with pytest.raises(ValueError, match="one at least"):
        Timeline([], [])
