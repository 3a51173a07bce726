"""Live views of an object's outputs and prompts under the released keys; what is written through them acts.

Legend: h = w the feature side, H = W the side of low-resolution masks, S the side of the network's square image.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sam2.modeling.position_encoding import sine_map
from sam2.tracking.memory_bank import MOTION_SCORE, OBJECT_SCORE, PREDICTED_IOU, SCORES, FrameEntry
from sam2.tracking.postprocess import stability
from sam2.tracking.prompts import PointPrompt
from sam2.tracking.state_views import ByFrame, Record, View
from sam2.tracking.track import ObjectTrack, Pending

CONDITIONING, OTHERS = "cond_frame_outputs", "non_cond_frame_outputs"


class FrameAnswer(Record):
    """One object's answer on a frame under the released keys; in SAMURAI mode with its scores."""

    FIELDS = {"maskmem_features": "memory_1Dhw", "pred_masks": "mask_logits_11HW", "obj_ptr": "pointer_1C"}
    SCORED = {"best_iou_score": PREDICTED_IOU, "object_score_logits": OBJECT_SCORE, "kf_score": MOTION_SCORE}

    def __init__(self, entry: FrameEntry, put: Callable[[FrameEntry, FrameEntry], None]) -> None:
        self.entry = entry
        self._put = put

    def __getitem__(self, key: str) -> Any:
        if key not in list(self):
            raise KeyError(key)
        if key in self.FIELDS:
            return getattr(self.entry, self.FIELDS[key])
        if key == "maskmem_pos_enc":
            return memory_pos_enc(self.entry.memory_1Dhw)
        return self.entry.scores_K[self.SCORED[key]].view(1, 1)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in list(self):
            raise KeyError(f"{key!r}: a frame's answer has {', '.join(self)}")
        if key == "maskmem_pos_enc":
            check_pos_enc(value, self.entry.memory_1Dhw)
            return
        if key in self.SCORED:
            scores_K = self.entry.scores_K.clone()
            scores_K[self.SCORED[key]] = torch.as_tensor(value, dtype=scores_K.dtype).reshape(())
            changed = replace(self.entry, scores_K=scores_K)
        else:
            changed = replace(self.entry, **{self.FIELDS[key]: value})
        self._put(self.entry, changed)
        self.entry = changed

    def __iter__(self) -> Iterator[str]:
        yield from ("maskmem_features", "maskmem_pos_enc", "pred_masks", "obj_ptr", "object_score_logits")
        if self.entry.sighting is not None:
            yield from ("best_iou_score", "kf_score")


def memory_pos_enc(memory_1Dhw: Tensor | None) -> list[Tensor] | None:
    """Return the position encoding of a memory, which is the same for all."""
    if memory_1Dhw is None:
        return None
    _, dim, side, _ = memory_1Dhw.shape
    return [sine_map((side, side), dim, memory_1Dhw.device)]


def check_pos_enc(value: Any, memory_1Dhw: Tensor | None) -> None:
    """Raise ValueError for a position encoding that is not the memory's own: it follows from its size and cannot be set."""
    pos_enc = memory_pos_enc(memory_1Dhw)
    if value is None or pos_enc is None:
        return
    expected_1Dhw = pos_enc[-1]
    if value[-1].shape[1:] != expected_1Dhw.shape[1:] or not torch.allclose(
        value[-1][:1].to(expected_1Dhw), expected_1Dhw, atol=1e-4
    ):
        raise ValueError("maskmem_pos_enc follows from the size of maskmem_features and cannot be set to anything else")


def entry_of(answer: Mapping[str, Any]) -> FrameEntry:
    """Return the entry that an answer under the released keys stands for; KeyError where one is missing."""
    if isinstance(answer, FrameAnswer):
        return answer.entry
    memory, mask_11HW, pointer_1C = (answer[key] for key in FrameAnswer.FIELDS)
    check_pos_enc(answer.get("maskmem_pos_enc"), memory)
    scores_K = torch.full((len(SCORES),), float("nan"), device=pointer_1C.device)
    for key, index in FrameAnswer.SCORED.items():
        if answer.get(key) is not None:
            scores_K[index] = torch.as_tensor(answer[key], dtype=torch.float32).reshape(())
    if mask_11HW is not None:
        scores_K[SCORES.index("stability")] = stability(mask_11HW)[0]
    return FrameEntry(
        None if memory is None else memory.to(torch.bfloat16), mask_11HW, pointer_1C, scores_K,
        visible=not scores_K[OBJECT_SCORE] <= 0, area=0 if mask_11HW is None else int((mask_11HW > 0).sum()),
    )  # fmt: skip


class FrameAnswers(View):
    """One object's conditioning or other frames, by index."""

    def __init__(self, entries: dict[int, FrameEntry]) -> None:
        self._entries = entries

    def __getitem__(self, frame_idx: int) -> FrameAnswer:
        def put(before: FrameEntry, after: FrameEntry) -> None:
            if self._entries.get(frame_idx) is before:
                self._entries[frame_idx] = after

        return FrameAnswer(self._entries[frame_idx], put)

    def __setitem__(self, frame_idx: int, answer: Mapping[str, Any]) -> None:
        self._entries[frame_idx] = entry_of(answer)

    def __delitem__(self, frame_idx: int) -> None:
        del self._entries[frame_idx]

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)


class WaitingAnswers(View):
    """One object's answers to prompts that wait for tracking to begin: those of conditioning frames, or the others."""

    def __init__(self, track: ObjectTrack, *, conditioning: bool) -> None:
        self._track, self._conditioning = track, conditioning

    def __getitem__(self, frame_idx: int) -> FrameAnswer:
        pendings = self._track.pending
        if frame_idx not in list(self):
            raise KeyError(frame_idx)

        def put(before: FrameEntry, after: FrameEntry) -> None:
            if frame_idx in pendings and pendings[frame_idx].entry is before:
                pendings[frame_idx] = replace(pendings[frame_idx], entry=after)

        return FrameAnswer(pendings[frame_idx].entry, put)

    def __setitem__(self, frame_idx: int, answer: Mapping[str, Any]) -> None:
        self._track.pending[frame_idx] = Pending(entry_of(answer), self._conditioning, None)

    def __delitem__(self, frame_idx: int) -> None:
        if frame_idx not in list(self):
            raise KeyError(frame_idx)
        del self._track.pending[frame_idx]

    def __iter__(self) -> Iterator[int]:
        return (t for t, pending in list(self._track.pending.items()) if pending.conditioning == self._conditioning)


class OutputDict(Record):
    """One object's answers: `cond_frame_outputs` and `non_cond_frame_outputs`, settled or (`waiting`) not yet."""

    def __init__(self, track: ObjectTrack, *, waiting: bool = False) -> None:
        self.track, self._waiting = track, waiting

    def __getitem__(self, key: str) -> FrameAnswers | WaitingAnswers:
        if key not in (CONDITIONING, OTHERS):
            raise KeyError(key)
        if self._waiting:
            return WaitingAnswers(self.track, conditioning=key == CONDITIONING)
        return FrameAnswers(self.track.conditioning if key == CONDITIONING else self.track.others)

    def __setitem__(self, key: str, answers: Mapping[int, Mapping[str, Any]]) -> None:
        self[key].assign(answers)

    def __iter__(self) -> Iterator[str]:
        yield from (CONDITIONING, OTHERS)

    def clear(self) -> None:
        for key in self:
            self[key].clear()


class PointInputs(Record):
    """The points of an object on a frame: `point_coords` (1, P, 2) in pixels of the network's image, `point_labels` (1, P)."""

    FIELDS = {"point_coords": "points_xy_1P2", "point_labels": "labels_1P"}

    def __init__(self, points: dict[int, PointPrompt], frame_idx: int) -> None:
        self._points, self._frame_idx = points, frame_idx

    def __getitem__(self, key: str) -> Tensor:
        return getattr(self._points[self._frame_idx], self.FIELDS[key])

    def __setitem__(self, key: str, value: Tensor) -> None:
        self._points[self._frame_idx] = replace(self._points[self._frame_idx], **{self.FIELDS[key]: value})

    def __iter__(self) -> Iterator[str]:
        return iter(self.FIELDS)


class Direction(Record):
    """Which way a frame was tracked: `reverse`."""

    def __init__(self, tracked: dict[int, bool], frame_idx: int) -> None:
        self._tracked, self._frame_idx = tracked, frame_idx

    def __getitem__(self, key: str) -> bool:
        return {"reverse": self._tracked[self._frame_idx]}[key]

    def __setitem__(self, key: str, value: bool) -> None:
        self._tracked[self._frame_idx] = {"reverse": bool(value)}[key]

    def __iter__(self) -> Iterator[str]:
        yield "reverse"


def point_inputs(track: ObjectTrack) -> ByFrame:
    points = track.points
    return ByFrame(points, lambda t: PointInputs(points, t), lambda v: PointPrompt(v["point_coords"], v["point_labels"]))


def mask_inputs(track: ObjectTrack) -> ByFrame:
    """Masks (1, 1, S, S) float32 of 0 and 1."""
    return ByFrame(track.masks, lambda t: track.masks[t].float(), lambda mask: mask)


def frames_tracked(track: ObjectTrack) -> ByFrame:
    return ByFrame(track.tracked, lambda t: Direction(track.tracked, t), lambda v: bool(v["reverse"]))
