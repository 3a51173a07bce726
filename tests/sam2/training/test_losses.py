"""The published losses against numbers worked out by hand and in plain NumPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2.training.losses import LossWeights, losses_of, mean_losses

WEIGHTS = LossWeights()


def by_hand(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Focal, dice and IoU of one mask."""
    share = 1 / (1 + np.exp(-logits))
    right = np.where(truth > 0.5, share, 1 - share)
    balance = np.where(truth > 0.5, 0.25, 0.75)
    focal = float(np.mean(-balance * (1 - right) ** 2 * np.log(right)))
    dice = 1 - (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
    found = logits > 0
    return focal, float(dice), float((found & (truth > 0.5)).sum() / (found | (truth > 0.5)).sum())


def test_every_part_is_what_numpy_makes_of_it() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(2, 1, 8, 8)).astype(np.float32)
    truth = random.random((2, 1, 8, 8)) < 0.4
    said_iou, score = torch.tensor([[0.7], [0.2]]), torch.tensor([[2.0], [-1.0]])
    losses = losses_of(torch.from_numpy(logits), said_iou, score, torch.from_numpy(truth).float(), WEIGHTS)
    parts = [by_hand(logits[k, 0], truth[k, 0]) for k in range(2)]
    focal, dice, iou = (sum(part[i] for part in parts) / 2 for i in range(3))
    iou_loss = (abs(0.7 - parts[0][2]) + abs(0.2 - parts[1][2])) / 2
    score_loss = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    expected = {
        "focal": focal, "dice": dice, "iou": iou_loss, "object_score": score_loss, "true_iou": iou,
        "total": 20 * focal + dice + iou_loss + score_loss,
    }
    assert losses.numbers() == pytest.approx(expected, rel=1e-5)


def test_one_pixel_by_hand() -> None:
    losses = losses_of(torch.zeros(1, 1, 1, 1), torch.ones(1, 1), torch.zeros(1, 1), torch.ones(1, 1, 1, 1), WEIGHTS)
    assert float(losses.focal) == pytest.approx(0.25 * 0.5**2 * math.log(2))
    assert float(losses.dice) == pytest.approx(1 - (2 * 0.5 + 1) / (0.5 + 1 + 1))
    assert float(losses.iou) == 1.0         # a logit of 0 is no mask
    assert float(losses.object_score) == pytest.approx(math.log(2))


def test_only_the_best_candidate_learns_its_mask_and_all_learn_their_iou() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2] = 1
    good, bad = truth * 8 - 4, 4 - truth * 8
    logits = torch.cat([bad, good, bad], dim=1).requires_grad_()
    said = torch.full((1, 3), 0.5, requires_grad=True)
    losses = losses_of(logits, said, torch.ones(1, 1), truth, WEIGHTS)
    losses.total.backward()
    assert logits.grad is not None
    assert said.grad is not None
    assert logits.grad.abs().sum((0, 2, 3)).gt(0).tolist() == [False, True, False]
    assert said.grad[0].tolist() == pytest.approx([1 / 3, -1 / 3, 1 / 3])     # towards 0, 1 and 0
    assert float(losses.true_iou) == 1.0


def test_the_candidate_that_is_kept_in_use_may_bear_a_share() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2] = 1
    good, bad = truth * 8 - 4, 4 - truth * 8
    logits = torch.cat([bad, good, bad], dim=1)
    said = torch.tensor([[0.9, 0.5, 0.1]])
    alone = [losses_of(one, said[:, :1], torch.ones(1, 1), truth, WEIGHTS) for one in (good, bad)]
    shared = losses_of(logits, said, torch.ones(1, 1), truth, replace(WEIGHTS, chosen=0.25))
    for name in ("focal", "dice"):
        best, kept = (float(getattr(losses, name)) for losses in alone)
        assert float(getattr(shared, name)) == pytest.approx(0.75 * best + 0.25 * kept)
    with pytest.raises(ValueError, match=r"losses.chosen=1.5: expected a share in 0..1"):
        replace(WEIGHTS, chosen=1.5)


def test_an_object_that_is_away_teaches_its_score_alone() -> None:
    truth = torch.zeros(2, 1, 4, 4)
    truth[0, 0, :2] = 1
    logits, said = torch.randn(2, 1, 4, 4, requires_grad=True), torch.rand(2, 1, requires_grad=True)
    score = torch.zeros(2, 1, requires_grad=True)
    losses = losses_of(logits, said, score, truth, WEIGHTS)
    losses.total.backward()
    assert logits.grad is not None
    assert said.grad is not None
    assert score.grad is not None
    assert logits.grad[1].abs().sum() == 0
    assert said.grad[1].abs().sum() == 0
    assert score.grad[:, 0].tolist() == pytest.approx([-0.25, 0.25])


def test_masks_are_compared_at_the_truths_size() -> None:
    """A low-resolution answer is made larger, and a share of 0.5 or less is not the object."""
    logits = torch.full((1, 1, 2, 2), 20.0)
    losses = losses_of(logits, torch.ones(1, 1), torch.full((1, 1), 20.0), torch.ones(1, 1, 6, 6), WEIGHTS)
    assert losses.numbers()["total"] == pytest.approx(0, abs=1e-4)
    thin = losses_of(logits, torch.ones(1, 1), torch.zeros(1, 1), torch.full((1, 1, 6, 6), 0.5), WEIGHTS)
    assert float(thin.focal) == float(thin.dice) == float(thin.true_iou) == 0.0


def test_weights_weigh_and_means_are_of_answers() -> None:
    truth, logits = torch.ones(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    make = lambda w: losses_of(logits, torch.zeros(1, 1), torch.zeros(1, 1), truth, w)  # noqa: E731
    only_dice = make(LossWeights(focal=0, dice=3, iou=0, object_score=0))
    assert float(only_dice.total) == pytest.approx(3 * float(only_dice.dice))
    both = mean_losses([make(LossWeights(0, 1, 0, 0)), make(LossWeights(0, 3, 0, 0))])
    assert float(both.total) == pytest.approx(2 * float(only_dice.dice))
