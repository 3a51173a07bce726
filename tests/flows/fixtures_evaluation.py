"""A predictor that knows the truth, and clips to ask it about."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sam2.training.clip import Clip

Bools = npt.NDArray[np.bool_]
SIZE_HW = (40, 60)


def square_clip(*, num_frames: int = 5, name: str = "squares", hidden: tuple[int, ...] = (), late: int = 2) -> Clip:
    """Two 10 x 10 squares: object 0 moves right by 3 pixels a frame and is not there on `hidden` frames, object 1 stands
    still from frame `late` on."""
    masks = np.zeros((2, num_frames, *SIZE_HW), bool)
    for t in range(num_frames):
        masks[0, t, 5:15, 4 + 3 * t : 14 + 3 * t] = t not in hidden
        masks[1, t, 25:35, 30:40] = t >= late
    frames = np.full((num_frames, *SIZE_HW, 3), 60, np.uint8)
    frames[masks.any(axis=0)] = (200, 180, 40)
    return Clip(frames, masks, name)


class Clips:
    """A source of the clips it is given; an error stands for a clip that cannot be made."""

    def __init__(self, *clips: Clip | Exception) -> None:
        self.clips, self.asked = clips, list[int]()

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, index: int, num_frames: int) -> Clip:
        self.asked.append(num_frames)
        clip = self.clips[index]
        if isinstance(clip, Exception):
            raise clip
        return Clip(clip.frames_THW3[:num_frames], clip.masks_NTHW[:, :num_frames], clip.name)


class Knowing:
    """A predictor that answers with the truth, after `change` where one is given; it keeps the prompts it was given."""

    def __init__(self, masks_NTHW: Bools, *, change: Callable[[Bools], Bools] = lambda mask: mask) -> None:
        self.masks_NTHW, self.change = masks_NTHW, change
        self.prompts: dict[int, tuple[int, dict[str, Any]]] = {}

    def init_state(self, video_path: Any, *, memory: str, async_loading_frames: bool = False) -> Any:
        return SimpleNamespace(video=video_path, close=lambda: None)

    def add_new_points_or_box(self, inference_state: Any, frame_idx: int, obj_id: int, **given: Any) -> None:
        self.prompts[obj_id] = frame_idx, given

    def add_new_mask(self, inference_state: Any, frame_idx: int, obj_id: int, mask: Bools) -> None:
        self.prompts[obj_id] = frame_idx, {"mask": mask}

    def propagate(self, inference_state: Any, *, reverse: bool, each_from_its_prompt: bool) -> Iterator[Any]:
        assert each_from_its_prompt
        assert not reverse
        for t in range(len(inference_state.video)):
            ids = [obj_id for obj_id, (start, _) in self.prompts.items() if start <= t]
            if ids:
                yield self._answer(t, ids)

    def _answer(self, t: int, ids: list[int]) -> Any:
        masks = torch.from_numpy(np.stack([self.change(self.masks_NTHW[k, t]) for k in ids]))[:, None]
        nan, ones = torch.full((len(ids),), float("nan")), torch.ones(len(ids))
        return SimpleNamespace(
            frame_idx=t, obj_ids=ids, mask_logits=torch.where(masks, 5.0, -5.0), predicted_iou=0.1 * t * ones,
            object_score_logits=ones, motion_score=nan, stability=nan, candidate_gap=nan, distractor=nan,
            pointer_similarity=nan,
        )
