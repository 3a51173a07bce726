"""The network on a batch of clips with gradients: prompt, track, correct, remember, as it will be used.

What a frame looks back at is decided by the same rules as in tracking (`sam2.tracking.memory_bank`), for all objects of the
batch in step.

Legend: V clips, T frames, B = V * O objects (O of each clip), S side of the model's image, M candidate masks,
H, W low-resolution masks, C hidden channels, P points.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sam2.modeling.sam2_base import Decoded, ImageFeatures, SAM2Base
from sam2.tracking.memory_bank import FrameEntry, Vantage
from sam2.tracking.policies import look_back
from sam2.tracking.postprocess import resize_logits
from sam2.tracking.step import GIVEN_MASK_LOGIT, MASK_PROMPT_LIMIT, wants_multimask
from sam2.training.batches import Batch
from sam2.training.clicks import Clicks, boxes, corrective_clicks, first_clicks
from sam2.training.curriculum import noise_features
from sam2.training.recipe import PROMPT_KINDS


@dataclass(frozen=True, slots=True)
class Answer:
    """What the decoder said of all objects on a frame, once: one thing to compare with the truth."""

    frame: int
    decoded: Decoded


def answer_stills(
    network: SAM2Base, batch: Batch, random: Generator, *, corrections: int, blind: bool = False
) -> list[Answer]:
    """Prompt every object of the batch's first frames with a box, and with a click that is corrected by further ones.

    `blind` puts noise in the place of the frames' features.
    """
    if blind:
        features = noise_features(network, batch, random)
    else:
        features = _of_objects(network.encode_image(batch.frame(0)), batch.objects_per_clip)
    vision_BChw, truth_BSS = network.without_memory(features), batch.truth(0)
    answers = [Answer(0, _decode(network, vision_BChw, features, boxes(truth_BSS, random), None))]
    clicks = first_clicks(truth_BSS, random)
    decoded = _decode(network, vision_BChw, features, clicks, None)
    answers.append(Answer(0, decoded))
    for _ in range(corrections):
        clicks, decoded = _correct(network, vision_BChw, features, truth_BSS, decoded, clicks, random)
        answers.append(Answer(0, decoded))
    return answers


def answer_clips(
    network: SAM2Base, batch: Batch, random: Generator, *, kind: str, corrected: frozenset[int]
) -> list[Answer]:
    """Prompt the objects on the first frame, follow them to the last, and correct them with a click on some frames."""
    if kind not in PROMPT_KINDS:
        raise ValueError(f"prompt kind {kind!r}: expected one of {PROMPT_KINDS}")
    features = network.encode_image(batch.all_frames())
    answers: list[Answer] = []
    conditioning: dict[int, FrameEntry] = {}
    others: dict[int, FrameEntry] = {}
    for frame in range(batch.num_frames):
        visual = _of_objects(features[batch.rows(frame)], batch.objects_per_clip)
        truth_BSS = batch.truth(frame)
        prompted = frame == 0 or frame in corrected
        if frame == 0 and kind == "mask":
            conditioning[0] = _believe(network, visual, truth_BSS)
            continue
        vision_BChw = network.without_memory(visual) if frame == 0 else _condition(network, visual, conditioning, others, frame)
        clicks = None
        if frame == 0:
            clicks = boxes(truth_BSS, random) if kind == "box" else first_clicks(truth_BSS, random)
        decoded = _decode(network, vision_BChw, visual, clicks, None)
        answers.append(Answer(frame, decoded))
        if frame in corrected:
            _, decoded = _correct(network, vision_BChw, visual, truth_BSS, decoded, clicks, random)
            answers.append(Answer(frame, decoded))
        if frame + 1 < batch.num_frames:
            (conditioning if prompted else others)[frame] = _remember(network, visual, decoded, from_prompt=prompted)
    return answers


def _decode(
    network: SAM2Base, vision_BChw: Tensor, features: ImageFeatures, clicks: Clicks | None, earlier_B1HW: Tensor | None
) -> Decoded:
    points, labels = clicks if clicks is not None else (None, None)
    num_points = 0 if labels is None else labels.shape[1]
    return network.decode(
        vision_BChw,
        features.high_res,
        points_xy_BP2=points,
        labels_BP=labels,
        mask_logits_B1HW=earlier_B1HW,
        multimask=wants_multimask(network.config, num_points=num_points, initial=False),
    )


def _correct(
    network: SAM2Base,
    vision_BChw: Tensor,
    features: ImageFeatures,
    truth_BSS: Tensor,
    decoded: Decoded,
    clicks: Clicks | None,
    random: Generator,
) -> tuple[Clicks, Decoded]:
    """Add a click where the last answer is wrong; earlier clicks and the last mask go with it."""
    earlier_B1HW = _chosen(decoded)[0].detach()
    found_BSS = resize_logits(earlier_B1HW, (truth_BSS.shape[-2], truth_BSS.shape[-1]))[:, 0] > 0
    points, labels = corrective_clicks(truth_BSS, found_BSS, random)
    if clicks is not None:
        points, labels = torch.cat((clicks[0], points), dim=1), torch.cat((clicks[1], labels), dim=1)
    earlier_B1HW = earlier_B1HW.clamp(-MASK_PROMPT_LIMIT, MASK_PROMPT_LIMIT)
    return (points, labels), _decode(network, vision_BChw, features, (points, labels), earlier_B1HW)


def _condition(
    network: SAM2Base,
    features: ImageFeatures,
    conditioning: dict[int, FrameEntry],
    others: dict[int, FrameEntry],
    frame: int,
) -> Tensor:
    # an open length: the pointers' time scale is then that of any video of 16 frames or more
    lookback = look_back(conditioning, others, Vantage(frame, reverse=False, num_frames=None), network.config)
    return network.condition_on_memory(
        features,
        [entry.memory_1Dhw for _, entry in lookback.memories if entry.memory_1Dhw is not None],
        [slot for slot, _ in lookback.memories],
        torch.stack([entry.pointer_1C for _, entry in lookback.pointers], dim=1),
        [offset for offset, _ in lookback.pointers],
        max_pointer_offset=lookback.max_pointer_offset,
    )


def _remember(network: SAM2Base, features: ImageFeatures, decoded: Decoded, *, from_prompt: bool) -> FrameEntry:
    """Return what later frames look back at; here an entry's maps hold all objects of the batch."""
    mask_logits_B1HW, token_BC = _chosen(decoded)
    score_B1 = decoded.object_score_logits_B1
    mask_logits_B1HW = network.mask_absent(mask_logits_B1HW, score_B1)
    memory = network.encode_memory(
        features.vision_BChw,
        resize_logits(mask_logits_B1HW, (network.image_size, network.image_size)),
        score_B1,
        from_prompt=from_prompt,
    )
    return FrameEntry(memory, None, network.pointer(token_BC, score_B1), score_B1)


def _believe(network: SAM2Base, features: ImageFeatures, truth_BSS: Tensor) -> FrameEntry:
    """Return the entry of objects whose mask is the prompt; the memory is of what tracking keeps of it, at low resolution."""
    mask_B1SS, side = truth_BSS[:, None].float(), network.config.low_res_side
    score_B1 = (2 * truth_BSS.flatten(1).any(1, keepdim=True).float() - 1) * GIVEN_MASK_LOGIT
    kept_B1HW = F.interpolate((2 * mask_B1SS - 1) * GIVEN_MASK_LOGIT, (side, side), mode="bilinear", antialias=True)
    memory = network.encode_memory(
        features.vision_BChw, resize_logits(kept_B1HW, (network.image_size, network.image_size)), score_B1, from_prompt=True
    )
    return FrameEntry(memory, None, network.pointer_of_mask(features, mask_B1SS), score_B1)


def _chosen(decoded: Decoded) -> tuple[Tensor, Tensor]:
    """Return mask logits (B, 1, H, W) and token (B, C) of the candidate that predicts the highest IoU of itself."""
    best_B = decoded.predicted_iou_BM.argmax(1)
    rows_B = torch.arange(len(best_B), device=best_B.device)
    return decoded.mask_logits_BMHW[rows_B, best_B, None], decoded.tokens_BMC[rows_B, best_B]


def _of_objects(features: ImageFeatures, objects_per_clip: int) -> ImageFeatures:
    """Repeat each image's features for the objects in it."""
    if objects_per_clip == 1:
        return features
    rows = torch.arange(len(features), device=features.vision_BChw.device).repeat_interleave(objects_per_clip)
    return features[rows]
