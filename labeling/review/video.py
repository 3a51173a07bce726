"""Writes H.264 video that browsers play: yuv420p, BT.709, index in front; `rgb_HW3` uint8 frames."""

import os
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from labeling.errors import BadInput, require

Rgb = npt.NDArray[np.uint8]
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
    handle, beside = tempfile.mkstemp(suffix=".mp4", prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        count = _encode(beside, frames, rate.limit_denominator(100_000), crf, threads)
        os.chmod(beside, 0o644)
        os.replace(beside, target)
    finally:
        Path(beside).unlink(missing_ok=True)
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
