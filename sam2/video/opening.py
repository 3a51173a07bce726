"""The frame source that fits what a video was given as."""

import os
from pathlib import Path

from sam2.video.jpeg_folder import JpegFolder
from sam2.video.source import FrameSource


def open_frames(video: object, *, side: int, read_ahead: bool, hold_all: bool) -> FrameSource:
    """Return the frames of a video at `side` x `side` pixels."""
    if isinstance(video, (str, os.PathLike)) and Path(video).is_dir():
        return JpegFolder(Path(video), side=side)
    raise ValueError(f"{video!r} is not a video")
