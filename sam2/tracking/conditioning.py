"""Conditioning frames: a prompt runs on its frame at once and is encoded into memory when tracking begins.

Legend: h = w the feature side, S the side of the network's square image, H x W the video's pixels.
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from sam2.errors import NotThere
from sam2.modeling.released_methods import without_overlap
from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.tracking import released_methods
from sam2.tracking.memory_bank import FrameEntry, Lookback, Vantage
from sam2.tracking.policies import look_back, policy_of
from sam2.tracking.postprocess import absent_logits, resize_logits
from sam2.tracking.prompts import PointPrompt
from sam2.tracking.released_methods import features_of
from sam2.tracking.state import VideoState
from sam2.tracking.step import mask_of_box, remember_prompts, segment_points, take_mask
from sam2.tracking.track import ObjectTrack, Pending, check_click, forget_around


@contextmanager
def error_context(obj_id: object, frame_idx: object) -> Iterator[None]:
    """Say in a ValueError which object and frame it is about."""
    try:
        yield
    except ValueError as problem:
        raise ValueError(f"object {obj_id} on frame {frame_idx}: {problem}") from problem


def checked_index(state: VideoState, frame_idx: object) -> int:
    """Return the frame index as an int; ValueError where it is none, or beyond the video."""
    try:
        index = operator.index(frame_idx)   # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"frame_idx={frame_idx!r}: expected a whole number") from None
    if index < 0 or (state.num_frames is not None and index >= state.num_frames):
        raise ValueError(f"frame_idx={index} is beyond the video: it has {state.num_frames} frames, counted from 0")
    return index


def checked_frame(state: VideoState, frame_idx: object) -> int:
    """Return the frame's index; ValueError where the video has no such frame or it is not at hand."""
    index = checked_index(state, frame_idx)
    if not state.holds(index):
        raise ValueError("the frame is not at hand: frames handed over one by one take prompts while they are held")
    return index


def add_points(
    network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, prompt: PointPrompt
) -> None:
    """Segment the object from clicks or a box; an earlier mask on this frame prompts along."""
    features = features_of(network, state, frame_idx)
    lookback, reverse = _correction(network, state, track, frame_idx)
    earlier = track.entry_on(frame_idx)
    earlier_mask_11HW = None if earlier is None or earlier.thin else earlier.mask_logits_11HW.to(state.device)
    if released_methods.steps_replaced(network):
        entry = released_methods.run_prompt(
            network, state, track, frame_idx, initial=lookback is None, reverse=reverse, prompt=prompt,
            earlier=earlier_mask_11HW,
        )
    else:
        carried = carried_behind(network, track, Vantage(frame_idx, reverse, state.known_length))
        entry = segment_points(
            network, features, prompt, lookback=lookback, earlier_mask_11HW=earlier_mask_11HW, carried=carried
        )
        if network.config.boxes_as_masks and lookback is None and prompt.is_box:
            entry = mask_of_box(network, features, entry)
    track.points[frame_idx] = prompt
    track.masks.pop(frame_idx, None)
    _hold_pending(network, state, track, frame_idx, entry, features)


def add_mask(network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, mask_11SS: Tensor) -> None:
    """Take the given mask as the object's on this frame."""
    features = features_of(network, state, frame_idx)
    if released_methods.steps_replaced(network):
        lookback, reverse = _correction(network, state, track, frame_idx)
        entry = released_methods.run_prompt(
            network, state, track, frame_idx, initial=lookback is None, reverse=reverse, mask_11SS=mask_11SS
        )
    else:
        entry = take_mask(network, features, mask_11SS)
    binary = bool(((mask_11SS == 0) | (mask_11SS == 1)).all())
    track.masks[frame_idx] = (mask_11SS.bool() if binary else mask_11SS).to(state.storage_device)
    track.points.pop(frame_idx, None)
    _hold_pending(network, state, track, frame_idx, entry, features)


def clear_prompts(track: ObjectTrack, frame_idx: int) -> None:
    """Take back all prompts on a frame; an answer that was tracked on from stays as an ordinary frame's."""
    track.points.pop(frame_idx, None)
    track.masks.pop(frame_idx, None)
    track.pending.pop(frame_idx, None)
    entry = track.conditioning.pop(frame_idx, None)
    if entry is not None:
        track.others[frame_idx] = entry
        track.tracked.pop(frame_idx, None)


def encode_pending(network: SAM2Base, state: VideoState) -> None:
    """Encode the prompts that wait into memory, all objects of a frame at once; NotThere without any prompt."""
    if not state.tracks:
        raise NotThere("nothing to track: add points, a box or a mask for at least one object first")
    frames = list(dict.fromkeys(frame_idx for track in state.tracks.values() for frame_idx in track.pending))
    for frame_idx in frames:
        tracks = [track for track in state.tracks.values() if frame_idx in track.pending]
        pendings = [track.pending.pop(frame_idx) for track in tracks]
        entries = _remembered(network, state, frame_idx, pendings)
        for track, pending, entry in zip(tracks, pendings, entries, strict=True):
            _store(network, state, track, frame_idx, entry, conditioning=pending.conditioning)
    for obj_id, track in state.tracks.items():
        if not track.conditioning:
            raise NotThere(f"object {obj_id} has no prompt left: add points, a box or a mask, or remove it")


def _remembered(
    network: SAM2Base, state: VideoState, frame_idx: int, pendings: Sequence[Pending]
) -> Sequence[FrameEntry]:
    """Return entries with their memory, each made where it is not there yet."""
    bare = [pending for pending in pendings if pending.entry.memory_1Dhw is None]
    if released_methods.steps_replaced(network):
        made = [released_methods.run_memory_encoder(network, state, frame_idx, pending.entry) for pending in bare]
    elif bare:
        vision_1Chw = bare[0].vision_1Chw
        if vision_1Chw is None:
            vision_1Chw = features_of(network, state, frame_idx).vision_BChw
        made = remember_prompts(network, vision_1Chw, [pending.entry for pending in bare])
    else:
        made = []
    remembered = iter(made)
    return [next(remembered) if pending.entry.memory_1Dhw is None else pending.entry for pending in pendings]


def masks_on(network: SAM2Base, state: VideoState, frame_idx: int) -> Tensor:
    """Return (N, 1, H, W) logits of all objects on a frame at the video's size; -1024 where there is no answer."""
    mask_logits_N1HW = absent_logits(len(state.tracks), state.size_hw, state.device)
    for row, track in enumerate(state.tracks.values()):
        entry = track.entry_on(frame_idx)
        if entry is not None and not entry.thin:
            mask_logits_N1HW[row] = resize_logits(entry.mask_logits_11HW.to(state.device), state.size_hw)[0]
    return without_overlap(mask_logits_N1HW) if network.config.non_overlap_masks else mask_logits_N1HW


def carried_behind(network: SAM2Base, track: ObjectTrack, vantage: Vantage, *, reach: int | None = None) -> Any:
    """Return what the policy hands on (SAMURAI's motion filter) as the nearest frame behind left it, at most `reach` frames
    behind; None: it begins anew.

    Prompted frames may have been answered before the direction was known, so the policy is led over them here.
    """
    policy = policy_of(network.config)
    if not policy.CARRIES:
        return None
    passed = []
    carried = None
    frame_idx = _nearest_behind(track, vantage)
    while frame_idx is not None and (reach is None or vantage.distance_to(frame_idx) <= reach):
        entry = track.entry_on(frame_idx)
        if entry.reverse == vantage.reverse:
            carried = entry.carried
            break
        if entry.reverse is not None and frame_idx not in track.conditioning:
            break       # tracked the other way: its filter moves away from here
        passed.append((frame_idx, entry))
        frame_idx = _nearest_behind(track, replace(vantage, frame_idx=frame_idx))
    for frame_idx, entry in reversed(passed):
        carried = policy.carry(carried, entry, vantage.from_start(frame_idx), network.config)
    return carried


def _nearest_behind(track: ObjectTrack, vantage: Vantage) -> int | None:
    if track.entry_on(vantage.behind(1)) is not None:
        return vantage.behind(1)
    known = (*track.pending, *track.conditioning, *track.others)
    return min((t for t in known if vantage.distance_to(t) > 0), key=vantage.distance_to, default=None)


def _correction(
    network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int
) -> tuple[Lookback | None, bool]:
    """Return what a prompt on this frame looks back at, and the direction; None: not tracked yet, or nothing there."""
    if frame_idx not in track.tracked:
        return None, False
    vantage = Vantage(frame_idx, track.tracked[frame_idx], state.known_length)
    lookback = look_back(track.conditioning, track.others, vantage, network.config)
    return (lookback if lookback.memories else None), vantage.reverse


def _hold_pending(
    network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, entry: FrameEntry, features: ImageFeatures
) -> None:
    conditioning = frame_idx not in track.tracked or network.config.add_all_frames_to_correct_as_cond
    stored = replace(entry, carried=None).stored_on(state.storage_device)
    track.pending[frame_idx] = Pending(stored, conditioning, features.vision_BChw)


def _store(
    network: SAM2Base, state: VideoState, track: ObjectTrack, frame_idx: int, entry: FrameEntry, *, conditioning: bool
) -> None:
    entry = entry.stored_on(state.storage_device)
    if not conditioning:
        track.others[frame_idx] = entry
        return
    track.conditioning[frame_idx] = entry
    track.others.pop(frame_idx, None)
    if network.config.clear_non_cond_mem_around_input:
        forget_around(network, track, frame_idx)


def check_window(state: VideoState, track: ObjectTrack, frame_idx: int) -> None:
    """Raise ValueError where a memory window has forgotten what a prompt on this frame needs."""
    if state.windowed and state.reverse is not None:
        check_click(track, frame_idx, reverse=state.reverse)
