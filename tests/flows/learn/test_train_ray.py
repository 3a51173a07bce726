"""Replicas that train together by Ray Train."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from flows.configure import load_training
from flows.learn.data import open_source, training_data
from flows.learn.train import recipe_of, steps_done
from flows.learn.train_ray import train_replicas
from labeling.errors import ClusterFailed
from sam2.build_sam import build_sam2
from sam2.training.recipe import Recipe
from sam2.training.trainer import train

WORDS = ["model.image_size=64", "data.size_hw=[64,64]", "stage.steps=1", "stage.clips=2", "stage.objects=1", "workers=0"]


def test_a_recipe_travels_as_plain_values() -> None:
    recipe = recipe_of(load_training(["out=x", "recipe=nano", *WORDS]))
    assert Recipe.from_dict(json.loads(json.dumps(asdict(recipe)))) == recipe


@pytest.mark.filterwarnings("ignore")       # Ray's own
@pytest.mark.usefixtures("ray_here")
def test_two_replicas_go_on_where_one_stopped(tmp_path: Path) -> None:
    config = load_training([*WORDS, f"out={tmp_path}", "replicas=2"])
    recipe = recipe_of(config)
    list(train(recipe, open_source(training_data(config.data)), tmp_path, workers=0, stop_after=1))
    before = torch.load(tmp_path / "weights.pt", weights_only=True)["model"]
    train_replicas(config, recipe)
    assert steps_done(tmp_path) == 2
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["stage"]) for row in rows] == [(1, "stills"), (2, "clips")]     # once each: one replica writes
    trained = build_sam2("sam2.1_nano", tmp_path / "weights.pt", device="cpu").state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in trained.values())
    assert any(not torch.equal(value, before[name]) for name, value in trained.items())


@pytest.mark.usefixtures("ray_here")
def test_more_replicas_than_fit_are_refused(tmp_path: Path) -> None:
    config = load_training([*WORDS, f"out={tmp_path}", "replicas=200", "stage.clips=200"])
    with pytest.raises(ClusterFailed, match="200 replicas want 200 CPUs and Ray has"):
        train_replicas(config, recipe_of(config))
