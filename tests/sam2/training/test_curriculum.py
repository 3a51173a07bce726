"""Drills: shapes that do not share pixels, plain in their pictures, the same for the same seed."""

from dataclasses import replace

import pytest
import torch

from sam2.modeling.sam2_base import SAM2Base
from sam2.training.curriculum import Shown, drill_batch, load, noise_features, side_of
from sam2.training.recipe import Stage
from tests.sam2.training.tiny import MIXED, RECIPE, SCENES, STILLS


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


def test_a_process_gets_its_share_of_what_the_step_shows() -> None:
    recipe = replace(RECIPE, stages=(MIXED,), seed=1)
    assert len(Shown(recipe, SCENES, world=2)) == 8
    for step in range(4):
        stage = recipe.shown_at(step)
        first, second = (Shown(recipe, SCENES, world=2)[2 * step + rank] for rank in range(2))
        assert first.masks_VOTSS.shape == second.masks_VOTSS.shape == (stage.clips // 2, stage.objects, stage.frames, 64, 64)
        assert not torch.equal(first.frames_VTSS3, second.frames_VTSS3)


@pytest.mark.parametrize("stage", [STILLS, MIXED, replace(STILLS, drill="plain")], ids=["stills", "mixed", "drill"])
def test_a_later_start_sees_the_same(stage: Stage) -> None:
    recipe = replace(RECIPE, stages=(stage,), seed=1)
    whole = list(load(recipe, stage, SCENES, 0, 4, 0))
    later = list(load(recipe, stage, SCENES, 2, 2, 0))
    assert (len(whole), len(later)) == (4, 2)
    for before, after in zip(whole[2:], later, strict=True):
        assert torch.equal(before.frames_VTSS3, after.frames_VTSS3)
        assert torch.equal(before.masks_VOTSS, after.masks_VOTSS)


def test_the_side_is_the_recipes_or_the_networks_own() -> None:
    assert side_of(RECIPE) == 64
    assert side_of(replace(RECIPE, image_size=None)) == 384
