"""What the commands of a run share: label what is due, say what that came to, and end with the exit code that it means."""

import typer

from flows.cli.console import console
from flows.cli.exits import DEAD_LETTERS, OK
from flows.run.open_run import open_run
from flows.run.outcome import Outcome, print_outcome
from labeling.config import LabelConfig


def label_due(config: LabelConfig, only: list[str] | None = None) -> Outcome:
    """Label what is due under one root; Prefect and Ray are loaded and started only where something is.

    `only` names videos by key. Raises StoreBusy, and what the flow `label_dataset` raises.
    """
    with open_run(config) as run:
        run.make_plan(only)
        if run.unchanged is not None:
            return run.end_unchanged()
        from flows.label_dataset import label_dataset

        return label_dataset(config, only, run)


def end_with(outcome: Outcome, config: LabelConfig) -> typer.Exit:
    """Print what a run came to and return the exit that means it."""
    print_outcome(outcome, config, console)
    return typer.Exit(DEAD_LETTERS if outcome.dead_letters else OK)
