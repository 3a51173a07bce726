"""Memory attention: what has a place is turned, pointers are not, and the order of maps is told by position alone."""

import torch

from sam2.modeling.memory_attention import MemoryAttention, RotaryAttention
from sam2.modeling.position_encoding import axial_rotations
from sam2.variants import NANO

ROTATIONS = axial_rotations(3, 8, torch.device("cpu"))


def test_pointers_have_no_place() -> None:
    attention = RotaryAttention(8, kv_dim=4)
    queries, keys = torch.randn(1, 9, 8), torch.randn(1, 9, 4)
    pointers = torch.randn(1, 3, 4)
    memory, shuffled = (torch.cat((keys, p), dim=1) for p in (pointers, pointers[:, [2, 0, 1]]))
    answered = attention(queries, memory, memory, ROTATIONS, unplaced=3)
    torch.testing.assert_close(attention(queries, shuffled, shuffled, ROTATIONS, unplaced=3), answered)
    moved = torch.cat((keys[:, torch.randperm(9)], pointers), dim=1)
    assert not torch.allclose(attention(queries, moved, moved, ROTATIONS, unplaced=3), answered)


def test_pointers_alone_can_be_remembered() -> None:
    attention = RotaryAttention(8, kv_dim=4)
    pointers = torch.randn(2, 3, 4)
    assert attention(torch.randn(1, 9, 8), pointers, pointers, ROTATIONS, unplaced=3).shape == (2, 9, 8)


def test_maps_commute_with_their_positions() -> None:
    attention = MemoryAttention(NANO).eval()
    frame, place = torch.randn(1, 9, 96), torch.randn(1, 9, 96)
    first, second, first_pos, second_pos = (torch.randn(2, 9, 32) for _ in range(4))
    answers = [
        attention(frame, torch.cat(maps, 1), torch.cat(pos, 1), x_pos_1NC=place, pointer_tokens=0)
        for maps, pos in [((first, second), (first_pos, second_pos)), ((second, first), (second_pos, first_pos))]
    ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    attention = MemoryAttention(NANO)
    frame, memory = torch.randn(1, 9, 96), torch.randn(1, 9, 32)

    def ask() -> torch.Tensor:
        return attention(frame, memory, memory, x_pos_1NC=frame, pointer_tokens=0)

    assert not torch.equal(ask(), ask())
    attention.eval()
    assert torch.equal(ask(), ask())
