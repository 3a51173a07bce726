"""What can be set of a training is what `sam2.training.recipe` knows, with its defaults."""

import subprocess
import sys
from dataclasses import asdict, fields

from flows.learn.config import EveryStageConfig, LossConfig, RecipeConfig, StageConfig
from sam2.training.recipe import LossWeights, Recipe, Stage


def test_settings_are_the_fields_of_the_recipe_with_its_defaults() -> None:
    stage, recipe = Stage(name="one"), Recipe(model="sam2.1_nano", stages=(Stage(name="one"),))
    assert asdict(StageConfig()) == {name: value for name, value in asdict(stage).items() if name != "name"}
    assert asdict(LossConfig()) == asdict(LossWeights())
    settings = asdict(RecipeConfig())
    assert (settings.pop("name"), settings.pop("from_checkpoint"), settings.pop("stages")) == ("short", False, {})
    elsewhere = {"model", "stages", "init", "image_size", "precision"}
    assert settings == {name: value for name, value in asdict(recipe).items() if name not in elsewhere}


def test_what_every_stage_may_be_told_is_null_until_it_is() -> None:
    assert set(asdict(EveryStageConfig()).values()) == {None}
    assert {f.name for f in fields(EveryStageConfig)} < {f.name for f in fields(Stage)}


def test_the_command_loads_no_network_until_it_needs_one() -> None:
    script = "import sys, flows.cli.learn; print([name for name in ('torch', 'prefect', 'matplotlib') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
