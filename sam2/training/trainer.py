"""Training, a step at a time; killed at any moment, it goes on from its last checkpoint as if nothing had happened.

A step's examples, prompts and learning rate follow from the seed and the step's number alone, so that a resumed run
sees what an unbroken one would have seen.
"""

import ctypes
import json
import platform
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sam2.checkpoint import load_weights
from sam2.modeling.sam2_base import SAM2Base
from sam2.overrides import apply_overrides
from sam2.training.batches import Batch
from sam2.training.checkpoints import load_checkpoint, save_checkpoint, save_weights
from sam2.training.clip import ClipSource
from sam2.training.curriculum import load
from sam2.training.losses import Losses, losses_of, mean_losses
from sam2.training.optimizer import Optimizers, learning_rate
from sam2.training.recipe import PROMPT_KINDS, Recipe, Stage
from sam2.training.unroll import Answer, answer_clips, answer_stills
from sam2.variants import find_config

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3        # of mallopt(3)
LARGEST_INT = 2**31 - 1

METRICS, CHECKPOINT, WEIGHTS = "metrics.jsonl", "checkpoint.pt", "weights.pt"


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did; `step` counts those that are done."""

    step: int
    stage: str
    learning_rate: float
    losses: dict[str, float]
    grad_norm: float
    seconds: float


@dataclass
class Run:
    """A run between two steps: everything that a checkpoint holds."""

    network: SAM2Base
    optimizer: Optimizers
    mean: dict[str, Tensor]
    step: int = 0


def train(
    recipe: Recipe, source: ClipSource, out: str | Path, *, device: str = "cpu", workers: int = 1, stop_after: int | None = None
) -> Iterator[StepReport]:
    """Train and yield a report of every step; checkpoint, weights and metrics lie in the folder `out`.

    Goes on from `out`'s checkpoint if there is one; closing the iterator writes one. `workers`: processes that draw
    examples. `stop_after`: the most steps to do now. In a process group every process takes a share of each step's
    clips of its own, and the first one writes. Raises ValueError where the checkpoint is of another recipe or a loss is
    no longer finite.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    run = resume(recipe, folder, device=device)
    last = recipe.total_steps if stop_after is None else min(recipe.total_steps, run.step + stop_after)
    if _is_first():
        _cut_metrics(folder / METRICS, run.step)
    while run.step < last:
        index, step_of_stage = recipe.stage_at(run.step)
        stage = recipe.stages[index]
        # a loader serves one stage: clips, frames and objects of a batch change with the next one
        many = min(stage.steps - step_of_stage, last - run.step)
        for batch in islice(load(recipe, stage, source, run.step, many, workers), many):
            report = do_step(recipe, run, batch.to(torch.device(device)))
            _write(recipe, run, report, folder, final=run.step == last)
            try:
                yield report
            except GeneratorExit:       # the caller stops here, between two steps: what was learnt is kept
                _save(recipe, run, folder)
                raise


def resume(recipe: Recipe, folder: Path, *, device: str) -> Run:
    """Return the run as `folder`'s checkpoint has it, or a fresh one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        # not by `build_sam2`: without `init` the weights are random, whatever the package holds
        network = SAM2Base(config=apply_overrides(find_config(recipe.model), _overrides(recipe)))
    if recipe.init is not None:
        load_weights(network, recipe.init, variant=network.config.variant)
    network = network.to(device).train()
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    run = Run(network, Optimizers(recipe, network), mean)
    checkpoint = load_checkpoint(folder / CHECKPOINT, asdict(recipe), device=device)
    if checkpoint is not None:
        network.load_state_dict(checkpoint["network"])
        run.optimizer.load_state_dict(checkpoint["optimizer"])
        run.mean, run.step = checkpoint["mean"], checkpoint["step"]
    return run


def do_step(recipe: Recipe, run: Run, batch: Batch) -> StepReport:
    """Learn from one batch."""
    began = time.perf_counter()
    index, step_of_stage = recipe.stage_at(run.step)
    stage = recipe.stages[index]
    # the rate follows from the step's number, not from a scheduler's state: there is nothing more to restore
    rate = learning_rate(stage, step_of_stage)
    run.optimizer.set_rate(rate)
    # dropout draws from torch's own generator: seeded by step, a resumed run drops what an unbroken one would
    torch.manual_seed(_seed(recipe, run.step))
    losses = _losses(recipe, recipe.shown_at(run.step), run, batch)
    # before the backward pass: one update by NaN would spoil weights, moments and running mean for good
    if not torch.isfinite(losses.total):
        raise ValueError(f"step {run.step}: the loss is {losses.total.item()}; lower learning_rate={rate:.3g}, or use fp32")
    run.optimizer.zero_grad()
    losses.total.backward()
    # shared first, clipped then: every process clips the same gradient by the same norm
    _share_gradients(run.network)
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), recipe.clip_norm)
    run.optimizer.step()
    # counted before the mean moves, whose decay depends on the steps that are done
    run.step += 1
    _follow_mean(recipe, run)
    return StepReport(run.step, stage.name, rate, losses.numbers(), float(norm), time.perf_counter() - began)


def _losses(recipe: Recipe, stage: Stage, run: Run, batch: Batch) -> Losses:
    device = run.network.device
    bf16 = torch.autocast(device.type, torch.bfloat16) if recipe.precision == "bf16" else nullcontext()
    # autocast covers the network alone; losses add up over all pixels of a mask
    with bf16:
        answers = _answers(recipe, stage, run, batch)
    side = recipe.loss_side or run.network.image_size
    truth = {answer.frame: batch.soft_truth(answer.frame, side) for answer in answers}
    parts = []
    for answer in answers:
        out = answer.decoded
        parts.append(
            losses_of(
                out.mask_logits_BMHW, out.predicted_iou_BM, out.object_score_logits_B1, truth[answer.frame], recipe.losses
            )
        )
    return mean_losses(parts)


def _answers(recipe: Recipe, stage: Stage, run: Run, batch: Batch) -> list[Answer]:
    seed = _seed(recipe, run.step)
    random = torch.Generator().manual_seed(seed)
    if stage.frames == 1:
        return answer_stills(run.network, batch, random, corrections=int(stage.corrections), blind=stage.drill == "blind")
    chance = np.random.default_rng(seed)
    kind = PROMPT_KINDS[chance.choice(len(PROMPT_KINDS), p=recipe.prompt_shares)]
    corrected = frozenset({int(chance.integers(1, stage.frames))} if chance.random() < stage.corrections else ())
    return answer_clips(run.network, batch, random, kind=kind, corrected=corrected)


def _seed(recipe: Recipe, step: int) -> int:
    rank = dist.get_rank() if dist.is_initialized() else 0
    return int(np.random.default_rng([recipe.seed, step, rank]).integers(2**62))


def _overrides(recipe: Recipe) -> list[str]:
    chosen = {"image_size": recipe.image_size, "memory_attention.layer.dropout": recipe.dropout}
    return [f"++model.{name}={value}" for name, value in chosen.items() if value is not None]


def _share_gradients(network: SAM2Base) -> None:
    """Take the mean of all processes' gradients, where there are several; in one message, small ones being slow."""
    if not dist.is_initialized():
        return
    parameters = list(network.parameters())
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = torch.tensor([p.grad is not None for p in parameters], dtype=grads[0].dtype, device=grads[0].device)
    together = torch.cat([*(grad.flatten() for grad in grads), used])
    dist.all_reduce(together)
    *means, used = (together / dist.get_world_size()).split([p.numel() for p in parameters] + [len(parameters)])
    for parameter, mean, share in zip(parameters, means, used.tolist(), strict=True):
        parameter.grad = mean.view_as(parameter) if share else None     # none of them used it: no decay either


@torch.no_grad()
def _follow_mean(recipe: Recipe, run: Run) -> None:
    """Move the running mean towards the weights; at first fast, so that random weights are soon forgotten."""
    decay = min(recipe.average, (1 + run.step) / (10 + run.step))
    torch._foreach_lerp_(list(run.mean.values()), list(run.network.state_dict().values()), 1 - decay)


def _write(recipe: Recipe, run: Run, report: StepReport, folder: Path, *, final: bool) -> None:
    if _is_first() and (final or report.step % recipe.log_every == 0):
        with (folder / METRICS).open("a") as file:
            file.write(json.dumps(asdict(report)) + "\n")
    if final or report.step % recipe.save_every == 0:
        _save(recipe, run, folder)


def _save(recipe: Recipe, run: Run, folder: Path) -> None:
    if not _is_first():
        return
    save_checkpoint(
        folder / CHECKPOINT,
        {
            "recipe": asdict(recipe), "network": run.network.state_dict(), "optimizer": run.optimizer.state_dict(),
            "mean": run.mean, "step": run.step,
        },
    )
    save_weights(folder / WEIGHTS, run.mean)


def _is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def _cut_metrics(path: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint: those steps will be done again."""
    if not path.is_file():
        return
    lines = [line for line in path.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in lines))


def keep_freed_memory() -> bool:
    """Make this process keep what it frees, at the price of a larger resident size; False where there is no glibc.

    By default glibc hands every large block back to the system, and each step pays to have its pages zeroed and mapped
    anew: on a small machine that took longer than the arithmetic.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((MMAP_THRESHOLD, LARGEST_INT), (TRIM_THRESHOLD, LARGEST_INT), (TOP_PAD, 2**28))
    return all(mallopt(name, value) == 1 for name, value in settings)
