"""The memory encoder: one frame serves the masks of several objects."""

import torch

from sam2.modeling.memory_encoder import MemoryEncoder
from sam2.variants import NANO


def test_one_frame_serves_several_masks() -> None:
    encoder = MemoryEncoder(NANO)
    frame, masks = torch.randn(1, 96, 4, 4), torch.randn(3, 1, 64, 64)
    together = encoder(frame, masks)
    assert together.shape == (3, 32, 4, 4)
    for row in range(3):
        torch.testing.assert_close(together[row], encoder(frame, masks[row : row + 1])[0], rtol=1e-4, atol=1e-5)


def test_mask_and_frame_both_count() -> None:
    encoder = MemoryEncoder(NANO)
    frame, mask = torch.randn(1, 96, 4, 4), torch.randn(1, 1, 64, 64)
    memory = encoder(frame, mask)
    assert not torch.allclose(encoder(frame + 1, mask), memory)
    assert not torch.allclose(encoder(frame, mask + 1), memory)
