"""The memory encoder: one frame serves the masks of several objects."""

import pytest
import torch

from sam2.modeling.components import make_components
from sam2.modeling.memory_encoder import MaskDownSampler, MemoryEncoder
from sam2.variants import NANO


def make_encoder() -> MemoryEncoder:
    return make_components(NANO).memory_encoder


def remembered(encoder: MemoryEncoder, frame: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return encoder(frame, masks, skip_mask_sigmoid=True)["vision_features"]


def test_one_frame_serves_several_masks() -> None:
    encoder = make_encoder()
    frame, masks = torch.randn(1, 96, 4, 4), torch.randn(3, 1, 64, 64)
    together = remembered(encoder, frame, masks)
    assert together.shape == (3, 32, 4, 4)
    for row in range(3):
        torch.testing.assert_close(together[row], remembered(encoder, frame, masks[row : row + 1])[0], rtol=1e-4, atol=1e-5)


def test_mask_and_frame_both_count() -> None:
    encoder = make_encoder()
    frame, mask = torch.randn(1, 96, 4, 4), torch.randn(1, 1, 64, 64)
    memory = remembered(encoder, frame, mask)
    assert not torch.allclose(remembered(encoder, frame + 1, mask), memory)
    assert not torch.allclose(remembered(encoder, frame, mask + 1), memory)


def test_logits_are_shares_before_they_are_read() -> None:
    encoder, frame, logits = make_encoder(), torch.randn(1, 96, 4, 4), torch.randn(1, 1, 64, 64)
    answer = encoder(frame, logits)
    assert torch.equal(answer["vision_features"], remembered(encoder, frame, logits.sigmoid()))
    assert [tuple(place.shape) for place in answer["vision_pos_enc"]] == [(1, 32, 4, 4)]


def test_a_stride_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="total_stride=8: expected a power of stride=4"):
        MaskDownSampler(total_stride=8)
