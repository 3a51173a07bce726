"""One video and its prompts become masks: every object on its own span, forward, backward or both ways.

Legend: N objects; H, W the upright video's height and width. Positions count sampled frames; `frame_idx` is the source's.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.config import PromptScope, TrackDirection
from labeling.errors import BadInput, BadPrompt, DeadlineExceeded
from labeling.track.looks import FEATURE_LOOKS, ColourLooks, FeatureLooks, Looks, Picture, Thumbnails
from labeling.track.predictor import Predictor, ahead, mask_of
from labeling.track.prompts import add_prompt, check_prompts, raise_first
from labeling.track.stretches import Leg, joined, legs_of, scope_of
from labeling.types import RLE, FrameMask, MaskSource, Prompt, PromptSource

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
    scope: PromptScope = PromptScope.all,
    max_objects: int = 16,
    deadline: float = math.inf,
    refused: MutableMapping[int, BadInput] | None = None,
) -> Iterator[Tracked]:
    """Follow every prompted object through the frames; `deadline` is in seconds since the epoch.

    Frames are upright RGB (H, W, 3) uint8, `size_hw` their height and width. Masks come batch by batch of at most
    `max_objects`; within a batch frame by frame, but for objects whose prompts each govern a stretch (`scope`, where they do
    not say so themselves): their masks come when a stretch is joined. An object with a prompt that does not fit the video, or
    that the predictor refuses, is not followed: `refused` takes its error, and the others are followed as if it were not
    there.

    Raises:
        BadInput: an object that is refused where no `refused` is given.
        DeadlineExceeded: checked before every frame.
    """
    errors: MutableMapping[int, BadInput] = {} if refused is None else refused
    by_object = check_prompts(prompts, frames.frame_indices, size_hw, errors)
    if refused is None:
        raise_first(errors)
    # Objects that begin late share a batch, which then passes over the frames before them.
    ids = sorted(by_object, key=lambda o: (by_object[o][0].frame_idx, o))
    stretched = {o for o in ids if scope_of(by_object[o], scope) is PromptScope.stretch}
    plain = [o for o in ids if o not in stretched]
    for alike, way in (plain, _follow_batch), ([o for o in ids if o in stretched], _follow_stretches):
        # The memory of a batch grows with its objects, so a crowd is followed in several passes over the video.
        for start in range(0, len(alike), max_objects):
            batch = {o: by_object[o] for o in alike[start : start + max_objects]}
            yield from way(Pass(predictor, frames, deadline, errors), batch, direction)
            if refused is None:
                raise_first(errors)


@dataclass(frozen=True, slots=True)
class Pass:
    """What every pass over a video shares; `refused` takes the errors of objects."""

    predictor: Predictor
    frames: SampledFrames
    deadline: float
    refused: MutableMapping[int, BadInput]


def _follow_batch(through: Pass, batch: Mapping[int, Sequence[Prompt]], direction: TrackDirection) -> Iterator[Tracked]:
    if direction is not TrackDirection.forward:
        # Rows go to the store in ascending order, so the way back is kept as run lengths and turned round.
        first = {o: prompts[0].frame_idx if direction is TrackDirection.both else math.inf for o, prompts in batch.items()}
        backward = _one_way(through, legs_of(batch, within=False, reverse=True), reverse=True)
        yield from reversed([t for t in backward if t.mask.frame_idx < first[t.object_id]])
    if direction is not TrackDirection.backward:
        yield from _one_way(through, legs_of(batch, within=False, reverse=False), reverse=False)


def _follow_stretches(through: Pass, batch: Mapping[int, Sequence[Prompt]], direction: TrackDirection) -> Iterator[Tracked]:
    """Track each stretch between prompted frames from both ends and join it; what lies outside goes the asked way."""
    walls = {object_id: sorted({prompt.frame_idx for prompt in prompts}) for object_id, prompts in batch.items()}
    backward: dict[int, dict[int, FrameMask]] = defaultdict(dict)
    legs = legs_of(batch, within=direction is TrackDirection.forward, reverse=True)
    for tracked in _one_way(through, legs, reverse=True, fenced=True):
        backward[tracked.object_id][tracked.mask.frame_idx] = tracked.mask
    for object_id, masks in backward.items():
        yield from (Tracked(object_id, masks[at]) for at in sorted(masks) if at < walls[object_id][0])
    waiting: dict[int, list[FrameMask]] = defaultdict(list)
    legs = legs_of(batch, within=direction is TrackDirection.backward, reverse=False)
    for tracked in _one_way(through, legs, reverse=False, fenced=True):
        object_id, at = tracked.object_id, tracked.mask.frame_idx
        if at < walls[object_id][-1] and at not in walls[object_id]:
            waiting[object_id].append(tracked.mask)
            continue
        yield from (Tracked(object_id, mask) for mask in joined(waiting.pop(object_id, []), backward[object_id]))
        yield tracked
    if direction is TrackDirection.backward:
        for object_id in batch.keys() - through.refused.keys():
            last = [*joined(waiting[object_id], backward[object_id]), backward[object_id][walls[object_id][-1]]]
            yield from (Tracked(object_id, mask) for mask in last)


def _one_way(through: Pass, legs: Sequence[Leg], *, reverse: bool, fenced: bool = False) -> Iterator[Tracked]:
    frames = through.frames
    # What a person drew is stored as drawn, not as the network gives it back.
    drawn = {
        (leg.object_id, prompt.frame_idx): prompt.mask
        for leg in legs
        for prompt in leg.prompts
        if prompt.source is PromptSource.CORRECTION and prompt.mask
    }
    watched, colours = Thumbnails(frames), ColourLooks()
    # Decoding and shrinking a frame take a thread of their own; it has ended when the frames are closed.
    with (
        closing(through.predictor.init_state(watched, memory="window", async_loading_frames=True)) as state,
        closing(ahead(_steps(through, state, legs, reverse=reverse))) as steps,
    ):
        if fenced:
            state.fenced = True
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
            _check_deadline(through.deadline)


def _steps(
    through: Pass, state: "VideoState", legs: Sequence[Leg], *, reverse: bool
) -> Iterator[tuple["FrameOutput", "Tensor", "Tensor | None"]]:
    """Prompt, then follow; yield each output, its masks (N, 1, H, W) and looks (N, 3). One thread runs it all, see `ahead`."""
    predictor, refused = through.predictor, through.refused
    positions = {frame_idx: k for k, frame_idx in enumerate(through.frames.frame_indices)}
    for leg in legs:
        try:
            for prompt in leg.prompts:
                add_prompt(predictor, state, prompt, positions[prompt.frame_idx])
                _check_deadline(through.deadline)
        except BadPrompt as error:
            refused[leg.object_id] = error
    lost = [leg.object_id for leg in legs if leg.object_id in refused]
    if len(lost) == len(legs):
        return
    # Half of an object's prompts may be in the state already: it goes as a whole.
    for object_id in lost:
        predictor.remove_object(state, object_id, need_output=False)
    stops = {leg.object_id: positions[leg.stop] for leg in legs if leg.stop is not None}
    looks, step = FeatureLooks(), -1 if reverse else 1
    for out in predictor.propagate(state, reverse=reverse, each_from_its_prompt=True):
        yield out, out.mask_logits > 0, looks.of_frame(state, out)
        for object_id in out.obj_ids:
            if stops.get(object_id) == out.frame_idx + step:
                predictor.remove_object(state, object_id, need_output=False)


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
