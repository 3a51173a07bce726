"""The video predictor under its released name: prompts in, masks of every frame out.

Legend: N objects, H x W pixels of the video.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam2.build_sam import build_sam2_video_predictor_hf
from sam2.errors import NotThere
from sam2.tracking import conditioning, released_methods
from sam2.tracking.features import BatchLimit, objects_at_once
from sam2.tracking.prompts import mask_prompt, point_prompt
from sam2.tracking.propagation import FrameOutput, propagate
from sam2.tracking.released_methods import ReleasedPredictor
from sam2.tracking.released_state import over_state, state_of
from sam2.tracking.state import VideoState
from sam2.tracking.track import ObjectTrack
from sam2.video.frames import open_frames

MEMORY_KINDS = ("all", "window")

Prompted = tuple[int, list[int], Tensor]


class SAM2VideoPredictor(ReleasedPredictor):
    """Follows prompted objects through a video; what it knows of one lies in the state that `init_state` returns.

    A subclass may replace public methods and those of `sam2.tracking.released_methods`, which then act; replacing one
    that could not act is a TypeError.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        released_methods.check_replaced(self)

    @torch.inference_mode()
    def init_state(
        self,
        video_path: object,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
        *,
        memory: str = "all",
    ) -> VideoState:
        """Return a fresh state for a video: a folder of JPEGs, a video file, an array, or any iterable of frames.

        Frames are read when they are needed and wait on the CPU, whatever `offload_video_to_cpu` says;
        `async_loading_frames` reads the next ones ahead in a thread, until the state is closed. `memory="all"` keeps
        every frame's entry, so that any frame can be corrected; `memory="window"` keeps what tracking in one direction
        can still select. Raises ValueError for a video that is empty or cannot be read.
        """
        released_methods.check_replaced(self)
        if memory not in MEMORY_KINDS:
            raise ValueError(f"memory={memory!r}: expected one of {MEMORY_KINDS}")
        windowed = memory == "window"
        ahead = self.config.encode_batch if async_loading_frames else 0
        frames = open_frames(video_path, side=self.image_size, read_ahead=ahead, hold_all=not windowed)
        return VideoState(
            frames,
            device=self.device,
            storage_device=torch.device("cpu") if offload_state_to_cpu else self.device,
            known_length=frames.num_frames,
            windowed=windowed,
            frames_at_once=BatchLimit("frames", self.config.encode_batch),
            objects_at_once=BatchLimit("objects", objects_at_once(self.config, self.device)),
            others={"offload_video_to_cpu": offload_video_to_cpu, "offload_state_to_cpu": offload_state_to_cpu},
        )

    @torch.inference_mode()
    @over_state
    def add_new_points_or_box(
        self,
        inference_state: VideoState,
        frame_idx: int,
        obj_id: int,
        points: object = None,
        labels: object = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: object = None,
    ) -> Prompted:
        """Prompt an object, new or known, with clicks and/or a box on a frame.

        `points` (P, 2) as x, y and `labels` (P,) of 1 (positive) or 0 (negative); `box` x0, y0, x1, y1; in pixels of
        the video, or in 0..1 without `normalize_coords`. Returns the frame, all object ids and their mask logits
        (N, 1, H, W). Raises ValueError for what the frame or the prompt cannot be.
        """
        obj_id = _plain_id(obj_id)
        with conditioning.error_context(obj_id, frame_idx):
            frame_idx, track = self._prompted_track(inference_state, frame_idx, obj_id)
            if box is not None and not clear_old_points:
                raise ValueError("a box comes before clicks: pass it with clear_old_points=True")
            prompt = point_prompt(
                points,
                labels,
                box,
                size_hw=inference_state.size_hw,
                normalize_coords=normalize_coords,
                image_size=self.image_size,
                device=inference_state.device,
            )
        if not clear_old_points and frame_idx in track.points:
            prompt = track.points[frame_idx].followed_by(prompt)
        conditioning.add_points(self, inference_state, track, frame_idx, prompt)
        inference_state.tracks.setdefault(obj_id, track)
        return self._answer(inference_state, frame_idx)

    def add_new_points(self, *args: object, **kwargs: object) -> Prompted:
        """The older name of `add_new_points_or_box`."""
        return self.add_new_points_or_box(*args, **kwargs)

    @torch.inference_mode()
    @over_state
    def add_new_mask(self, inference_state: VideoState, frame_idx: int, obj_id: int, mask: object) -> Prompted:
        """Give an object's mask (H, W) on a frame; it is believed as it stands. Returns as `add_new_points_or_box`."""
        obj_id = _plain_id(obj_id)
        with conditioning.error_context(obj_id, frame_idx):
            frame_idx, track = self._prompted_track(inference_state, frame_idx, obj_id)
            mask_11SS = mask_prompt(mask, image_size=self.image_size, device=inference_state.device)
        conditioning.add_mask(self, inference_state, track, frame_idx, mask_11SS)
        inference_state.tracks.setdefault(obj_id, track)
        return self._answer(inference_state, frame_idx)

    @torch.inference_mode()
    @over_state
    def propagate_in_video_preflight(self, inference_state: VideoState) -> None:
        """Encode the prompts into memory; `propagate_in_video` does it by itself."""
        conditioning.encode_pending(self, inference_state)

    @torch.inference_mode()
    def propagate_in_video(
        self,
        inference_state: VideoState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Prompted]:
        """Yield each frame's index, the object ids and their mask logits (N, 1, H, W); see `propagate`."""
        for out in self.propagate(inference_state, start_frame_idx, max_frame_num_to_track, reverse):
            yield out.frame_idx, out.obj_ids, out.mask_logits

    @torch.inference_mode()
    def propagate(
        self,
        inference_state: VideoState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
        *,
        each_from_its_prompt: bool = False,
    ) -> Iterator[FrameOutput]:
        """Track all objects and yield each frame's masks and scores.

        Starts at the first prompted frame of all, or at `start_frame_idx`, and visits `max_frame_num_to_track` more
        frames (default: to the end), towards frame 0 with `reverse`. With `each_from_its_prompt` each object begins
        at its own first prompt (its last in reverse) and is absent from `obj_ids` until then. Raises ValueError where
        there is nothing to track, or where the state's memory or frames do not reach.
        """
        self.propagate_in_video_preflight(inference_state)
        yield from propagate(
            self,
            state_of(self, inference_state),
            start_frame_idx,
            max_frame_num_to_track,
            reverse=reverse,
            each_from_its_prompt=each_from_its_prompt,
        )

    @torch.inference_mode()
    @over_state
    def clear_all_prompts_in_frame(
        self, inference_state: VideoState, frame_idx: int, obj_id: int, need_output: bool = True
    ) -> Prompted | None:
        """Take back an object's prompts on a frame; an unknown object is a new one without prompts.

        Returns as `add_new_points_or_box` if `need_output`.
        """
        obj_id = _plain_id(obj_id)
        with conditioning.error_context(obj_id, frame_idx):
            frame_idx = conditioning.checked_index(inference_state, frame_idx)
            track = inference_state.tracks.setdefault(obj_id, ObjectTrack())
        conditioning.clear_prompts(track, frame_idx)
        return self._answer(inference_state, frame_idx) if need_output else None

    @torch.inference_mode()
    @over_state
    def remove_object(
        self, inference_state: VideoState, obj_id: int, strict: bool = False, need_output: bool = True
    ) -> tuple[list[int], list[tuple[int, Tensor]]]:
        """Forget an object; an unknown one is a ValueError if `strict`, else nothing.

        Returns the remaining ids and, if `need_output`, the mask logits of the frames that it had prompts on.
        """
        obj_id = _plain_id(obj_id)
        if obj_id not in inference_state.tracks and not strict:
            return inference_state.obj_ids, []
        track = self._known_track(inference_state, obj_id)
        del inference_state.tracks[obj_id]
        if not inference_state.tracks:
            self.reset_state(inference_state)
            return [], []
        frames = sorted(track.prompted) if need_output else []
        updated = [(frame_idx, self._answer(inference_state, frame_idx)[2]) for frame_idx in frames]
        return inference_state.obj_ids, updated

    @torch.inference_mode()
    @over_state
    def reset_state(self, inference_state: VideoState) -> None:
        """Forget all objects and their prompts; the video stays."""
        self._reset_tracking_results(inference_state)
        inference_state.tracks.clear()
        inference_state.features = {}

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: object) -> "SAM2VideoPredictor":
        """Build a predictor with the weights of an id of Hugging Face's hub; arguments as `build_sam2_video_predictor`'s."""
        return build_sam2_video_predictor_hf(model_id, **kwargs)

    def _prompted_track(self, state: VideoState, frame_idx: int, obj_id: int) -> tuple[int, ObjectTrack]:
        index = conditioning.checked_frame(state, frame_idx)
        track = state.tracks.get(obj_id) or ObjectTrack()
        conditioning.check_window(state, track, index)
        return index, track

    def _known_track(self, state: VideoState, obj_id: int) -> ObjectTrack:
        if obj_id not in state.tracks:
            raise NotThere(f"object {obj_id} is unknown: this state has {state.obj_ids}")
        return state.tracks[obj_id]

    def _answer(self, state: VideoState, frame_idx: int) -> Prompted:
        return frame_idx, state.obj_ids, conditioning.masks_on(self, state, frame_idx)


class SAM2VideoPredictorVOS(SAM2VideoPredictor):
    """The released name of a predictor whose parts are compiled: `build_sam2_video_predictor(vos_optimized=True)` makes it."""


def _plain_id(obj_id: Any) -> Any:
    """Return an id that stands for itself: a number out of an array or tensor, which would be a new object each time."""
    if isinstance(obj_id, Tensor | np.ndarray | np.generic) and np.ndim(obj_id) == 0:
        return obj_id.item()
    try:
        hash(obj_id)
    except TypeError:
        raise ValueError(f"obj_id={obj_id!r} cannot stand for an object: expected a number or a string") from None
    return obj_id


METHODS = (*released_methods.STEPS, *released_methods.FEATURES, *released_methods.UNUSED)
released_methods.ORIGINAL_METHODS.update({name: getattr(SAM2VideoPredictor, name, None) for name in METHODS})
