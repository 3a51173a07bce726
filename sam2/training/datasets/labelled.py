"""Clips cut out of labelled videos: where one starts, which objects it follows, how large it is read.

A source of V videos has V * `starts` clips. Clip i is of video i modulo V; the first V begin where their video first
shows an object, the others at a place that follows from their number.

Legend: T frames, N objects, H, W frame height and width in pixels.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from sam2.training.clip import Clip, resized_masks

Image8 = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

STARTS = 64                 # places in each video that clips begin at
MOST_OBJECTS = 8            # in one clip: some videos have a hundred
LEAST_SHARE = 0.0003        # of the frame: less than that shows nothing that a person would prompt
TRIED = 16                  # videos, before a source is said to show no object


class LabelledVideo(Protocol):
    """A video with true masks on some of its frames; frames are counted over those alone."""

    @property
    def name(self) -> str: ...

    @property
    def num_frames(self) -> int: ...

    def shares(self, frame: int) -> dict[int, float]:
        """Return the objects that a frame shows, each with the share of the frame that it covers."""
        ...

    def knows(self, object_id: int, frame: int) -> bool:
        """Return whether a frame's truth is known of an object: else not to see it means nothing."""
        ...

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[Image8], list[Masks]]:
        """Return for each frame the picture (H, W, 3) and the masks (N, H, W) of these objects."""
        ...


def cut_clip(
    videos: Sequence[str],
    open_video: Callable[[str], LabelledVideo],
    index: int,
    num_frames: int,
    *,
    starts: int = STARTS,
    size_hw: tuple[int, int] | None = None,
) -> Clip:
    """Return clip `index`; a video that shows no object well gives its place to the next one.

    Raises IndexError for a number that there is not, and ValueError where no video shows an object.
    """
    if not 0 <= index < len(videos) * starts or num_frames < 1:
        raise IndexError(f"clip {index} of {num_frames} frames: expected 0..{len(videos) * starts - 1}, at least 1 frame")
    cut, first = divmod(index, len(videos))
    tried = [videos[(first + k) % len(videos)] for k in range(min(TRIED, len(videos)))]
    for name in tried:
        random = np.random.default_rng([index, cut])
        video = open_video(name)
        along = random.random() if cut else 0.0
        if cut_start := _start(video, num_frames, along):
            start, ids = cut_start
            chosen = sorted(random.permutation(ids)[:MOST_OBJECTS].tolist())
            return _read(video, range(start, min(video.num_frames, start + num_frames)), chosen, size_hw)
    raise ValueError(f"none of {', '.join(tried[:4])}, ... shows an object on {LEAST_SHARE:.2%} of a frame or more")


def chosen_videos(names: Collection[str], where: str, *, first: int, count: int | None) -> tuple[str, ...]:
    """Return `count` names from place `first` on; a ValueError where that leaves none."""
    if first < 0 or (count is not None and count < 1):
        raise ValueError(f"first={first}, count={count}: expected a number from 0 and at least 1 video")
    chosen = tuple(names)[first : None if count is None else first + count]
    if not chosen:
        raise ValueError(f"{where} has {len(names)} labelled videos; first={first} leaves none")
    return chosen


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """A source of clips from a folder of labelled videos; a layout says which videos there are and how one is opened.

    `split` names a list of the layout, None takes every video. `first` and `count` choose videos of that list, `size_hw`
    resizes frames and masks. Raises ValueError for a folder of another layout, and for a split that it does not have.
    """

    root: str | Path
    split: str | None = None
    first: int = 0
    count: int | None = None
    size_hw: tuple[int, int] | None = None
    starts: int = STARTS
    videos: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = self.videos or self._names()
        object.__setattr__(self, "videos", chosen_videos(names, str(self.root), first=self.first, count=self.count))

    def __len__(self) -> int:
        return len(self.videos) * self.starts

    def clip(self, index: int, num_frames: int) -> Clip:
        """Return clip `index`, as `cut_clip` counts them."""
        return cut_clip(self.videos, self._open, index, num_frames, starts=self.starts, size_hw=self.size_hw)

    def _names(self) -> Sequence[str]:
        raise NotImplementedError

    def _open(self, name: str) -> LabelledVideo:
        raise NotImplementedError


def _start(video: LabelledVideo, num_frames: int, along: float) -> tuple[int, list[int]] | None:
    """Return the first frame, from a place on, that shows objects, and those of them that are known to the clip's end."""
    last = max(0, video.num_frames - num_frames)
    begin = int(along * (last + 1))
    order = [*range(begin, last + 1), *range(begin), *range(last + 1, video.num_frames)]
    for frame in order:
        shown = [object_id for object_id, share in video.shares(frame).items() if share >= LEAST_SHARE]
        frames = range(frame, min(video.num_frames, frame + num_frames))
        ids = [object_id for object_id in shown if all(video.knows(object_id, t) for t in frames)]
        if ids:
            return frame, sorted(ids)
    return None


def _read(video: LabelledVideo, frames: range, ids: Sequence[int], size_hw: tuple[int, int] | None) -> Clip:
    pictures, masks = video.read(frames, ids)
    for frame, picture, mask_NHW in zip(frames, pictures, masks, strict=True):
        if picture.shape[:2] != mask_NHW.shape[1:]:
            raise ValueError(f"{video.name}: frame {frame} is {picture.shape[:2]} and its masks {mask_NHW.shape[1:]}")
    if size_hw is not None:
        masks = [resized_masks(mask_NHW, size_hw) for mask_NHW in masks]
        pictures = [_resized(picture, size_hw) for picture in pictures]
    return Clip(np.stack(pictures), np.stack(masks, axis=1), f"{video.name} frame {frames.start}")


def _resized(picture_HW3: Image8, size_hw: tuple[int, int]) -> Image8:
    return np.asarray(Image.fromarray(picture_HW3).resize(size_hw[::-1], Image.Resampling.BICUBIC))
