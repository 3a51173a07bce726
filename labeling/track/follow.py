"""One video and its prompts become masks: every object on its own span, forward, backward or both ways.

Legend: N objects; H, W the upright video's height and width. Positions count sampled frames; `frame_idx` is the source's.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.config import TrackDirection
from labeling.errors import BadInput, BadPrompt, DeadlineExceeded
from labeling.geometry import clipped
from labeling.track.looks import FEATURE_LOOKS, ColourLooks, FeatureLooks, Looks, Picture, Thumbnails
from labeling.track.predictor import Predictor, ahead, mask_of
from labeling.types import RLE, Box, FrameMask, MaskSource, Point, Prompt, PromptSource

if TYPE_CHECKING:
    from torch import Tensor

    from sam2.tracking.propagation import FrameOutput
    from sam2.tracking.state import VideoState


class SampledFrames(Protocol):
    """The frames to follow through, by position, with the time and source index of each."""

    @property
    def frame_indices(self) -> Sequence[int]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> npt.NDArray[np.uint8]: ...
    def pts_seconds(self, position: int) -> float: ...


class PromptArrays(TypedDict, total=False):
    """A prompt as the predictor takes it: `points` (P, 2) and `box` (4,) float32 in pixels, `labels` (P,) int32."""

    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    box: npt.NDArray[np.float32]
    clear_old_points: bool


@dataclass(frozen=True, slots=True)
class Tracked:
    """One object's mask on one frame; for each object they come in ascending frames."""

    object_id: int
    mask: FrameMask


def follow(
    predictor: Predictor,
    frames: SampledFrames,
    prompts: Sequence[Prompt],
    *,
    size_hw: tuple[int, int],
    direction: TrackDirection = TrackDirection.forward,
    max_objects: int = 16,
    deadline: float = math.inf,
    refused: MutableMapping[int, BadInput] | None = None,
) -> Iterator[Tracked]:
    """Follow every prompted object through the frames; `deadline` is in seconds since the epoch.

    Frames are upright RGB (H, W, 3) uint8, `size_hw` their height and width. Masks come batch by batch of at most
    `max_objects`; within a batch frame by frame. An object with a prompt that does not fit the video, or that the predictor
    refuses, is not followed: `refused` takes its error, and the others are followed as if it were not there.

    Raises:
        BadInput: an object that is refused where no `refused` is given.
        DeadlineExceeded: checked before every frame.
    """
    errors: MutableMapping[int, BadInput] = {} if refused is None else refused
    by_object = check_prompts(prompts, frames.frame_indices, size_hw, errors)
    if refused is None:
        _raise_first(errors)
    # Objects that begin late share a batch, which then passes over the frames before them.
    ids = sorted(by_object, key=lambda o: (by_object[o][0].frame_idx, o))
    # The memory of a batch grows with its objects, so a crowd is followed in several passes over the video.
    for start in range(0, len(ids), max_objects):
        batch = {o: by_object[o] for o in ids[start : start + max_objects]}
        yield from _follow_batch(predictor, frames, batch, direction, deadline, errors)
        if refused is None:
            _raise_first(errors)


def _raise_first(errors: Mapping[int, BadInput]) -> None:
    for error in errors.values():
        raise error


def _follow_batch(
    predictor: Predictor, frames: SampledFrames, batch: Mapping[int, Sequence[Prompt]], direction: TrackDirection,
    deadline: float, refused: MutableMapping[int, BadInput],
) -> Iterator[Tracked]:
    if direction is not TrackDirection.forward:
        # Rows go to the store in ascending order, so the way back is kept as run lengths and turned round.
        first = {o: prompts[0].frame_idx if direction is TrackDirection.both else math.inf for o, prompts in batch.items()}
        backward = _one_way(predictor, frames, batch, deadline, refused, reverse=True)
        yield from reversed([t for t in backward if t.mask.frame_idx < first[t.object_id]])
    if direction is not TrackDirection.backward:
        yield from _one_way(predictor, frames, batch, deadline, refused, reverse=False)


def _one_way(
    predictor: Predictor, frames: SampledFrames, batch: Mapping[int, Sequence[Prompt]], deadline: float,
    refused: MutableMapping[int, BadInput], *, reverse: bool,
) -> Iterator[Tracked]:
    positions = {frame_idx: k for k, frame_idx in enumerate(frames.frame_indices)}
    # What a person drew is stored as drawn, not as the network gives it back.
    drawn = {
        (p.object_id, p.frame_idx): p.mask
        for prompts in batch.values()
        for p in prompts
        if p.source is PromptSource.CORRECTION and p.mask
    }
    watched, colours = Thumbnails(frames), ColourLooks()
    # Decoding and shrinking a frame take a thread of their own; it has ended when the frames are closed.
    with (
        closing(predictor.init_state(watched, memory="window", async_loading_frames=True)) as state,
        closing(ahead(_steps(predictor, state, batch, positions, deadline, refused, reverse=reverse))) as steps,
    ):
        for out, masks_N, looks_N in steps:
            frame_idx, pts = frames.frame_indices[out.frame_idx], frames.pts_seconds(out.frame_idx)
            picture = Picture.of(watched.of(out.frame_idx))
            for row, object_id in enumerate(out.obj_ids):
                runs = drawn.get((object_id, frame_idx))
                source = MaskSource.HUMAN if runs else MaskSource.MODEL
                # The dense mask ends here: what goes on are run lengths and numbers.
                mask_HW = rle.decode(runs) if runs else mask_of(masks_N[row])
                looks = _feature_looks(looks_N, row) | colours.of_mask(object_id, mask_HW, picture)
                yield Tracked(object_id, _frame_mask(out, row, frame_idx, pts, runs or rle.encode(mask_HW), source, looks))
            _check_deadline(deadline)


def _steps(
    predictor: Predictor, state: "VideoState", batch: Mapping[int, Sequence[Prompt]], positions: Mapping[int, int],
    deadline: float, refused: MutableMapping[int, BadInput], *, reverse: bool,
) -> Iterator[tuple["FrameOutput", "Tensor", "Tensor | None"]]:
    """Prompt, then follow; yield each output, its masks (N, 1, H, W) and looks (N, 3). One thread runs it all, see `ahead`."""
    for object_id, prompts in batch.items():
        try:
            for prompt in prompts:
                _add(predictor, state, prompt, positions[prompt.frame_idx])
                _check_deadline(deadline)
        except BadPrompt as error:
            refused[object_id] = error
    if refused.keys() >= batch.keys():
        return
    # Half of an object's prompts may be in the state already: it goes as a whole.
    for object_id in refused.keys() & batch.keys():
        predictor.remove_object(state, object_id, need_output=False)
    looks = FeatureLooks()
    for out in predictor.propagate(state, reverse=reverse, each_from_its_prompt=True):
        yield out, out.mask_logits > 0, looks.of_frame(state, out)


def _add(predictor: Predictor, state: "VideoState", prompt: Prompt, position: int) -> None:
    try:
        if prompt.mask is not None:
            predictor.add_new_mask(state, position, prompt.object_id, rle.decode(prompt.mask))
            return
        arrays = prompt_arrays(prompt.points_xy, prompt.labels, prompt.box_xyxy)
        if prompt.points_xy:
            arrays["clear_old_points"] = prompt.box_xyxy is not None
        predictor.add_new_points_or_box(state, position, prompt.object_id, **arrays)
    except ValueError as error:
        raise BadPrompt(f"object {prompt.object_id}, frame {prompt.frame_idx}: {error}") from error


def prompt_arrays(points_xy: Sequence[Point], labels: Sequence[int], box_xyxy: Box | None) -> PromptArrays:
    """Return clicks and a box in pixels as the predictor takes them; what there is none of is left out."""
    arrays: PromptArrays = {} if box_xyxy is None else {"box": np.array(box_xyxy, np.float32)}
    if points_xy:
        arrays |= {"points": np.array(points_xy, np.float32), "labels": np.array(labels, np.int32)}
    return arrays


def _feature_looks(looks_N: "Tensor | None", row: int) -> dict[str, float | None]:
    if looks_N is None:
        return dict.fromkeys(FEATURE_LOOKS)
    return dict(zip(FEATURE_LOOKS, map(_number, looks_N[row]), strict=True))


def _frame_mask(
    out: "FrameOutput", row: int, frame_idx: int, pts_seconds: float, runs: RLE, source: MaskSource, looks: Looks
) -> FrameMask:
    # A reviewer's mask may come from another program, whose runs are looked at first.
    model = source is MaskSource.MODEL
    area, box_xywh = rle.area_and_box(runs) if model else (rle.area(runs), rle.box_xywh(runs))
    return FrameMask(
        frame_idx=frame_idx,
        pts_seconds=pts_seconds,
        rle=runs,
        area=area,
        box_xywh=box_xywh,
        predicted_iou=float(out.predicted_iou[row]),
        object_score=float(out.object_score_logits[row]),
        motion_iou=_number(out.motion_score[row]),
        stability=_number(out.stability[row]),
        candidate_gap=_number(out.candidate_gap[row]),
        pointer_similarity=_number(out.pointer_similarity[row]),
        source=source,
        distractor=_number(out.distractor[row]),
        **looks,
    )


def _number(value: "Tensor") -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _check_deadline(deadline: float) -> None:
    late_s = time.time() - deadline
    if late_s > 0:
        raise DeadlineExceeded(f"the video's time limit passed {late_s:.1f} s ago; raise run.timeout_s if it needs more")


def check_prompts(
    prompts: Sequence[Prompt], frame_indices: Sequence[int], size_hw: tuple[int, int],
    refused: MutableMapping[int, BadInput] | None = None,
) -> dict[int, list[Prompt]]:
    """Return the prompts that can be followed, by object and frame; `refused` takes the error of each other object.

    One prompt that does not fit the video costs its object alone, whatever else that has: half of what was said of an
    object would be followed to another masklet. Raises BadInput where no object is left and no `refused` is given.
    """
    sampled = set(frame_indices)
    errors: MutableMapping[int, BadInput] = {} if refused is None else refused
    by_object: dict[int, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        by_object[prompt.object_id].append(prompt)
    fitting: dict[int, list[Prompt]] = {}
    for object_id, of_object in by_object.items():
        try:
            for prompt in of_object:
                _check(prompt, sampled, frame_indices, size_hw)
        except BadPrompt as error:
            errors[object_id] = error
        else:
            fitting[object_id] = _in_order([_clipped(prompt, size_hw) for prompt in of_object])
    if refused is None and not fitting:
        _raise_first(errors)
    return fitting


def _check(prompt: Prompt, sampled: Set[int], frame_indices: Sequence[int], size_hw: tuple[int, int]) -> None:
    where = f"object {prompt.object_id}, frame {prompt.frame_idx}"
    if prompt.frame_idx not in sampled:
        raise BadPrompt(f"{where}: {_why_not_sampled(prompt.frame_idx, frame_indices)}")
    check_coordinates(where, size_hw, points_xy=prompt.points_xy, box_xyxy=prompt.box_xyxy)
    if prompt.mask is not None:
        _check_mask(prompt.mask, where, size_hw, may_be_empty=prompt.source is PromptSource.CORRECTION)


def _clipped(prompt: Prompt, size_hw: tuple[int, int]) -> Prompt:
    return prompt if prompt.box_xyxy is None else replace(prompt, box_xyxy=clipped(prompt.box_xyxy, size_hw))


def check_coordinates(
    where: str, size_hw: tuple[int, int], *, points_xy: Sequence[Point] = (), box_xyxy: Box | None = None
) -> None:
    """Raise BadPrompt, which begins with `where`, for a point outside the frame or a box that misses it."""
    height, width = size_hw
    outside = [p for p in points_xy if not (0 <= p[0] <= width and 0 <= p[1] <= height)]
    if outside:
        raise BadPrompt(f"{where}: point {outside[0]} lies outside the frame of {width} x {height}")
    if box_xyxy is not None:
        x0, y0, x1, y1 = box_xyxy
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise BadPrompt(f"{where}: box {box_xyxy} misses the frame of {width} x {height}")


def _in_order(prompts: list[Prompt]) -> list[Prompt]:
    """Return one object's prompts by frame; on a frame that a reviewer corrected, the correction stands alone."""
    corrected = {p.frame_idx for p in prompts if p.source is PromptSource.CORRECTION}
    valid = [p for p in prompts if p.source is PromptSource.CORRECTION or p.frame_idx not in corrected]
    return sorted(valid, key=lambda p: (p.frame_idx, p.box_xyxy is None))


def _why_not_sampled(frame_idx: int, frame_indices: Sequence[int]) -> str:
    first, last = frame_indices[0], frame_indices[-1]
    if not first <= frame_idx <= last:
        return f"the video's frames to track run from {first} to {last}"
    return f"that frame is not sampled; the nearest sampled one is {min(frame_indices, key=lambda i: abs(i - frame_idx))}"


def _check_mask(mask: RLE, where: str, size_hw: tuple[int, int], *, may_be_empty: bool) -> None:
    if mask.size_hw != size_hw:
        raise BadPrompt(f"{where}: the mask is {mask.size_hw} (h, w), the video {size_hw}")
    try:
        area = rle.area(mask)
    except ValueError as error:
        raise BadPrompt(f"{where}: {error}") from error
    if area == 0 and not may_be_empty:
        raise BadPrompt(f"{where}: the mask is empty; expected at least one pixel")
