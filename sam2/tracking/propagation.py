"""Propagate objects through a video, frame by frame.

Legend: N objects on a frame, C hidden channels, h x w pixels of the low-resolution masks, H x W of the video.
"""

import operator
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Tensor

from sam2.modeling.released_methods import without_overlap
from sam2.modeling.sam2_base import SAM2Base
from sam2.tracking import released_methods
from sam2.tracking.conditioning import carried_behind
from sam2.tracking.features import in_batches
from sam2.tracking.memory_bank import SCORES, FrameEntry, Vantage
from sam2.tracking.policies import look_back, policy_of
from sam2.tracking.postprocess import resize_logits
from sam2.tracking.reach import reach_of, readable
from sam2.tracking.released_methods import features_of
from sam2.tracking.state import VideoState
from sam2.tracking.step import track_objects
from sam2.tracking.track import ObjectTrack, check_direction, check_start, forget


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """Masks and scores of the objects that were tracked on a frame, in the order of `obj_ids`.

    `low_res_logits` (N, 1, h, w) float32. Per object, (N,) float32: `predicted_iou` of the chosen candidate (on a
    prompted frame the decoder's, 1 for a mask prompt); `object_score_logits` (> 0: present); `motion_score` (IoU with
    the motion filter's box, NaN where there is none); `stability` (area over logit +1 by area over -1 at low
    resolution); `candidate_gap` (best minus second predicted IoU, NaN with one candidate); `distractor` (lowest box IoU of
    the mask and its union with what another candidate adds: low where a look-alike is near; NaN with one candidate or no
    mask); `pointer_similarity` (cosine between the object's pointer and the mean pointer of its conditioning frames).
    `size_hw` is the video's.
    """

    frame_idx: int
    obj_ids: list[int]
    low_res_logits: Tensor
    predicted_iou: Tensor
    object_score_logits: Tensor
    motion_score: Tensor
    stability: Tensor
    candidate_gap: Tensor
    distractor: Tensor
    pointer_similarity: Tensor
    size_hw: tuple[int, int]
    non_overlap: bool = False

    @property
    def mask_logits(self) -> Tensor:
        """Masks (N, 1, H, W) float32 at the video's size; made anew each time it is asked for, and not kept."""
        with torch.inference_mode():
            mask_logits_N1HW = resize_logits(self.low_res_logits, self.size_hw)
            return without_overlap(mask_logits_N1HW) if self.non_overlap else mask_logits_N1HW


def propagate(
    network: SAM2Base,
    state: VideoState,
    start_frame_idx: object,
    max_frame_num_to_track: object,
    *,
    reverse: bool,
    each_from_its_prompt: bool,
) -> Iterator[FrameOutput]:
    """Yield what tracking says of each frame, after the prompts have been settled; see `SAM2VideoPredictor.propagate`."""
    start_idx, most = _whole("start_frame_idx", start_frame_idx), _whole("max_frame_num_to_track", max_frame_num_to_track)
    first = {obj_id: _first_prompt(track, reverse) if each_from_its_prompt else None for obj_id, track in _items(state)}
    start = _start(state, start_idx, first, reverse)
    _check(state, start, first, reverse)
    # a copy: an object that is prompted while a caller iterates joins the next call, not this one
    running = dict(state.tracks)
    order = _order(state, start, most, reverse, each_from_its_prompt)
    for frame_idx, coming in _with_coming(order, network.config.encode_batch - 1):
        # the caller may remove or replace objects between two frames
        alive = {obj_id: track for obj_id, track in running.items() if state.tracks.get(obj_id) is track}
        if not alive:
            return
        joined = {obj_id: track for obj_id, track in alive.items() if _has_begun(first[obj_id], frame_idx, reverse)}
        if joined:
            yield _track_frame(network, state, joined, Vantage(frame_idx, reverse, state.known_length), coming)


def _with_coming(order: Iterator[int], many: int) -> Iterator[tuple[int, list[int]]]:
    """Yield every frame with up to `many` that follow it."""
    waiting = deque(islice(order, many + 1))
    while waiting:
        yield waiting.popleft(), list(waiting)
        waiting.extend(islice(order, 1))


def _track_frame(
    network: SAM2Base, state: VideoState, tracks: Mapping[int, ObjectTrack], vantage: Vantage, coming: list[int]
) -> FrameOutput:
    frame_idx = vantage.frame_idx
    # a prompted frame is not tracked: what the person gave is its output
    free = [track for track in tracks.values() if frame_idx not in track.conditioning]
    fresh = _follow(network, state, free, vantage, coming) if free else []
    for track, entry in zip(free, fresh, strict=True):
        track.others[frame_idx] = entry.stored_on(state.storage_device)
    new = {id(track): entry for track, entry in zip(free, fresh, strict=True)}
    for track in tracks.values():
        if id(track) not in new:
            _pass_prompt(network, track, vantage, fenced=state.fenced)
        track.tracked[frame_idx] = vantage.reverse
        track.newest = frame_idx
        # only now: this frame's own entry is part of what the window counts
        if state.windowed:
            forget(track, vantage, network.config)
    entries = [new.get(id(track)) or track.conditioning[frame_idx] for track in tracks.values()]
    return _output(network, state, frame_idx, tracks, entries)


def _follow(
    network: SAM2Base, state: VideoState, tracks: list[ObjectTrack], vantage: Vantage, coming: list[int]
) -> list[FrameEntry]:
    # a replaced step is written for one object, so that objects do not share a batch
    if released_methods.steps_replaced(network):
        return [released_methods.run_frame(network, state, track, vantage) for track in tracks]
    features = features_of(network, state, vantage.frame_idx, coming=coming)

    def follow(rows: slice) -> list[FrameEntry]:
        lookbacks = [look_back(*readable(state, track, vantage), vantage, network.config) for track in tracks[rows]]
        reaches = [reach_of(state, track, vantage) for track in tracks[rows]]
        carried = [
            carried_behind(network, track, vantage, reach=reach) for track, reach in zip(tracks[rows], reaches, strict=True)
        ]
        entries = track_objects(network, features, lookbacks, carried)
        frame = vantage.from_start(vantage.frame_idx)
        return [settled(entry, before, frame, network.config) for entry, before in zip(entries, carried, strict=True)]

    settled = policy_of(network.config).settled
    parts = in_batches(state.objects_at_once, len(tracks), follow, make_room=state.make_room)
    return [replace(entry, reverse=vantage.reverse) for part in parts for entry in part]


def _pass_prompt(network: SAM2Base, track: ObjectTrack, vantage: Vantage, *, fenced: bool) -> None:
    """Leave with a prompted frame what the policy hands on after it, in this direction; begun anew where it is a wall."""
    if not policy_of(network.config).CARRIES:
        return
    # without a direction the entry counts as a sighting to be passed, not as a filter to go on from
    entry = replace(track.conditioning[vantage.frame_idx], carried=None, reverse=None)
    track.conditioning[vantage.frame_idx] = entry
    ahead = replace(vantage, frame_idx=vantage.behind(-1))
    carried = carried_behind(network, track, ahead, reach=1 if fenced else None)
    track.conditioning[vantage.frame_idx] = replace(entry, carried=carried, reverse=vantage.reverse)


def _output(
    network: SAM2Base,
    state: VideoState,
    frame_idx: int,
    tracks: Mapping[int, ObjectTrack],
    entries: list[FrameEntry],
) -> FrameOutput:
    scores_NK = torch.stack([entry.scores_K for entry in entries]).float()
    return FrameOutput(
        frame_idx,
        list(tracks),
        torch.cat([entry.mask_logits_11HW.to(state.device) for entry in entries]),
        **dict(zip(SCORES, scores_NK.unbind(dim=1), strict=True)),
        pointer_similarity=_pointer_similarity(entries, list(tracks.values())),
        size_hw=state.size_hw,
        non_overlap=network.config.non_overlap_masks,
    )


def _pointer_similarity(entries: list[FrameEntry], tracks: list[ObjectTrack]) -> Tensor:
    pointers_NC = torch.cat([entry.pointer_1C for entry in entries]).float()
    means_NC = torch.cat(
        [
            torch.cat([entry.pointer_1C for entry in track.conditioning.values()]).float().mean(dim=0, keepdim=True)
            for track in tracks
        ]
    )
    return F.cosine_similarity(pointers_NC, means_NC, dim=1)


def _whole(name: str, value: object) -> int | None:
    """Return a count as an int, whatever held it: a frame index in a tensor would be equal to none in the memory bank."""
    try:
        return None if value is None else operator.index(value)     # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name}={value!r}: expected a whole number") from None


def _items(state: VideoState) -> list[tuple[int, ObjectTrack]]:
    return list(state.tracks.items())


def _first_prompt(track: ObjectTrack, reverse: bool) -> int:
    return max(track.conditioning) if reverse else min(track.conditioning)


def _has_begun(first: int | None, frame_idx: int, reverse: bool) -> bool:
    return first is None or (frame_idx <= first if reverse else frame_idx >= first)


def _start(state: VideoState, asked: int | None, first: Mapping[int, int | None], reverse: bool) -> int:
    prompts = [frame_idx for frame_idx in first.values() if frame_idx is not None]
    if asked is None:
        if prompts:
            return max(prompts) if reverse else min(prompts)
        return min(frame_idx for track in state.tracks.values() for frame_idx in track.conditioning)
    if asked < 0 or (state.num_frames is not None and asked >= state.num_frames):
        raise ValueError(f"start_frame_idx={asked} is beyond the video: it has {state.num_frames} frames")
    return asked


def _check(state: VideoState, start: int, first: Mapping[int, int | None], reverse: bool) -> None:
    if state.one_pass:
        _check_one_pass(state, start, reverse)
    if not state.windowed:
        return
    check_direction(state.reverse, reverse)
    # every object is checked before the state is bound, so that a refusal leaves it as it was
    for obj_id, track in state.tracks.items():
        prompt = first[obj_id]
        begin = start if prompt is None else (min(start, prompt) if reverse else max(start, prompt))
        check_start(track, begin, reverse=reverse)
    state.reverse = reverse


def _check_one_pass(state: VideoState, start: int, reverse: bool) -> None:
    if reverse:
        raise ValueError(
            "frames that are handed over one by one can be tracked forward only: "
            "pass a folder, a file or a list of frames to track in reverse"
        )
    newest = max((track.newest for track in state.tracks.values() if track.newest is not None), default=0)
    if start < newest:
        raise ValueError(
            f"frames that are handed over one by one pass once, and tracking has come to frame {newest}: "
            f"go on with start_frame_idx={newest} or later instead of {start}"
        )


def _order(
    state: VideoState, start: int, most: int | None, reverse: bool, each_from_its_prompt: bool
) -> Iterator[int]:
    """Yield the frames to visit. `most` counts frames after the first; reverse from frame 0 visits none, as released,
    but where each object has a span of its own, frame 0 is that span."""
    if reverse:
        if start == 0 and not each_from_its_prompt:
            return
        # released: `max_frame_num_to_track` counts the frames after the first, in both directions
        last = 0 if most is None else max(start - most, 0)
        yield from range(start, last - 1, -1)
        return
    for frame_idx in count(start):
        if (most is not None and frame_idx > start + most) or not state.reaches(frame_idx):
            return
        yield frame_idx
