"""Draws what a reviewer is shown (masks and contours over frames, labels, filmstrips) and writes H.264 that browsers play.

Shapes: `rgb_HW3` uint8 frames, upright; `mask_HW` bool. Colours are (red, green, blue), 0 to 255; the palette is the one of
Okabe and Ito ("Color Universal Design", 2008), which people with any common colour vision can tell apart. Video is yuv420p,
BT.709, with the index in front.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from labeling.errors import BadInput, require
from labeling.geometry import mask_box_xyxy
from labeling.rle import decode
from labeling.types import RLE

Rgb = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

CELL_WIDTH = 8  # the narrowest cell of a filmstrip, in pixels
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)


def colour_of(object_id: int) -> Colour:
    """The colour that an object keeps on every picture."""
    return PALETTE[object_id % len(PALETTE)]


def draw_mask(
    rgb_HW3: Rgb, mask: RLE | Mask, *, colour_rgb: Colour, opacity: float = 0.45, contour_px: int = 2
) -> Rgb:
    """A copy of the frame with a mask laid over it and its contour drawn opaque; an empty mask changes nothing.

    Errors: ValueError for an opacity outside [0, 1] or a mask of another size than the frame.
    """
    _require_frame(rgb_HW3)
    require(0.0 <= opacity <= 1.0, "opacity", opacity, "a share in [0, 1]")
    mask_HW = decode(mask) if isinstance(mask, RLE) else mask
    require(mask_HW.shape == rgb_HW3.shape[:2], "mask size_hw", mask_HW.shape, f"the frame's, {rgb_HW3.shape[:2]}")
    drawn = rgb_HW3.copy()
    if not mask_HW.any():
        return drawn
    rows, columns = _extent(mask_HW)
    # Only the box around the mask is touched: most objects are much smaller than a frame. torchvision's
    # draw_segmentation_masks blends all of it, which takes 2 to 50 times as long, and draws no contour.
    inside_hw, box_hw3 = mask_HW[rows, columns], drawn[rows, columns]
    tint = np.asarray(colour_rgb, np.float32)
    mixed = box_hw3[inside_hw] * np.float32(1 - opacity) + tint * np.float32(opacity)
    box_hw3[inside_hw] = (mixed + np.float32(0.5)).astype(np.uint8)
    if contour_px > 0:
        box_hw3[contour(inside_hw, thickness_px=contour_px)] = colour_rgb
    return drawn


def contour(mask_HW: Mask, *, thickness_px: int = 1) -> Mask:
    """The mask's pixels within `thickness_px` steps (4 neighbours) of a pixel beside it; the picture's edge is no border."""
    core_HW = mask_HW.copy()
    for _ in range(thickness_px):
        padded = np.pad(core_HW, 1, mode="edge")
        core_HW = core_HW & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask_HW & ~core_HW


def draw_box(rgb_HW3: Rgb, box_xyxy: tuple[float, float, float, float], *, colour_rgb: Colour, width_px: int = 2) -> Rgb:
    """A copy of the frame with a box, as prompts give them."""
    _require_frame(rgb_HW3)
    picture = Image.fromarray(rgb_HW3)
    ImageDraw.Draw(picture).rectangle(box_xyxy, outline=colour_rgb, width=width_px)
    return np.asarray(picture)


def draw_points(
    rgb_HW3: Rgb, points_xy: Sequence[tuple[float, float]], labels: Sequence[int], *, radius_px: int = 5
) -> Rgb:
    """A copy of the frame with clicks: a filled disc for one on the object, a ring with a bar for one beside it."""
    _require_frame(rgb_HW3)
    require(len(points_xy) == len(labels), "labels", len(labels), f"one for each of {len(points_xy)} points")
    picture = Image.fromarray(rgb_HW3)
    pen = ImageDraw.Draw(picture)
    for (x, y), label in zip(points_xy, labels, strict=True):
        disc = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
        # Shape as well as colour, for readers who see no difference between the two.
        pen.ellipse(disc, fill=PALETTE[2] if label else (255, 255, 255), outline=(0, 0, 0), width=1)
        if not label:
            pen.line((x - radius_px / 2, y, x + radius_px / 2, y), fill=PALETTE[5], width=max(2, radius_px // 2))
    return np.asarray(picture)


def draw_label(
    rgb_HW3: Rgb, text: str, *, at_xy: tuple[int, int] = (4, 4), colour_rgb: Colour = (255, 255, 255), text_px: int = 14
) -> Rgb:
    """A copy of the frame with text on a dark plate, moved inside where it would leave the picture."""
    _require_frame(rgb_HW3)
    picture = Image.fromarray(rgb_HW3)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=text_px)
    left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = max(0, min(at_xy[0], picture.width - round(width)))
    y = max(0, min(at_xy[1], picture.height - round(height)))
    pen.rectangle((x, y, x + width, y + height), fill=(20, 20, 20))
    pen.multiline_text((x + 3 - left, y + 3 - top), text, font=font, fill=colour_rgb)
    return np.asarray(picture)


def filmstrip(frames: Sequence[Rgb], *, width: int, gap_px: int = 2) -> Rgb:
    """Frames side by side in one picture of `width` pixels, each in a cell of the first one's shape.

    Errors: ValueError for no frames, or more than have 8 pixels each.
    """
    require(len(frames) > 0, "frames", 0, "at least one frame")
    cell_w = (width - gap_px * (len(frames) - 1)) // len(frames)
    require(cell_w >= CELL_WIDTH, "width", width, f"room for {len(frames)} frames of {CELL_WIDTH} pixels or more")
    first_h, first_w = frames[0].shape[:2]
    cell_h = max(1, round(cell_w * first_h / first_w))
    strip_HW3 = np.full((cell_h, width, 3), 255, np.uint8)
    for position, frame_HW3 in enumerate(frames):
        _require_frame(frame_HW3)
        small = Image.fromarray(frame_HW3).resize((cell_w, cell_h), Image.Resampling.BOX)
        left = position * (cell_w + gap_px)
        strip_HW3[:, left:left + cell_w] = np.asarray(small)
    return strip_HW3


def _extent(mask_HW: Mask) -> tuple[slice, slice]:
    """The rows and columns that hold the mask, and one beside it, so that its contour sees the background."""
    box_xyxy = mask_box_xyxy(mask_HW)
    assert box_xyxy is not None, "a mask with a pixel"
    x0, y0, x1, y1 = box_xyxy
    return slice(max(0, y0 - 1), y1 + 1), slice(max(0, x0 - 1), x1 + 1)


def _require_frame(rgb_HW3: Rgb) -> None:
    fits = rgb_HW3.ndim == 3 and rgb_HW3.shape[2] == 3 and rgb_HW3.dtype == np.uint8
    require(fits, "frame", (rgb_HW3.shape, str(rgb_HW3.dtype)), "a uint8 array of shape (height, width, 3)")
# The first that this build of FFmpeg has.
ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox")


def write_video(
    path: str | Path, frames: Iterable[Rgb], frame_rate: Fraction | int, *, crf: int = 23, threads: int = 1
) -> int:
    """Encode frames to an mp4 and return how many; odd sizes grow by one repeated row or column.

    Frames stream. The file appears when it is whole. Errors: ValueError for no frames or frames of unlike sizes, BadInput
    where FFmpeg has no H.264 encoder.
    """
    rate = Fraction(frame_rate)
    require(rate > 0, "frame_rate", frame_rate, "frames per second above 0")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(suffix=".mp4", prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        count = _encode(partial, frames, rate.limit_denominator(100_000), crf, threads)
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)
    return count


def encoder_name() -> str:
    """The H.264 encoder that this build of FFmpeg has."""
    encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        expected = ", ".join(ENCODERS)
        raise BadInput(f"FFmpeg has no H.264 encoder; expected one of {expected}: install av from PyPI", "no_encoder")
    return encoder


def _encode(path: str, frames: Iterable[Rgb], frame_rate: Fraction, crf: int, threads: int) -> int:
    rest = iter(frames)
    first_HW3 = next(rest, None)
    if first_HW3 is None:
        raise ValueError("frames are none; expected at least one frame")
    count = 0
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _add_stream(container, frame_rate, first_HW3, crf, threads)
        for rgb_HW3 in chain((first_HW3,), rest):
            name, expected = f"frame {count}'s shape", f"{first_HW3.shape}, as the first"
            require(rgb_HW3.shape == first_HW3.shape, name, rgb_HW3.shape, expected)
            container.mux(stream.encode(_yuv_frame(rgb_HW3)))
            count += 1
        container.mux(stream.encode(None))
    return count


def _add_stream(container: OutputContainer, frame_rate: Fraction, like_HW3: Rgb, crf: int, threads: int) -> VideoStream:
    name = encoder_name()
    options = {"crf": str(crf), "preset": "veryfast"} if name == "libx264" else {}
    stream = container.add_stream(name, rate=frame_rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = (side + side % 2 for side in like_HW3.shape[:2])
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.thread_count = threads
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def _yuv_frame(rgb_HW3: Rgb) -> av.VideoFrame:
    height, width = rgb_HW3.shape[:2]
    even = np.pad(rgb_HW3, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
