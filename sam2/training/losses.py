"""The published losses: focal and dice on masks, L1 on the predicted IoU, cross-entropy on the object score.

Source: Ravi et al. 2024, "SAM 2", section D.2; focal loss: Lin et al. 2017; dice: Milletari et al. 2016.

Legend: B objects, M candidate masks, R side of the maps that the losses are taken on, H, W low-resolution masks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from sam2.training.recipe import LossWeights

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts, each a mean over objects and not yet weighted, and their weighted sum; `true_iou` is for the log."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    object_score: Tensor
    total: Tensor
    true_iou: Tensor

    def numbers(self) -> dict[str, float]:
        """Return the parts as plain numbers."""
        names = ("focal", "dice", "iou", "object_score", "total", "true_iou")
        return {name: float(getattr(self, name).detach()) for name in names}


def losses_of(
    mask_logits_BMHW: Tensor,
    predicted_iou_BM: Tensor,
    object_score_logits_B1: Tensor,
    true_mask_B1RR: Tensor,
    weights: LossWeights,
) -> Losses:
    """Compare one answer of the decoder with the truth.

    Of several candidates the one with the lowest mask loss is supervised (see `LossWeights.chosen`), while every
    candidate's predicted IoU is. An object that is not there has no mask loss. `true_mask_B1RR` is in [0, 1]: a share
    where pixels were merged.
    """
    side_hw = true_mask_B1RR.shape[-2:]
    logits_BMRR = F.interpolate(mask_logits_BMHW.float(), side_hw, mode="bilinear", align_corners=False)
    there_B = (true_mask_B1RR > 0.5).flatten(1).any(1).float()
    focal_BM, dice_BM = _focal(logits_BMRR, true_mask_B1RR), _dice(logits_BMRR, true_mask_B1RR)
    best_B1 = (weights.focal * focal_BM + weights.dice * dice_BM).argmin(dim=1, keepdim=True)
    true_iou_BM = _iou(logits_BMRR.detach() > 0, true_mask_B1RR > 0.5)
    share_BM = _shares(best_B1, predicted_iou_BM, weights.chosen)
    focal = ((focal_BM * share_BM).sum(1) * there_B).mean()
    dice = ((dice_BM * share_BM).sum(1) * there_B).mean()
    iou = ((predicted_iou_BM.float() - true_iou_BM).abs().mean(1) * there_B).mean()
    score = F.binary_cross_entropy_with_logits(object_score_logits_B1[:, 0].float(), there_B)
    total = weights.focal * focal + weights.dice * dice + weights.iou * iou + weights.object_score * score
    reached = (true_iou_BM.gather(1, best_B1)[:, 0] * there_B).sum() / there_B.sum().clamp(min=1)
    return Losses(focal, dice, iou, score, total, reached)


def _shares(best_B1: Tensor, predicted_iou_BM: Tensor, chosen: float) -> Tensor:
    """Return (B, M): how much of its object's mask loss each candidate bears."""
    share_BM = torch.zeros_like(predicted_iou_BM, dtype=torch.float32)
    share_BM.scatter_add_(1, best_B1, torch.full_like(share_BM[:, :1], 1 - chosen))
    return share_BM.scatter_add_(1, predicted_iou_BM.argmax(1, keepdim=True), torch.full_like(share_BM[:, :1], chosen))


def mean_losses(parts: list[Losses]) -> Losses:
    """Return the mean over several answers."""
    def mean(name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in parts]).mean()

    return Losses(*map(mean, ("focal", "dice", "iou", "object_score", "total", "true_iou")))


def _focal(logits_BMRR: Tensor, true_B1RR: Tensor) -> Tensor:
    """Return (B, M): cross-entropy, with pixels that are right already counted less; the mean over pixels."""
    true_BMRR = true_B1RR.expand_as(logits_BMRR)
    return sigmoid_focal_loss(logits_BMRR, true_BMRR, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA).flatten(2).mean(2)


def _dice(logits_BMRR: Tensor, true_B1RR: Tensor) -> Tensor:
    """Return (B, M): one minus the overlap of the soft mask with the true one."""
    share_BMN, true_B1N = logits_BMRR.sigmoid().flatten(2), true_B1RR.flatten(2)
    overlap = 2 * (share_BMN @ true_B1N.transpose(1, 2))[..., 0]
    return 1 - (overlap + 1) / (share_BMN.sum(2) + true_B1N.sum(2) + 1)


def _iou(masks_BMRR: Tensor, true_B1RR: Tensor) -> Tensor:
    both = (masks_BMRR & true_B1RR).flatten(2).sum(2).float()
    either = (masks_BMRR | true_B1RR).flatten(2).sum(2).float()
    return both / either.clamp(min=1)
