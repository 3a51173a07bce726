"""`labeling train`: a network learns from labelled clips; stopped or killed, the same command goes on."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console

from flows.learn.config import StageConfig, TrainConfig
from flows.learn.data import open_source, training_data
from flows.learn.train_ray import train_replicas
from flows.run.display import display
from labeling.errors import BadConfiguration
from labeling.track.predictor import default_device
from sam2.checkpoint import embedded_weights
from sam2.training.curves import draw_curves
from sam2.training.recipe import Recipe, Stage
from sam2.training.trainer import CHECKPOINT, METRICS, WEIGHTS, StepReport, train
from sam2.variants import find_config

log = logging.getLogger(__name__)

CURVES = "curves.png"
Show = Callable[[StepReport], None]


def train_network(config: TrainConfig, console: Console) -> bool:
    """Train until the recipe is done, `stop_after` steps are, or a signal asks to stop; return whether none asked.

    Everything lies in `out`, and what is there is gone on from. Raises BadConfiguration for a value that no training
    can use, and where `out` holds a run of another recipe.
    """
    recipe, folder = recipe_of(config), Path(config.out).expanduser()
    device = config.device or default_device()
    check_device(device, recipe.precision)
    begun = steps_done(folder)
    console.print(f"{folder}: {_begins(begun, recipe)}, {recipe.model} on {config.data.name}", soft_wrap=True)
    try:
        whole = _train_together(config, recipe) if config.replicas > 1 else _train_here(config, recipe, folder, device)
    finally:
        _draw(folder)
    done = steps_done(folder)
    ends = "done" if done >= recipe.total_steps else f"the same command goes on from step {done}"
    console.print(f"{folder}: {done} of {recipe.total_steps} steps; {ends}", soft_wrap=True)
    return whole


def recipe_of(config: TrainConfig) -> Recipe:
    """Turn a configuration into the recipe that the trainer follows; BadConfiguration names what does not fit."""
    _check(config)
    values, model = asdict(config.recipe), config.model
    name, _ = values.pop("name"), values.pop("from_checkpoint")
    try:
        find_config(model.config)
        stages = [asdict(_stage(key, stage, config)) for key, stage in config.recipe.stages.items()]
        others = {
            "model": model.config, "init": _weights(config), "image_size": model.image_size, "precision": config.precision.name,
        }
        return Recipe.from_dict({**values, **others, "stages": stages})
    except ValueError as error:
        raise BadConfiguration(f"recipe={name}: {error}") from error


def check_device(device: str, precision: str) -> None:
    """Refuse a device that is not here."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise BadConfiguration(f"device is {device!r}; expected cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise BadConfiguration(f"device is {device!r}, and this machine has no GPU that torch can use; expected cpu")
    if kind == "cpu" and precision != "fp32":
        log.warning("precision=%s is slower than fp32 on most CPUs", precision)


def steps_done(folder: Path) -> int:
    """Return how many steps a folder's checkpoint has behind it; 0 without one."""
    path = folder / CHECKPOINT
    if not path.is_file():
        if (folder / WEIGHTS).exists():
            raise BadConfiguration(
                f"out is {str(folder)!r}, which holds {WEIGHTS} and no {CHECKPOINT} of a training; expected a new folder or a "
                "training's own"
            )
        return 0
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"])
    except Exception as error:
        raise BadConfiguration(f"{path} cannot be read as a checkpoint of a training: {error}") from error


def _check(config: TrainConfig) -> None:
    if not config.out:
        raise BadConfiguration("out is not set: give out=FOLDER, where checkpoints, weights and metrics go")
    at_least = {"workers": (config.workers, 0), "replicas": (config.replicas, 1), "stop_after": (config.stop_after, 1)}
    for name, (value, least) in at_least.items():
        if value is not None and value < least:
            raise BadConfiguration(f"{name} is {value}; expected {least} or more")
    side = config.model.image_size
    if side is not None and (side < 64 or side % 64):
        raise BadConfiguration(f"model.image_size is {side}; expected a multiple of 64")
    if config.recipe.from_checkpoint and _weights(config) is None:
        raise BadConfiguration(
            f"recipe={config.recipe.name} begins with weights: give model.checkpoint=FILE in the released format "
            f"(`labeling checkpoints list` names those that can be fetched), or another recipe"
        )


def _stage(name: str, stage: StageConfig, config: TrainConfig) -> Stage:
    given = {key: value for key, value in asdict(config.stage).items() if value is not None}
    checked = Stage(name=name, **{**asdict(stage), **given})
    shared = {"clips": checked.clips, **({"stills_clips": checked.stills_clips} if checked.stills_share else {})}
    for key, value in shared.items():
        if value % config.replicas:
            raise BadConfiguration(
                f"recipe.stages.{name}.{key} is {value}, and {config.replicas} replicas share them; expected a multiple"
            )
    return checked


def _weights(config: TrainConfig) -> str | None:
    """Return the file that training begins with: the one given, or the package's own where the recipe wants weights."""
    if not config.model.checkpoint:
        packaged = embedded_weights(config.model.config) if config.recipe.from_checkpoint else None
        return None if packaged is None else str(packaged)
    path = Path(config.model.checkpoint).expanduser()
    if not path.is_file():
        raise BadConfiguration(f"model.checkpoint is {config.model.checkpoint!r}; expected a file that this machine can read")
    return str(path)


def _begins(done: int, recipe: Recipe) -> str:
    return f"going on from step {done} of {recipe.total_steps}" if done else f"{recipe.total_steps} steps from the beginning"


def _train_here(config: TrainConfig, recipe: Recipe, folder: Path, device: str) -> bool:
    source = open_source(training_data(config.data))
    reports = train(recipe, source, folder, device=device, workers=config.workers, stop_after=config.stop_after)
    try:
        with _asked_to_stop() as asked, _shown(recipe, enabled=config.progress) as show:
            for report in reports:
                show(report)
                if asked():
                    return False
    except ValueError as error:
        raise BadConfiguration(str(error)) from error
    finally:
        reports.close()     # type: ignore[attr-defined]
    return True


def _train_together(config: TrainConfig, recipe: Recipe) -> bool:
    train_replicas(config, recipe)
    return True


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl+C or SIGTERM wait for the step's end, so that nothing learnt is lost; a second one does not."""
    signals: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown(recipe: Recipe, *, enabled: bool) -> Iterator[Show]:
    """Show steps as they are done; the last one is in the log."""
    total = recipe.total_steps
    with display("steps", total, log, bar=enabled, lines=enabled) as line:
        def show(report: StepReport) -> None:
            text = f"step {report.step} of {total}, {report.stage}, {_figures(report)}"
            line.show(report.step, _figures(report), text, unit=report.stage, last=report.step == total)

        yield show


def _figures(report: StepReport) -> str:
    losses = report.losses
    return f"loss {losses['total']:.3f}  IoU {losses['true_iou']:.3f}  {report.seconds:.2f} s/step"


def _draw(folder: Path) -> None:
    """Draw the curves; a training is never lost to its picture."""
    try:
        draw_curves(folder / METRICS, folder / CURVES)
    except (OSError, ValueError) as error:
        log.warning("%s was not drawn: %s", folder / CURVES, error)
