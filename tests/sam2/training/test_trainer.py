"""Training: what a step learns, where rates stand, and that a killed run ends as an unbroken one does."""

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from sam2.build_sam import build_sam2, build_sam2_video_predictor
from sam2.training.batches import Batches
from sam2.training.checkpoints import save_weights
from sam2.training.clip import Clip
from sam2.training.recipe import Recipe, Stage
from sam2.training.trainer import do_step, resume, train
from tests.sam2.training.tiny import CLIPS, MIXED, RECIPE, SCENES, STILLS, run_to

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert run_to(folder) == [1, 2, 3, 4, 5, 6]
    torch.set_num_threads(threads)
    return folder


def held(folder: Path) -> dict[str, Mapping[str, Tensor]]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def assert_same_weights(first: Path, second: Path) -> None:
    """Equal to the last bit: the network, its running mean, and what is written out."""
    one, other = held(first), held(second)
    assert one["step"] == other["step"]
    written = [torch.load(folder / "weights.pt", weights_only=True)["model"] for folder in (first, second)]
    for left, right in [(one["network"], other["network"]), (one["mean"], other["mean"]), (written[0], written[1])]:
        assert list(left) == list(right)
        assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path, unbroken: Path) -> None:
    folder = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.sam2.training.tiny", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=TOP) as child:
        assert child.stdout is not None
        while child.stdout.readline() != "done 2\n":
            assert child.poll() is None, "the run ended before it could be killed"
        child.kill()
    assert child.returncode == -9
    begun = held(folder)["step"]
    assert 2 <= begun < 6
    assert run_to(folder) == list(range(begun + 1, 7))
    assert_same_weights(folder, unbroken)


def test_pieces_make_a_whole_and_log_each_step_once(tmp_path: Path, unbroken: Path) -> None:
    assert run_to(tmp_path, stop_after=2) == [1, 2]
    with (tmp_path / "metrics.jsonl").open("a") as file:      # a step that was logged and killed before its checkpoint
        file.write((tmp_path / "metrics.jsonl").read_text().splitlines()[-1].replace('"step": 2', '"step": 3') + "\n")
        file.write('{"step": 4, "st')
    stopped = train(RECIPE, SCENES, tmp_path, workers=0)
    next(stopped)
    stopped.close()
    assert held(tmp_path)["step"] == 3
    assert run_to(tmp_path) == [4, 5, 6]
    assert run_to(tmp_path) == []
    assert_same_weights(tmp_path, unbroken)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    before = [json.loads(line) for line in (unbroken / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["losses"] for row in rows] == [row["losses"] for row in before]
    assert {row["stage"] for row in rows} == {"stills", "clips"}


def test_a_close_between_checkpoints_keeps_the_step(tmp_path: Path) -> None:
    run = train(replace(RECIPE, save_every=100), SCENES, tmp_path, workers=0)
    next(run)
    assert not (tmp_path / "checkpoint.pt").exists()
    run.close()
    assert held(tmp_path)["step"] == 1


def test_stills_between_clips_come_back_alike_after_a_stop(tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(MIXED,), seed=1)
    assert {recipe.shown_at(step).frames for step in range(4)} == {1, 2}, "a seed that shows both"
    assert run_to(tmp_path / "whole", stages=(MIXED,), seed=1) == [1, 2, 3, 4]
    for _ in range(2):
        run_to(tmp_path / "parts", stages=(MIXED,), seed=1, stop_after=2)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_another_seed_gives_other_weights(tmp_path: Path, unbroken: Path) -> None:
    run_to(tmp_path, stop_after=1, seed=1)
    mine, theirs = held(tmp_path)["network"], held(unbroken)["network"]
    assert not torch.equal(mine["no_mem_embed"], theirs["no_mem_embed"])


def test_another_recipe_is_refused_and_longer_stages_are_not(tmp_path: Path) -> None:
    run_to(tmp_path, stop_after=1)
    with pytest.raises(ValueError, match=r"was made by another recipe: seed differ.*another folder, or start from its"):
        run_to(tmp_path, seed=2)
    assert run_to(tmp_path, stop_after=1, stages=(STILLS, CLIPS, replace(CLIPS, name="more"))) == [2]


class OneSquare:
    """A single clip: a bright square on a dark ground."""

    def __len__(self) -> int:
        return 1

    def clip(self, index: int, num_frames: int) -> Clip:
        frames = np.full((num_frames, 64, 64, 3), 30, np.uint8)
        masks = np.zeros((1, num_frames, 64, 64), bool)
        masks[..., 16:48, 16:48] = True
        frames[masks[0]] = 220
        return Clip(frames, masks, "square")


def test_steps_lower_the_loss_of_a_repeated_batch(tmp_path: Path) -> None:
    stage = replace(STILLS, steps=100, objects=1, warmup=0, corrections=0)
    recipe = replace(RECIPE, stages=(stage,))
    batch = Batches(OneSquare(), 0, 1, 1, 1, 64)[0]
    run = resume(recipe, tmp_path, device="cpu")
    losses = [do_step(recipe, run, batch).losses["total"] for _ in range(8)]
    assert min(losses[4:]) < 0.8 * losses[0]
    assert run.step == 8


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = resume(RECIPE, tmp_path, device="cpu")
    torch.nn.init.constant_(run.network.no_mem_embed, float("nan"))
    with pytest.raises(ValueError, match="step 0: the loss is nan; lower learning_rate=0.0005, or use fp32"):
        do_step(RECIPE, run, Batches(SCENES, 0, 1, 2, 1, 64)[0])


def test_the_mean_forgets_where_it_began(tmp_path: Path) -> None:
    run = resume(replace(RECIPE, average=0.0), tmp_path, device="cpu")
    do_step(replace(RECIPE, average=0.0), run, Batches(SCENES, 0, 1, 2, 1, 64)[0])
    for name, value in run.network.state_dict().items():
        torch.testing.assert_close(run.mean[name], value)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Path]:
    """Two steps on from a file in the released format (at 128 pixels, which no tensor's shape depends on)."""
    folder = tmp_path_factory.mktemp("tuned")
    torch.manual_seed(0)
    weights = build_sam2("sam2.1_hiera_t", device="cpu").state_dict()
    save_weights(folder / "released.pt", weights)
    stage = Stage("clips", steps=2, frames=2, clips=1, objects=1, learning_rate=5e-6, warmup=0)
    recipe = Recipe(
        "sam2.1_hiera_t", (stage,), init=str(folder / "released.pt"), image_size=128, encoder_share=0.6, average=0.0,
        loss_side=64,
    )
    reports = list(train(recipe, SCENES, folder / "out", workers=0))
    assert [math.isfinite(report.losses["total"]) for report in reports] == [True, True]
    return weights, folder / "out" / "weights.pt"


def test_a_tuned_released_variant_loads_where_the_released_one_does(tuned: tuple[dict[str, Tensor], Path]) -> None:
    before, path = tuned
    after = build_sam2_video_predictor("sam2.1_hiera_t", path, device="cpu").state_dict()
    moved = max(float((after[name] - value).abs().max()) for name, value in before.items())
    assert 0 < moved < 1e-4


def test_a_tuned_released_variant_has_the_released_names(tuned: tuple[dict[str, Tensor], Path]) -> None:
    listed = TOP.parent / "shared" / "parity" / "state_dicts" / "sam2.1_hiera_t.tsv"
    if not listed.is_file():
        pytest.skip("the list of released names and shapes is not at hand")
    mine = torch.load(tuned[1], weights_only=True)["model"]
    expected = dict(line.split("\t") for line in listed.read_text().splitlines())
    assert {name: "x".join(map(str, value.shape)) for name, value in mine.items()} == expected


def _two_steps(rank: int, folder: str) -> None:
    """Be one of two processes that train together, and keep what this one learnt."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    run = resume(RECIPE, Path(folder) / "none", device="cpu")
    for step in range(2):
        do_step(RECIPE, run, Batches(SCENES, 0, 1, 2, 1, 64)[step * 2 + rank])
    torch.save({"network": run.network.state_dict()}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def test_processes_of_a_group_hold_equal_weights(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_two_steps, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{k}.pt", weights_only=True)["network"] for k in range(2))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    alone = resume(RECIPE, tmp_path / "none", device="cpu").network.state_dict()
    assert any(not torch.equal(first[name], alone[name]) for name in first)


FREED = """
import resource, sys
import torch
from sam2.training.trainer import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.ones(4_000_000)
plain = faults()
assert keep_freed_memory()
torch.ones(4_000_000)
print(plain, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_second_block_costs_no_page_faults() -> None:
    told = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    plain, kept = map(int, told.stdout.split())
    assert kept < plain / 10, told.stdout
