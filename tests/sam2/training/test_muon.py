"""Muon: singular values made alike, in the gradient's own type, and a step of AdamW's size."""

import math

import pytest
import torch

from sam2.training.muon import MOMENTUM, RMS_OF_ADAMW, Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 96), (96, 24)])
def test_singular_values_become_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert orthogonal(matrix).dtype == torch.float32
    assert 0.6 < values.min() <= values.max() < 1.3


def test_a_step_is_the_orthogonal_momentum_and_decay_is_apart_from_it() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 9))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    update = orthogonal(weight.grad * (1 - MOMENTUM + (1 - MOMENTUM) * MOMENTUM))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.data, torch.full((4, 9), 0.95) - 0.1 * RMS_OF_ADAMW * math.sqrt(9) * update)


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[\(3,\)\].*matrices"):
        Muon([torch.nn.Parameter(torch.ones(3))], lr=0.1)
