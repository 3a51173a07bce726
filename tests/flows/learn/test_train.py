"""`labeling train`: from words to a recipe, a run that is stopped and goes on, and what it says."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from flows.cli import app as cli
from flows.cli.console import INTERRUPTED
from flows.configure import config_folder, load_training
from flows.learn.config import DataConfig
from flows.learn.data import KEPT_FOR_EVALUATION, training_data
from flows.learn.train import CURVES, recipe_of, train_network
from labeling.errors import BadConfiguration

TOP = Path(__file__).resolve().parents[3]
TINY = ["model.image_size=64", "data.size_hw=[64,64]", "stage.clips=1", "stage.objects=1", "workers=0", "device=cpu"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(*words: str) -> str:
    """Train in this process and return what was said."""
    console = Console(width=200, record=True, file=io.StringIO())
    assert train_network(load_training([*TINY, *words]), console)
    return console.export_text()


def test_a_run_in_pieces(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = trained(f"out={out}", "stage.steps=2", "stop_after=1")
    assert "4 steps from the beginning, sam2.1_nano on scenes" in said
    assert "1 of 4 steps; the same command goes on from step 1" in said
    said = trained(f"out={out}", "stage.steps=2")
    assert "going on from step 1 of 4" in said
    assert "4 of 4 steps; done" in said
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["stage"]) for row in rows] == [(1, "stills"), (2, "stills"), (3, "clips"), (4, "clips")]
    assert (out / CURVES).read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(BadConfiguration, match="was made by another recipe: seed, "):
        trained(f"out={out}", "stage.steps=3", "recipe.seed=5")


def test_a_signal_to_all_its_processes_waits_for_the_step_and_keeps_it(tmp_path: Path) -> None:
    out, environment = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "1"}
    words = ["train", *TINY, f"out={out}", "stage.steps=500", "recipe.save_every=1000", "workers=1"]
    program = "import sys; from flows.cli.app import run_command; sys.exit(run_command(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=TOP, env=environment, start_new_session=True, **pipes) as child:
        while not (out / "metrics.jsonl").is_file():
            assert child.poll() is None, child.stdout.read()
        os.killpg(child.pid, signal.SIGTERM)        # as a service manager and `timeout` do
        said, _ = child.communicate(timeout=200)
    assert child.returncode == INTERRUPTED, said
    step = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert step >= 1
    assert f"{step} of 1000 steps; the same command goes on from step {step}" in said.replace("\n", " ")
    assert (out / CURVES).is_file()


def test_nano_is_tuned_from_its_own_weights() -> None:
    recipe = recipe_of(load_training(["out=x", "model=nano", "recipe=finetune"]))
    assert recipe.init is not None
    assert recipe.init.endswith("sam2.1_nano.safetensors")
    assert recipe_of(load_training(["out=x", "model=nano", "recipe=nano"])).init is None


def test_words_become_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    recipe = recipe_of(
        load_training(
            ["out=x", "model=base_plus", f"model.checkpoint={tmp_path / 'w.pt'}", "recipe=finetune", "precision=bf16",
             "recipe.stages.clips8.steps=7", "stage.objects=2", "recipe.losses.focal=10"]
        )
    )
    assert (recipe.model, recipe.init, recipe.precision) == ("sam2.1_hiera_b+", str(tmp_path / "w.pt"), "bf16")
    stage, = recipe.stages
    assert (stage.name, stage.steps, stage.frames, stage.objects, stage.learning_rate) == ("clips8", 7, 8, 2, 5e-6)
    assert (recipe.encoder_share, recipe.losses.focal, recipe.losses.dice, recipe.average) == (0.6, 10.0, 1.0, 0.0)


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "recipe").glob("*.yaml")))
def test_every_recipe_is_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    config = load_training(["out=x", f"recipe={name}", f"model.checkpoint={tmp_path / 'w.pt'}"])
    recipe = recipe_of(config)
    assert config.recipe.name == name
    assert recipe.total_steps == sum(stage.steps for stage in config.recipe.stages.values())


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "data").glob("*.yaml")))
def test_every_group_of_data_is_one(name: str) -> None:
    assert load_training(["out=x", f"data={name}"]).data.name == name


def test_scenes_of_evaluations_are_not_trained_on() -> None:
    assert training_data(DataConfig("scenes")).first == KEPT_FOR_EVALUATION
    assert training_data(DataConfig("scenes", first=10**6)).first == 10**6
    assert training_data(DataConfig("davis")).first == 0
    for name in ("solids", "lookalikes"):
        with pytest.raises(BadConfiguration, match=f"'{name}', for evaluation alone"):
            training_data(DataConfig(name))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "out is not set: give out=FOLDER"),
        (["out=x", "model=tiny", "recipe=finetune"], "recipe=finetune begins with weights: give model.checkpoint=FILE"),
        (["out=x", "model.checkpoint=/no/such.pt"], "model.checkpoint is '/no/such.pt'; expected a file"),
        (["out=x", "recipe.stages.stills.steps=0"], "recipe=short: stage stills: steps=0; expected at least 1"),
        (["out=x", "recipe.prompt_shares=[1]"], "expected three shares"),
        (["out=x", "precision.name=fp8"], "precision='fp8'"),
        (
            [
                "out=x", "recipe=nano", "replicas=2", "recipe.stages.clips4.stills_share=0.5",
                "recipe.stages.clips4.stills_clips=3",
            ],
            "clips4.stills_clips is 3, and 2 replicas share them; expected a multiple",
        ),
        (["out=x", "replicas=2", "stage.clips=3"], "clips is 3, and 2 replicas share them; expected a multiple"),
        (["out=x", "replicas=0"], "replicas is 0; expected 1 or more"), (["out=x", "workers=-1"], "workers is -1"),
        (["out=x", "stop_after=0"], "stop_after is 0"), (["out=x", "model.image_size=100"], "model.image_size is 100"),
        (["out=x", "device=abacus"], "device is 'abacus'; expected cpu, cuda"),
        (["out=x", "data=davis"], "data=davis reads files: give data.root"),
        (["out=x", "model.config=sam9"], "sam9"), (["out=x", "data=mnist"], "mnist"), (["out=x", "lr=3"], "lr"),
    ],
    ids=lambda v: " ".join(v[1:]) if isinstance(v, list) else "",
)
def test_bad_words_exit_with_two(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run_command(["train", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(BadConfiguration, match=r"checkpoint.pt cannot be read as a checkpoint of a training"):
        trained(f"out={tmp_path}")


def test_weights_of_other_hands_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"years")
    with pytest.raises(BadConfiguration, match=r"no checkpoint\.pt of a training"):
        trained(f"out={tmp_path}", "stage.steps=1")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("weights.pt", b"years")]
