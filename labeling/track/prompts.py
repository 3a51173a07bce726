"""The prompts of a video's objects: checked against it, in one order, and as the predictor takes them."""

from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.errors import BadInput, BadPrompt
from labeling.geometry import clipped
from labeling.track.predictor import Predictor
from labeling.types import RLE, Box, Point, Prompt, PromptSource

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState


class PromptArrays(TypedDict, total=False):
    """A prompt as the predictor takes it: `points` (P, 2) and `box` (4,) float32 in pixels, `labels` (P,) int32."""

    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    box: npt.NDArray[np.float32]
    clear_old_points: bool


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
        raise_first(errors)
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


def add_prompt(predictor: Predictor, state: "VideoState", prompt: Prompt, position: int) -> None:
    """Give the state a prompt; BadPrompt where the predictor refuses it."""
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


def raise_first(errors: Mapping[int, BadInput]) -> None:
    """Raise the first error, where there is one."""
    for error in errors.values():
        raise error
