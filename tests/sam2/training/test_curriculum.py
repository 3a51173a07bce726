"""Drills: shapes that do not share pixels, plain in their pictures, the same for the same seed."""

import pytest
import torch

from sam2.modeling.sam2_base import SAM2Base
from sam2.training.curriculum import drill_batch, noise_features
from sam2.training.recipe import Stage


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_seed_names_a_batch() -> None:
    one, same, other = (drill_batch(seeded(s), clips=2, objects=3, side=64) for s in (1, 1, 2))
    assert torch.equal(one.frames_VTSS3, same.frames_VTSS3)
    assert torch.equal(one.masks_VOTSS, same.masks_VOTSS)
    assert not torch.equal(one.masks_VOTSS, other.masks_VOTSS)
    assert one.frames_VTSS3.shape == (2, 1, 64, 64, 3)
    assert one.masks_VOTSS.shape == (2, 3, 1, 64, 64)


def test_each_mask_is_what_one_colour_covers() -> None:
    batch = drill_batch(seeded(3), clips=12, objects=3, side=64)
    assert (batch.masks_VOTSS.sum(1) <= 1).all()
    for clip in range(12):
        frame_SS3 = batch.frames_VTSS3[clip, 0].float()
        for mask_SS in batch.masks_VOTSS[clip, :, 0]:
            if mask_SS.sum() > 30:      # the film of noise has a deviation of at most 12 levels
                assert frame_SS3[mask_SS].std(0).max() < 14


def test_noise_has_the_shape_of_features(nano: SAM2Base) -> None:
    batch = drill_batch(seeded(4), clips=2, objects=2, side=64)
    noise, features = noise_features(nano, batch, seeded(5)), nano.encode_image(batch.frame(0))
    assert noise.vision_BChw.shape[1:] == features.vision_BChw.shape[1:]
    assert [x.shape[1:] for x in noise.high_res] == [x.shape[1:] for x in features.high_res]
    assert len(noise) == 4


def test_a_drill_is_of_stills() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        Stage("x", steps=1, frames=4, clips=1, objects=1, learning_rate=1e-3, drill="blind")
    with pytest.raises(ValueError, match="drill='loud'"):
        Stage("x", steps=1, frames=1, clips=1, objects=1, learning_rate=1e-3, drill="loud")
