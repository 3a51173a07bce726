"""`labeling evaluate`, put together: clips with true masks, a predictor or a folder of results, and what is left behind."""

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.configure import as_dict
from flows.learn.config import EvaluateConfig
from flows.learn.data import DRAWN_FRAMES, open_source
from flows.learn.davis import compared, videos_with_truth
from flows.learn.evaluate import ClipResult, Evaluation, collect, tracked
from flows.learn.evaluation_output import WorstStrips, print_evaluation, write_numbers
from flows.run.display import display
from flows.run.out_folder import out_folder
from labeling.errors import BadConfiguration
from labeling.track.predictor import UNTRAINED, arithmetic, build_predictor, default_device, recipe_of

log = logging.getLogger(__name__)

Seen = Callable[[Evaluation, ClipResult], None]
Described = dict[str, Any]


def run_evaluation(config: EvaluateConfig, console: Console) -> Evaluation:
    """Measure what a configuration names, print it, and write it into `out` where that is given.

    Raises:
        BadConfiguration: what cannot be read or built, or an `out` that holds other files.
        KeyboardInterrupt: after what was measured until then is printed and written.
    """
    with out_folder(config.out) as folder:
        strips = WorstStrips(config.pictures if folder else 0)
        evaluation, described = _measure(config, strips)
        if folder is not None:
            write_numbers(folder, evaluation, {"config": as_dict(config), **described})
            strips.write(folder / "pictures")
    made_by = config.tracker.name if config.predictions is None else Path(config.predictions).name
    print_evaluation(evaluation, console, worst=config.worst, tracker=made_by)
    if described.get("recipe", {}).get("checkpoint_sha256") == UNTRAINED:
        console.print("[yellow]the network ran with random weights: these numbers say nothing of a trained one[/]")
    if config.out is not None:
        console.print(f"{config.out}: tracks.jsonl, summary.json, pictures", markup=False, soft_wrap=True)
    if evaluation.interrupted:
        raise KeyboardInterrupt
    return evaluation


def _measure(config: EvaluateConfig, strips: WorstStrips) -> tuple[Evaluation, Described]:
    if config.predictions is not None:
        return _compare(config, strips), {}
    if config.data.name in DRAWN_FRAMES and config.data.count is None:
        raise BadConfiguration(f"data={config.data.name} goes on without end: give data.count=...")
    recipe, device = recipe_of(config.model, config.precision, config.tracker), default_device()
    source = open_source(config.data, whole=True)
    predictor = build_predictor(recipe, config.model.checkpoint, device=device)
    num_frames = config.num_frames or DRAWN_FRAMES.get(config.data.name, sys.maxsize)
    results = tracked(source, predictor, prompt=config.prompt, num_frames=num_frames, objects=config.objects)
    with arithmetic(recipe.precision, device=device), _progress(len(source), config.progress, strips) as seen:
        evaluation = collect(results, seen=seen)
    return evaluation, {"recipe": dataclasses.asdict(recipe), "device": device}


def _compare(config: EvaluateConfig, strips: WorstStrips) -> Evaluation:
    videos = videos_with_truth(config.data)
    folder, root = Path(str(config.predictions)).expanduser(), Path(config.data.root).expanduser()
    results = compared(folder, root, videos, num_frames=config.num_frames, objects=config.objects)
    with _progress(len(videos), config.progress, strips) as seen:
        return collect(results, seen=seen)


@contextmanager
def _progress(total: int, enabled: bool, strips: WorstStrips) -> Iterator[Seen]:
    """Show how far it is while the block runs."""
    with display("clips", total, log, bar=enabled, lines=enabled) as line:
        def seen(evaluation: Evaluation, result: ClipResult) -> None:
            strips.add(result)
            figures = _so_far(evaluation)
            line.show(evaluation.num_clips, figures, f"{evaluation.num_clips} of {total} clips, {figures}")

        yield seen


def _so_far(evaluation: Evaluation) -> str:
    failed = f", {len(evaluation.failed)} failed" if evaluation.failed else ""
    if not evaluation.tracks:
        return f"nothing measured yet{failed}"
    mean = sum(track.j_and_f for track in evaluation.tracks) / len(evaluation.tracks)
    return f"J&F {mean:.3f} over {len(evaluation.tracks)} tracks{failed}"
