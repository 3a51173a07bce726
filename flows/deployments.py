"""What `infra/prefect.yaml` deploys: the flows behind parameters that Prefect's page shows, checks and can run again.

Parameters become overrides for the loader that the command line has. Nothing secret is among them: S3's keys and the
queue's address (LABELING_REVIEW_URL) come from the worker's environment.

What is heavy is imported where it is used: a worker loads this module to see whether a cancelled run has hooks, and says
*Cancelled* only then.
"""

import atexit
import logging
import os
import time
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeVar

from prefect import flow
from prefect._internal.control_listener import get_intent
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from flows.run.prefect_page import show_log
from labeling.errors import StoreBusy

if TYPE_CHECKING:
    from flows.run.outcome import Outcome
    from labeling.config import LabelConfig

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_AGAIN_S = 15.0


class Settings(BaseModel):
    """Which dataset, by which network and rules; `overrides` are any others, as on the command line."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    source_uri: str = Field(description="s3://bucket/prefix or a folder of videos")
    prompts_uri: str = Field(description="The prompt table: JSONL, CSV or Parquet")
    store_root: str = Field(description="The dataset's root")
    model: Literal[
        "nano", "tiny", "small", "base_plus", "large", "sam2_tiny", "sam2_small", "sam2_base_plus", "sam2_large"
    ] = Field(default="base_plus", description="Larger networks follow better and take longer; nano needs no checkpoint")
    checkpoint: str = Field(default="", description="The weights' file, as workers see it; empty for nano's own")
    tracker: Literal["samurai", "sam2", "dam4sam"] = Field(
        default="samurai",
        description="samurai follows motion too, sam2 appearance alone, dam4sam remembers what tells look-alikes apart",
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="bf16 is faster on GPUs, and a little less exact")
    qc: Literal["default", "strict", "off"] = Field(default="default", description="How much reviewers see; off accepts all")
    cluster: Literal["laptop", "ray"] = Field(default="ray", description="ray joins a cluster; laptop: this one machine")
    overrides: list[str] = Field(default=[], description="e.g. run.timeout_s=7200")

    def load(self) -> "LabelConfig":
        """Return the configuration that a command line with these settings would get; raises BadConfiguration."""
        places = [f"source.uri={self.source_uri}", f"prompts.uri={self.prompts_uri}", f"store.root={self.store_root}"]
        choices = [f"{name}={getattr(self, name)}" for name in ("model", "tracker", "precision", "qc", "cluster")]
        weights = [f"model.checkpoint={self.checkpoint}"] if self.checkpoint else []
        from flows.configure import load_config, require_settings

        show_log()
        config = load_config([*places, *choices, *weights, "run.progress=false", *self.overrides])
        require_settings(config, "source.uri", "prompts.uri", "store.root")
        return config


@flow(name="nightly", flow_run_name="{settings.store_root}")
def nightly(settings: Settings, wait_for_root_s: float = 3600) -> State[None]:
    """Label what is due, judge it, publish a snapshot, open reviews and write the report.

    Args:
        settings: Which dataset, by which network and rules.
        wait_for_root_s: Seconds to wait while another run writes the root, before this one fails with that run's name.
    """
    from flows.label_dataset import label_dataset

    config = settings.load()
    return told(when_free(lambda: label_dataset.fn(config), wait_for_root_s))


@flow(name="review-apply", flow_run_name="{settings.store_root}")
def review_apply(settings: Settings, wait_for_root_s: float = 3600) -> State[None]:
    """Track again what reviewers corrected, and nothing else that is due.

    Args:
        settings: Which dataset, by which network and rules.
        wait_for_root_s: Seconds to wait while another run writes the root, before this one fails with that run's name.
    """
    from flows.apply_reviews import apply_reviews

    config = settings.load()
    applied = when_free(lambda: apply_reviews.fn(config), wait_for_root_s)
    return Completed(message="no correction waits") if applied.outcome is None else told(applied.outcome)


@flow(name="qc", flow_run_name="{settings.store_root}")
def recompute_qc(settings: Settings, wait_for_root_s: float = 3600) -> State[None]:
    """Judge every masklet again by the present rules, from stored signals, into a new snapshot; nothing is tracked.

    Args:
        settings: Which dataset, by which network and rules.
        wait_for_root_s: Seconds to wait while another run writes the root, before this one fails with that run's name.
    """
    from flows.judge_again import judge_again

    config = settings.load()
    snapshot = when_free(lambda: judge_again(config, Console(quiet=True)), wait_for_root_s)
    counts = ", ".join(f"{name} {snapshot.counts[name]}" for name in ("accept", "review", "reject"))
    return Completed(message=f"{snapshot.name}: {counts}")


@flow(name="backfill-parts", flow_run_name="{settings.store_root}")
def backfill(
    settings: Settings,
    first_day: date | None = None,
    last_day: date | None = None,
    pattern: str = "",
    prefixes: list[str] = [],  # noqa: B006
    dry_run: bool = True,
    max_dead_letter_share: float = 0.2,
    wait_for_root_s: float = 3600,
) -> State[None]:
    """Label what is there already: days from `first_day` to `last_day` by `pattern`, or `prefixes`, a run for each.

    Args:
        settings: Which dataset, by which network and rules.
        first_day: The first day to label; needs last_day and pattern.
        last_day: The last day to label, itself included.
        pattern: Where a day's videos are, with strftime's letters: cam*/%Y/%m/%d/**
        prefixes: In the place of days: folders under the source, a run for each.
        dry_run: Say how much is due and how long it would take, and label nothing.
        max_dead_letter_share: A run whose dead letters are a larger share of its videos ends the backfill.
        wait_for_root_s: Seconds to wait while another run writes the root, before this one fails with that run's name.
    """
    from flows import backfill as backfill_module

    share = f"run.max_dead_letter_share={max_dead_letter_share}"
    config = settings.model_copy(update={"overrides": [*settings.overrides, share]}).load()
    days = backfill_module.Days(first_day, last_day, pattern) if first_day and last_day else None
    forecast = backfill_module.look_ahead(config, backfill_module.globs_of(config, days=days, prefixes=prefixes))
    hours = "unknown" if forecast.wall_hours is None else f"{forecast.wall_hours:.1f}"
    ahead = f"{forecast.num_due} videos due in {len(forecast.due_parts)} parts, hours: {hours}"
    log.info(ahead)
    if dry_run:
        return Completed(message=ahead)
    done = when_free(lambda: backfill_module.backfill.fn(config, forecast), wait_for_root_s)
    if done.stopped:
        return Failed(message=done.stopped)
    return Completed(message=f"{done.finished} videos in {len(done.outcomes)} parts; dead letters: {dict(done.dead) or 'none'}")


def told(outcome: "Outcome") -> State[None]:
    """Return the state that a run ends in, with its figures: failed where the budget for dead letters stopped it."""
    if outcome.stopped:
        return Failed(message=outcome.stopped)
    done, dead = outcome.summary, ", ".join(f"{count} {reason}" for reason, count in outcome.dead_letters.items())
    return Completed(
        message=f"run {outcome.run_id} -> {outcome.snapshot}: {done.num_jobs - done.num_failed} videos labelled, "
        f"{outcome.skipped} had nothing due, dead letters: {dead or 'none'}"
    )


def when_free(work: Callable[[], T], wait_s: float) -> T:
    """Do `work` when nobody else writes the root: deployments of one root run one after another.

    Raises:
        StoreBusy: it was not free for `wait_s` seconds; the message names the holder.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            return work()
        except TerminationSignal:
            if get_intent() == "cancel":
                atexit.register(leave_at_once)
            raise
        except StoreBusy as error:
            if time.monotonic() >= give_up_at:
                raise
            log.info("waiting: %s", error)
        time.sleep(LOOK_AGAIN_S)


def leave_at_once() -> None:
    """End this process, whose run was cancelled and has let go of all: taking torch and Ray apart would hold up its worker."""
    logging.shutdown()
    os._exit(0)
