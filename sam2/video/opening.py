"""The frame source that fits what a video was given as."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from sam2.video.handed_over import FrameList, PassingFrames
from sam2.video.jpeg_folder import JpegFolder
from sam2.video.read_ahead import ReadAhead
from sam2.video.source import FrameSource
from sam2.video.video_file import VideoFile


def open_frames(video: object, *, side: int, read_ahead: int = 0, hold_all: bool = True) -> FrameSource:
    """Return the frames of a video at `side` x `side` pixels.

    `video`: a folder of JPEGs, a video file (path or bytes), an array (N, H, W, 3) of uint8 RGB, a sequence of
    frames, or any other iterable of them, which goes forward once; `hold_all` keeps such frames, and a folder's files, for
    later prompts.
    `read_ahead` frames are read in a thread before they are asked for.
    Raises ValueError for anything else, and for what cannot be read.
    """
    source = _source(video, side=side, hold_all=hold_all)
    return ReadAhead(source, depth=read_ahead) if read_ahead else source


def _source(video: object, *, side: int, hold_all: bool) -> FrameSource:
    if isinstance(video, (bytes, bytearray)):
        return VideoFile(bytes(video), side=side)
    if isinstance(video, (str, os.PathLike)):
        return _from_path(Path(video), side=side, hold_all=hold_all)
    if isinstance(video, (np.ndarray, torch.Tensor)) and video.ndim != 4:
        raise ValueError(f"the video is an array of shape {tuple(video.shape)}: expected (frames, height, width, 3)")
    if hasattr(video, "__len__") and hasattr(video, "__getitem__"):
        return FrameList(video, side=side)
    if isinstance(video, Iterable):
        return PassingFrames(video, side=side, hold_all=hold_all)
    raise ValueError(
        f"a video of type {type(video).__name__} cannot be read: expected a folder of JPEGs, a video file, "
        "an array (frames, height, width, 3) or an iterable of frames"
    )


def _from_path(path: Path, *, side: int, hold_all: bool) -> FrameSource:
    if _is_folder(path):
        return JpegFolder(path, side=side, hold=hold_all)
    if not os.path.lexists(path):
        raise ValueError(f"there is no video at {path}: expected a folder of JPEGs or a video file")
    return VideoFile(path, side=side)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise ValueError(f"{path} cannot be looked at: {error.strerror}") from error
