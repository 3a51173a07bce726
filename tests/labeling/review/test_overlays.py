"""Pictures show what the mask says, and nothing else changes."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from labeling.review import overlays
from labeling.review.overlays import (
    PALETTE,
    colour_of,
    contour,
    draw_box,
    draw_label,
    draw_mask,
    draw_points,
    filmstrip,
    write_video,
)
from labeling.rle import empty, encode

GREY_HW3 = np.full((40, 60, 3), 100, np.uint8)


def square() -> np.ndarray:
    mask_HW = np.zeros((40, 60), bool)
    mask_HW[10:20, 15:30] = True
    return mask_HW


def test_a_mask_tints_its_inside_and_outlines_its_border() -> None:
    before_HW3 = GREY_HW3.copy()
    drawn_HW3 = draw_mask(before_HW3, encode(square()), colour_rgb=(200, 0, 100), opacity=0.5, contour_px=1)
    assert (before_HW3 == GREY_HW3).all()
    assert (drawn_HW3[~square()] == 100).all()
    assert drawn_HW3[15, 20].tolist() == [150, 50, 100]
    assert drawn_HW3[10, 20].tolist() == [200, 0, 100]
    edge = int((drawn_HW3 == (200, 0, 100)).all(axis=2).sum())
    assert edge == 2 * 15 + 2 * 8


def test_a_dense_mask_and_its_rle_give_one_picture() -> None:
    by_rle, by_mask = (draw_mask(GREY_HW3, mask, colour_rgb=PALETTE[0]) for mask in (encode(square()), square()))
    assert (by_rle == by_mask).all()


def test_an_empty_mask_changes_nothing() -> None:
    assert (draw_mask(GREY_HW3, empty((40, 60)), colour_rgb=PALETTE[1]) == GREY_HW3).all()


def test_a_mask_that_fills_the_frame_has_no_contour() -> None:
    full_HW = np.ones((40, 60), bool)
    assert not contour(full_HW, thickness_px=3).any()
    drawn_HW3 = draw_mask(GREY_HW3, full_HW, colour_rgb=(0, 0, 0), opacity=0.25, contour_px=3)
    assert (drawn_HW3 == 75).all()


def test_a_contour_has_its_thickness_and_stays_inside() -> None:
    for thickness_px in (1, 2, 3):
        edge_HW = contour(square(), thickness_px=thickness_px)
        inner = (10 - 2 * thickness_px) * (15 - 2 * thickness_px)
        assert edge_HW.sum() == 150 - inner
        assert not (edge_HW & ~square()).any()


def test_objects_keep_their_colours_and_neighbours_differ() -> None:
    assert len(set(PALETTE)) == len(PALETTE)
    assert colour_of(3) == colour_of(3 + len(PALETTE))
    assert len({colour_of(n) for n in range(-3, 4)}) == 7


def test_labels_stay_inside_the_picture_and_can_be_read() -> None:
    drawn_HW3 = draw_label(GREY_HW3, "frame 3", at_xy=(1000, 1000), text_px=10)
    changed_HW = (drawn_HW3 != GREY_HW3).any(axis=2)
    assert changed_HW[-12:, -40:].any()
    assert not changed_HW[:10].any()
    assert (drawn_HW3 > 200).any()
    assert (drawn_HW3 < 40).any()


def test_clicks_differ_in_shape_and_boxes_are_hollow() -> None:
    clicked_HW3 = draw_points(GREY_HW3, [(15, 20), (45, 20)], [1, 0], radius_px=4)
    assert clicked_HW3[20, 15].tolist() == list(PALETTE[2])
    assert clicked_HW3[17, 45].tolist() == [255, 255, 255]
    boxed_HW3 = draw_box(GREY_HW3, (10.0, 10.0, 30.0, 25.0), colour_rgb=(1, 2, 3))
    assert boxed_HW3[10, 20].tolist() == [1, 2, 3]
    assert boxed_HW3[18, 20].tolist() == [100, 100, 100]


def test_a_filmstrip_holds_its_frames_in_order() -> None:
    frames = [np.full((40, 60, 3), value, np.uint8) for value in (10, 120, 240)]
    strip_HW3 = filmstrip(frames, width=184, gap_px=2)
    assert strip_HW3.shape == (40, 184, 3)
    assert [int(strip_HW3[20, x, 0]) for x in (30, 92, 154)] == [10, 120, 240]
    assert strip_HW3[0, 60].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: draw_mask(GREY_HW3, empty((60, 40)), colour_rgb=PALETTE[0]), r"mask size_hw is \(60, 40\)"),
        (lambda: draw_mask(GREY_HW3, square(), colour_rgb=PALETTE[0], opacity=1.5), "opacity is 1.5"),
        (lambda: draw_mask(GREY_HW3[..., 0], square(), colour_rgb=PALETTE[0]), "height, width, 3"),
        (lambda: draw_points(GREY_HW3, [(1, 1)], []), "labels is 0"),
        (lambda: filmstrip([], width=100), "frames is 0"),
        (lambda: filmstrip([GREY_HW3] * 20, width=100), "width is 100"),
    ],
)
def test_bad_input_is_named(wrong, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()

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
    monkeypatch.setattr(overlays, "ENCODERS", ("h264_of_nowhere",))
    with pytest.raises(ValueError, match=r"no H\.264 encoder"):
        write_video(tmp_path / "clip.mp4", [flat(COLOURS[0])], 25)
