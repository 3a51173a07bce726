"""What steps see: a share of a step's clips for each process, stills between clips, and the same whoever draws."""

from dataclasses import replace

import pytest
import torch

from sam2.training.loading import Shown, load, side_of
from sam2.training.recipe import Stage
from tests.sam2.training.tiny import MIXED, RECIPE, SCENES, STILLS


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
