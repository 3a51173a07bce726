"""What a video file is, before any GPU sees it: size, frame rate, exact number of frames, codec, rotation."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from labeling.errors import BadInput
from labeling.ingest.frame_index import FrameIndex, broken, frame_rate_of, index_frames, opened
from labeling.ingest.orientation import orientation_of
from labeling.types import Video, VideoRef

# A header's rate is believed unless the frames' own times say something else altogether.
_BELIEVED_WITHIN = Fraction(3, 2)


def probe(ref: VideoRef, path: str | Path) -> Video:
    """Look at the file at `path`: every packet, and its first frame decoded.

    The size is that of the upright frame; `rotation_degrees` is the clockwise turn that makes it so; the duration is that
    of the frames. Raises BadInput: `not_a_video`, `empty_video`, `decode_error` (cut short or broken), `missing_video`.
    """
    index = index_frames(path, ref.uri)
    num_frames = len(index.pts)
    with opened(path, ref.uri) as (container, stream):
        first = _first_frame(container, stream, ref.uri, num_frames)
        rate = _rate_of(stream, index)
        codec = str(stream.codec_context.name)
    upright = orientation_of(first)
    return Video(
        ref=ref,
        size_hw=upright.upright_size((first.height, first.width)),
        frame_rate=rate,
        num_frames=num_frames,
        duration_seconds=index.seconds(num_frames - 1) - index.seconds(0) + float(1 / rate),
        codec=codec,
        rotation_degrees=upright.rotation_degrees,
    )


def _first_frame(container: Any, stream: Any, name: str, num_frames: int) -> Any:
    try:
        first = next(container.decode(stream), None)
    except (av.error.FFmpegError, OSError) as error:
        raise broken(name, 0, num_frames, error.strerror or error) from error
    if first is None:
        raise BadInput(f"{name} has {num_frames} packets and no frame that decodes", "decode_error")
    return first


def _rate_of(stream: Any, index: FrameIndex) -> Fraction:
    """Frames per second: the header's, or what the frames' times come to where it has none that fits."""
    declared = frame_rate_of(stream)
    span = (index.pts[-1] - index.pts[0]) * index.time_base
    if span <= 0:
        return declared or Fraction(25)
    measured = Fraction(len(index.pts) - 1) / span
    if declared and max(declared / measured, measured / declared) <= _BELIEVED_WITHIN:
        return declared
    return measured.limit_denominator(1001)
