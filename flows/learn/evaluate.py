"""`labeling evaluate`: how right tracks are on clips whose true masks are known.

Each object is prompted with the truth of its first visible frame and followed as labelling follows it; what is found is
measured from the next frame on. A clip that fails costs only itself.

Shape suffixes: N objects, T frames, H, W frame height and width.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
import numpy.typing as npt

from flows.learn.accuracy import Summary, TrackAccuracy, measure_track, most_interior, summarize
from flows.learn.config import PromptKind
from labeling import rle
from labeling.errors import BadInput, ErrorRecord, record_of
from labeling.track.follow import follow
from labeling.track.predictor import Predictor
from labeling.types import FrameMask, Prompt
from sam2.training.clip import Clip, ClipSource

log = logging.getLogger(__name__)

Bools = npt.NDArray[np.bool_]


class ClipFrames(Sequence[npt.NDArray[np.uint8]]):
    """A clip's frames as `follow` reads them; a clip has no clock, so without a `frame_rate` frame t lies at t seconds."""

    def __init__(self, frames_THW3: npt.NDArray[np.uint8], *, frame_rate: Fraction = Fraction(1)) -> None:
        self.frames_THW3, self.frame_indices, self.frame_rate = frames_THW3, range(len(frames_THW3)), frame_rate

    def __len__(self) -> int:
        return len(self.frames_THW3)

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        return self.frames_THW3[position]

    def pts_seconds(self, position: int) -> float:
        """Return the frame's time by the frame rate, counted from 0."""
        return float(position / self.frame_rate)


@dataclass(frozen=True, slots=True)
class MeasuredTrack:
    """One track: its numbers; and from its prompt's frame on, frames (H, W, 3) and the masks found and true."""

    accuracy: TrackAccuracy
    prompt: Prompt | None
    frames: Sequence[npt.NDArray[np.uint8]]
    found_THW: Bools
    true_THW: Bools


@dataclass(frozen=True, slots=True)
class ClipResult:
    """What came of one clip; `unmeasured` counts objects that no frame after a prompt is left of."""

    name: str
    tracks: tuple[MeasuredTrack, ...] = ()
    unmeasured: int = 0
    num_frames: int = 0
    seconds: float = 0.0
    error: ErrorRecord | None = None


@dataclass(slots=True)
class Evaluation:
    """Everything measured so far; grows by one clip at a time."""

    tracks: list[TrackAccuracy] = field(default_factory=list)
    failed: list[ClipResult] = field(default_factory=list)
    num_clips: int = 0
    num_frames: int = 0
    seconds: float = 0.0
    unmeasured: int = 0
    interrupted: bool = False

    def add(self, result: ClipResult) -> None:
        """Take in what came of one clip."""
        self.num_clips += 1
        if result.error is not None:
            self.failed.append(result)
            return
        self.tracks += [track.accuracy for track in result.tracks]
        self.num_frames, self.seconds = self.num_frames + result.num_frames, self.seconds + result.seconds
        self.unmeasured += result.unmeasured

    @property
    def summary(self) -> Summary | None:
        """The means, or None where nothing could be measured."""
        return summarize(self.tracks) if self.tracks else None

    @property
    def frames_per_second(self) -> float | None:
        """Frames of clips per second of tracking, all objects of a clip together; None where nothing was tracked."""
        return self.num_frames / self.seconds if self.seconds else None

    def worst(self, count: int) -> list[TrackAccuracy]:
        """Return the `count` tracks of the lowest J&F, worst first."""
        return sorted(self.tracks, key=lambda track: track.j_and_f)[:count]


def tracked(
    source: ClipSource, predictor: Predictor, *, prompt: PromptKind, num_frames: int, objects: int | None = None
) -> Iterator[ClipResult]:
    """Follow the objects of every clip, one clip after the other; an error becomes that clip's result."""
    names: set[str] = set()

    def result_of(index: int) -> ClipResult:
        clip = source.clip(index, num_frames)
        if clip.name in names:
            raise BadInput(f"shows no object well enough to prompt, and {clip.name}, given in its place, is measured already")
        names.add(clip.name)
        return guarded(clip.name, partial(follow_clip, clip, predictor, prompt=prompt, objects=objects))

    for index in range(len(source)):
        yield guarded(f"clip {index}", partial(result_of, index))


def guarded(name: str, measure: Callable[[], ClipResult]) -> ClipResult:
    """Return what `measure` returns, or its error as a result under `name`."""
    try:
        return measure()
    except Exception as error:
        log.debug("%s failed", name, exc_info=True)
        return ClipResult(name, error=record_of(error))


def collect(results: Iterable[ClipResult], *, seen: Callable[[Evaluation, ClipResult], None]) -> Evaluation:
    """Sum up results as they come and show each to `seen`; Ctrl+C ends it with what there is, and says so."""
    evaluation = Evaluation()
    try:
        for result in results:
            evaluation.add(result)
            seen(evaluation, result)
    except KeyboardInterrupt:
        evaluation.interrupted = True
    return evaluation


def follow_clip(clip: Clip, predictor: Predictor, *, prompt: PromptKind, objects: int | None = None) -> ClipResult:
    """Follow a clip's objects (the first `objects` of them) from prompts made of their truth, and measure each."""
    chosen_NTHW = clip.masks_NTHW[:objects]
    prompts = [p for number, true_THW in enumerate(chosen_NTHW) if (p := prompt_of(number, true_THW, prompt))]
    started, masks = time.monotonic(), defaultdict[int, list[FrameMask]](list)
    if prompts:
        for tracked_mask in follow(predictor, ClipFrames(clip.frames_THW3), prompts, size_hw=clip.frames_THW3.shape[1:3]):
            masks[tracked_mask.object_id].append(tracked_mask.mask)
    seconds = time.monotonic() - started
    tracks = tuple(_measured(clip, p, masks[p.object_id]) for p in prompts)
    return ClipResult(clip.name, tracks, len(chosen_NTHW) - len(tracks), len(clip.frames_THW3), seconds)


def prompt_of(number: int, true_THW: Bools, kind: PromptKind) -> Prompt | None:
    """Return an object's prompt on its first visible frame, or None where no frame after that one is left to measure."""
    visible = np.flatnonzero(true_THW.any(axis=(1, 2)))
    if not len(visible) or visible[0] == len(true_THW) - 1:
        return None
    frame_idx = int(visible[0])
    mask_HW = true_THW[frame_idx]
    if kind is PromptKind.mask:
        return Prompt(number, frame_idx, mask=rle.encode(mask_HW))
    if kind is PromptKind.click:
        x, y = most_interior(mask_HW)
        return Prompt(number, frame_idx, points_xy=((float(x), float(y)),), labels=(1,))
    box_xywh = rle.box_xywh(rle.encode(mask_HW))
    assert box_xywh is not None
    left, top, width, height = box_xywh
    return Prompt(number, frame_idx, box_xyxy=(left, top, left + width, top + height))


def _measured(clip: Clip, prompt: Prompt, masks: Sequence[FrameMask]) -> MeasuredTrack:
    start = prompt.frame_idx
    found_THW, true_THW = np.stack([rle.decode(mask.rle) for mask in masks]), clip.masks_NTHW[prompt.object_id, start:]
    others_THW: Bools = np.any(np.delete(clip.masks_NTHW[:, start + 1:], prompt.object_id, axis=0), axis=0)
    accuracy = measure_track(
        clip.name, prompt.object_id, prompt_frame=start, found_THW=found_THW[1:], true_THW=true_THW[1:], others_THW=others_THW,
        predicted_iou=[mask.predicted_iou for mask in masks[1:]],
    )
    return MeasuredTrack(accuracy, prompt, list(clip.frames_THW3[start:]), found_THW, true_THW)
