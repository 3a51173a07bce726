"""What a video file is, before any GPU sees it: size, frame rate, exact number of frames, codec, rotation."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from labeling.ingest.decode import as_bad_input
from labeling.types import Video, VideoRef
from sam2.video.file_index import FileIndex, index_frames

# A header's rate is believed unless the frames' own times say something else altogether.
_BELIEVED_WITHIN = Fraction(3, 2)
_PAUSE = 10  # times the usual step from frame to frame
_USUAL_RATE = Fraction(25)
_LARGEST = 1001  # numerator or denominator of a measured rate


def probe(ref: VideoRef, path: str | Path) -> Video:
    """Look at the file at `path`: every packet, and its first frames decoded.

    The size is that of the upright frame; `rotation_degrees` is the clockwise turn that makes it so; the duration is that
    of the frames. Raises BadInput: `not_a_video`, `empty_video`, `decode_error` (cut short or broken), `missing_video`,
    `source_unavailable` (no right to read it).
    """
    with as_bad_input():
        index = index_frames(path, ref.uri)
    rate = _rate_of(index)
    return Video(
        ref=ref,
        size_hw=index.size_hw,
        frame_rate=rate,
        num_frames=index.num_frames,
        duration_seconds=index.seconds(index.num_frames - 1) - index.seconds(0) + float(1 / rate),
        codec=index.codec,
        rotation_degrees=index.orientation.rotation_degrees,
    )


def _rate_of(index: FileIndex) -> Fraction:
    """Return the frames per second: the header's, or what the frames' times come to, pauses left out, where none fits."""
    declared, steps = index.frame_rate, [b - a for a, b in pairwise(index.pts)]
    if not steps:
        return declared or _USUAL_RATE
    longest = _PAUSE * sorted(steps)[len(steps) // 2]
    steady = [step for step in steps if step <= longest]
    measured = len(steady) / (sum(steady) * index.time_base)
    if declared and max(declared / measured, measured / declared) <= _BELIEVED_WITHIN:
        return declared
    if measured < 1:
        return 1 / (1 / measured).limit_denominator(_LARGEST)
    return measured.limit_denominator(_LARGEST)
