"""Stages by step, and values that no run could use."""

from dataclasses import replace

import pytest

from sam2.training.recipe import Recipe, Stage

STAGE = Stage("stills", steps=3, frames=1, clips=1, objects=1, learning_rate=1e-3)
RECIPE = Recipe("sam2.1_nano", (STAGE, replace(STAGE, name="clips", steps=2)))


def test_steps_fall_into_stages() -> None:
    assert RECIPE.total_steps == 5
    assert [RECIPE.stage_at(step) for step in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    with pytest.raises(ValueError, match="behind the last stage's end; expected one below 5"):
        RECIPE.stage_at(5)


def test_steps_of_clips_see_stills_as_seed_and_step_decide() -> None:
    mixed = replace(STAGE, name="clips", steps=400, frames=4, stills_share=0.3, stills_clips=5, stills_objects=2)
    recipe = replace(RECIPE, stages=(STAGE, mixed), seed=7)
    shown = [recipe.shown_at(step) for step in range(recipe.total_steps)]
    assert shown[:3] == [STAGE] * 3
    stills = [stage for stage in shown[3:] if stage.frames == 1]
    assert 90 <= len(stills) <= 150
    assert set(shown[3:]) == {mixed, mixed.as_stills}
    assert (stills[0].clips, stills[0].objects, stills[0].name) == (5, 2, "clips")
    assert [recipe.shown_at(step) for step in (3, 77, 402)] == [shown[step] for step in (3, 77, 402)]
    assert [replace(recipe, seed=8).shown_at(step) for step in range(403)] != shown


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 0}, "stage stills: steps=0; expected at least 1"),
        ({"frames": 0}, "frames=0"), ({"clips": 0}, "clips=0"), ({"objects": -1}, "objects=-1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"), ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"warmup": -1}, "warmup=-1"), ({"last_share": 1.5}, "last_share=1.5"), ({"corrections": -1}, "corrections=-1"),
        ({"stills_share": 0.5}, "stills_share=0.5 with frames=1; expected a share of a clips stage's steps"),
        ({"frames": 4, "stills_share": 1.0}, "stills_share=1.0"), ({"stills_clips": 0}, "stills_clips=0"),
        ({"stills_objects": 0}, "stills_objects=0"),
    ],
)
def test_a_stage_refuses(changed: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(STAGE, **changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stages": ()}, "stages is empty"), ({"precision": "fp8"}, "precision='fp8': expected one of fp32, bf16"),
        ({"prompt_shares": (0.5, 0.5, 0.5)}, "add up to 1"), ({"prompt_shares": (1.5, -0.5, 0.0)}, "prompt_shares"),
        ({"average": 1.0}, "average=1.0"), ({"clip_norm": 0}, "clip_norm=0"),
        ({"save_every": 0}, "save_every=0"), ({"log_every": 0}, "log_every=0"),
    ],
)
def test_a_recipe_refuses(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(RECIPE, **changed)
