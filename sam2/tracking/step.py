"""The network at work on one frame: objects that look back at equally much share one batch.

Legend: B objects in a batch, M candidate masks, P points or pointers, C hidden channels, D memory channels,
h = w = S/16 the feature side, H = W = S/4 the side of low-resolution masks, S the image's side, K scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import Decoded, ImageFeatures, SAM2Base
from sam2.tracking.distractors import distractors
from sam2.tracking.memory_bank import OBJECT_SCORE, PREDICTED_IOU, FrameEntry, Lookback
from sam2.tracking.motion import BoxXYXY, Choice
from sam2.tracking.policies import policy_of
from sam2.tracking.postprocess import boxes_of_masks, fill_holes, resize_logits, stability
from sam2.tracking.prompts import PointPrompt

GIVEN_MASK_LOGIT = 10.0     # a mask prompt becomes logits of +10 and -10
MASK_PROMPT_LIMIT = 32.0    # an earlier mask is clamped to this before it prompts the decoder


@dataclass(frozen=True, slots=True)
class Readout:
    """The chosen candidates of B objects; `choices` has the motion filter's part, None where it had none; `areas` count
    low-resolution pixels."""

    mask_logits_B1HW: Tensor
    mask_logits_B1SS: Tensor
    pointer_BC: Tensor
    scores_BK: Tensor
    choices: Sequence[Choice | None]
    areas: Sequence[int]


def track_objects(
    network: SAM2Base, features: ImageFeatures, lookbacks: Sequence[Lookback], carried: Sequence[Any]
) -> list[FrameEntry]:
    """Return the entries of B objects on a frame without a prompt, memory included; `carried` is what their
    policy handed on from behind."""
    vision_BChw = _condition(network, features, lookbacks)
    multimask = wants_multimask(network.config, num_points=0, initial=False)
    decoded = network.decode(vision_BChw, features.high_res, multimask=multimask, batch=len(lookbacks))
    readout = _read(network, decoded, carried)
    memory_BDhw = network.encode_memory(
        features.vision_BChw, readout.mask_logits_B1SS, readout.scores_BK[:, OBJECT_SCORE : OBJECT_SCORE + 1],
        from_prompt=False,
    )
    return _entries(network.config, readout, memory_BDhw)


def segment_points(
    network: SAM2Base,
    features: ImageFeatures,
    prompt: PointPrompt,
    *,
    lookback: Lookback | None,
    earlier_mask_11HW: Tensor | None,
    carried: Any = None,
) -> FrameEntry:
    """Return the entry of one object on a frame with clicks or a box; no `lookback` makes it an initial frame."""
    initial = lookback is None
    vision_1Chw = network.without_memory(features) if initial else _condition(network, features, [lookback])
    if earlier_mask_11HW is not None:
        earlier_mask_11HW = earlier_mask_11HW.clamp(-MASK_PROMPT_LIMIT, MASK_PROMPT_LIMIT)
    decoded = network.decode(
        vision_1Chw,
        features.high_res,
        points_xy_BP2=prompt.points_xy_1P2,
        labels_BP=prompt.labels_1P,
        mask_logits_B1HW=earlier_mask_11HW,
        multimask=wants_multimask(network.config, num_points=prompt.num_points, initial=initial),
    )
    return _entries(network.config, _read(network, decoded, [carried]), None)[0]


def take_mask(network: SAM2Base, features: ImageFeatures, mask_11SS: Tensor) -> FrameEntry:
    """Return the entry of one object whose mask (0 or 1, at the model's size) is given: it is believed as it stands."""
    mask_logits_11SS = (2.0 * mask_11SS - 1.0) * GIVEN_MASK_LOGIT
    side = network.config.low_res_side
    mask_logits_11HW = F.interpolate(
        mask_logits_11SS, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    present_11 = mask_11SS.flatten(1).any(dim=1, keepdim=True).float()
    nothing_11 = torch.full_like(present_11, float("nan"))
    scores_1K = torch.cat(
        [
            torch.ones_like(present_11),
            (2.0 * present_11 - 1.0) * GIVEN_MASK_LOGIT,
            nothing_11,
            stability(mask_logits_11HW)[:, None],
            nothing_11,
            nothing_11,
        ],
        dim=1,
    )
    pointer_1C = network.pointer_of_mask(features, mask_11SS)
    areas = (mask_logits_11HW > 0).flatten(1).sum(dim=1).tolist()
    readout = Readout(mask_logits_11HW, mask_logits_11SS, pointer_1C, scores_1K, [None], areas)
    return _entries(network.config, readout, None)[0]


def mask_of_box(network: SAM2Base, features: ImageFeatures, entry: FrameEntry) -> FrameEntry:
    """Return the entry of an object whose box's mask is believed as if it had been given; an empty one stays as it is."""
    mask_11SS = (resize_logits(entry.mask_logits_11HW, (network.image_size, network.image_size)) > 0).float()
    return replace(take_mask(network, features, mask_11SS), scores_K=entry.scores_K) if entry.area else entry


def remember_prompts(network: SAM2Base, vision_1Chw: Tensor, entries: Sequence[FrameEntry]) -> list[FrameEntry]:
    """Return the entries of prompted objects on one frame with the memory of what the person saw."""
    device = vision_1Chw.device
    mask_logits_B1HW = torch.cat([entry.mask_logits_11HW.to(device) for entry in entries])
    scores_BK = torch.stack([entry.scores_K for entry in entries])
    memory_BDhw = network.encode_memory(
        vision_1Chw,
        resize_logits(mask_logits_B1HW, (network.image_size, network.image_size)),
        scores_BK[:, OBJECT_SCORE : OBJECT_SCORE + 1],
        from_prompt=True,
    )
    return [replace(entry, memory_1Dhw=memory) for entry, memory in zip(entries, _rows(memory_BDhw), strict=True)]


def wants_multimask(config: ModelConfig, *, num_points: int, initial: bool) -> bool:
    """Return whether the decoder offers three candidates: few points, so that what is meant is ambiguous."""
    return (
        config.multimask_output_in_sam
        and (initial or config.multimask_output_for_tracking)
        and config.multimask_min_pt_num <= num_points <= config.multimask_max_pt_num
    )


def _condition(network: SAM2Base, features: ImageFeatures, lookbacks: Sequence[Lookback]) -> Tensor:
    """Return `vision_BChw` of all objects, in their order; one pass of the memory attention per shape of lookback."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row, lookback in enumerate(lookbacks):
        groups.setdefault(lookback.shape, []).append(row)
    parts = [_condition_alike(network, features, [lookbacks[row] for row in rows]) for rows in groups.values()]
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([row for rows in groups.values() for row in rows], device=features.vision_BChw.device)
    return torch.cat(parts)[order.argsort()]


def _condition_alike(network: SAM2Base, features: ImageFeatures, lookbacks: Sequence[Lookback]) -> Tensor:
    device = features.vision_BChw.device
    num_memories, num_pointers = lookbacks[0].shape
    # memories are bfloat16, which autocast to float16 refuses to join
    with torch.autocast(device.type, enabled=False):
        memories = [
            torch.cat([lookback.memories[k][1].memory_1Dhw.to(device, non_blocking=True) for lookback in lookbacks])
            for k in range(num_memories)
        ]
    pointers_BPC = None
    if num_pointers:
        pointers_BPC = torch.stack(
            [torch.cat([entry.pointer_1C for _, entry in lookback.pointers]) for lookback in lookbacks]
        )
    return network.condition_on_memory(
        features,
        memories,
        _common([[slot for slot, _ in lookback.memories] for lookback in lookbacks], device),
        pointers_BPC,
        _common([[offset for offset, _ in lookback.pointers] for lookback in lookbacks], device),
        max_pointer_offset=lookbacks[0].max_pointer_offset,
    )


def _common(rows: Sequence[list[int]], device: torch.device) -> list[int] | Tensor:
    """Return one list where all rows are equal, else a (B, K) tensor."""
    if all(row == rows[0] for row in rows):
        return rows[0]
    return torch.tensor(rows, device=device)


def _read(network: SAM2Base, decoded: Decoded, carried: Sequence[Any]) -> Readout:
    """Return what the policy chooses of each object's candidates."""
    config, size_hw = network.config, (network.image_size, network.image_size)
    mask_logits_BMHW = network.mask_absent(decoded.mask_logits_BMHW, decoded.object_score_logits_B1).float()
    predicted_iou_BM = decoded.predicted_iou_BM.float()
    rows_B = torch.arange(len(predicted_iou_BM), device=predicted_iou_BM.device)

    def boxes() -> list[list[BoxXYXY]]:
        return boxes_of_masks(resize_logits(mask_logits_BMHW, size_hw))

    best_B, choices = policy_of(config).choose(predicted_iou_BM, boxes, carried, config)
    mask_logits_B1HW = mask_logits_BMHW[rows_B, best_B, None]
    pointer_BC = network.pointer(decoded.tokens_BMC[rows_B, best_B], decoded.object_score_logits_B1)
    distractor_B, areas = distractors(mask_logits_BMHW, best_B)
    scores_BK = _scores(decoded, predicted_iou_BM, best_B, mask_logits_B1HW, choices, distractor_B)
    return Readout(mask_logits_B1HW, resize_logits(mask_logits_B1HW, size_hw), pointer_BC, scores_BK, choices, areas)


def _scores(
    decoded: Decoded,
    predicted_iou_BM: Tensor,
    best_B: Tensor,
    mask_logits_B1HW: Tensor,
    choices: Sequence[Choice | None],
    distractor_B: Tensor,
) -> Tensor:
    """Return `scores_BK` in the order of `SCORES`."""
    motion_score = [choice.motion_score if choice else float("nan") for choice in choices]
    columns = (
        predicted_iou_BM.gather(1, best_B[:, None])[:, 0],
        decoded.object_score_logits_B1[:, 0].float(),
        torch.tensor(motion_score, dtype=torch.float32, device=best_B.device),
        stability(mask_logits_B1HW),
        _gap(predicted_iou_BM),
        distractor_B,
    )
    return torch.stack(columns, dim=1)


def _gap(predicted_iou_BM: Tensor) -> Tensor:
    if predicted_iou_BM.shape[1] < 2:
        return torch.full_like(predicted_iou_BM[:, 0], float("nan"))
    best_B2 = predicted_iou_BM.topk(2, dim=1).values
    return best_B2[:, 0] - best_B2[:, 1]


def _entries(config: ModelConfig, readout: Readout, memory_BDhw: Tensor | None) -> list[FrameEntry]:
    filled_B1HW = fill_holes(readout.mask_logits_B1HW, config.fill_hole_area)
    count = len(readout.choices)
    memories = [None] * count if memory_BDhw is None else _rows(memory_BDhw)
    selectable = _selectable(config, readout) if config.samurai_mode else [False] * count
    visible = (readout.scores_BK[:, OBJECT_SCORE] > 0).tolist()
    entries = []
    for row, (mask_11HW, pointer_1C) in enumerate(zip(_rows(filled_B1HW), _rows(readout.pointer_BC), strict=True)):
        choice = readout.choices[row]
        entries.append(
            FrameEntry(
                memories[row],
                mask_11HW,
                pointer_1C,
                readout.scores_BK[row].clone(),
                selectable=selectable[row],
                sighting=choice.sighting if choice else None,
                carried=choice.motion if choice else None,
                visible=visible[row],
                area=readout.areas[row],
            )
        )
    return entries


def _selectable(config: ModelConfig, readout: Readout) -> list[bool]:
    """Return which objects pass SAMURAI's three thresholds, all strict; no motion score is no objection."""
    selectable = []
    for choice, scores_K in zip(readout.choices, readout.scores_BK.tolist(), strict=True):
        motion_score = choice.motion_score if choice else float("nan")
        selectable.append(
            scores_K[PREDICTED_IOU] > config.memory_bank_iou_threshold
            and scores_K[OBJECT_SCORE] > config.memory_bank_obj_score_threshold
            and not motion_score <= config.memory_bank_kf_score_threshold
        )
    return selectable


def _rows(batch: Tensor) -> list[Tensor]:
    """Return the batch's rows, each with its own storage, so that one object's memory can go while another's stays."""
    if batch.shape[0] == 1:
        return [batch]
    return [row.clone() for row in batch.split(1)]


