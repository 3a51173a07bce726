"""What Prefect's page shows of a run beside its state: our log lines, and the run's figures as artifacts."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging.handlers import APILogHandler

from labeling.logs import redact

if TYPE_CHECKING:
    from flows.run.outcome import Outcome
    from flows.run.progress import RunProgress

log = logging.getLogger(__name__)

OURS = ("flows", "labeling")
AWAY = (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError)


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def show_log() -> None:
    """Have what our own rooms say shown on the page of the run that they say it in; called again, it does no harm."""
    for name in OURS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
            handler = APILogHandler(level=logging.INFO)
            handler.setFormatter(_Redacted())
            handler.addFilter(lambda record: FlowRunContext.get() is not None)
            logger.addHandler(handler)


def show_figures(outcome: "Outcome", root: str) -> None:
    """Put a run's verdicts (a table) and its summary (markdown) on its page, under keys that stay the same for a root.

    A server that does not take them costs a warning and no run.
    """
    if FlowRunContext.get() is None:
        return
    try:
        whole = f"The whole dataset at {outcome.snapshot}"
        create_table_artifact(verdicts_of(outcome.counts), key=artifact_key("verdicts", root), description=whole)
        create_markdown_artifact(summary_of(outcome, root), key=artifact_key("run", root), description=f"Run {outcome.run_id}")
    except AWAY as error:
        log.warning("the run's figures are not on Prefect's page: %s", error)


class ProgressArtifact:
    """How far a run's labelling is, on its page. A server that does not take it costs a warning."""

    def __init__(self, root: str) -> None:
        self.id: UUID | None = None         # none outside of a flow
        if FlowRunContext.get() is None:
            return
        try:
            key = artifact_key("progress", root)
            self.id = cast(UUID, create_progress_artifact(0.0, key=key, description="Videos that are over"))
        except AWAY as error:
            log.warning("how far the run is will not be on Prefect's page: %s", error)

    def move(self, progress: "RunProgress") -> None:
        """Show the share of the videos that are over."""
        if self.id is None:
            return
        try:
            share = 100.0 * progress.num_over / max(1, progress.num_due)
            update_progress_artifact(self.id, share, description=progress.line())
        except AWAY as error:
            log.warning("how far the run is was not moved on Prefect's page: %s", error)


def artifact_key(kind: str, root: str) -> str:
    """Return an artifact's key: lower-case letters, digits and dashes, the same for each run of a root."""
    return "-".join([kind, *re.findall(r"[a-z0-9]+", redact(root).lower())])


def verdicts_of(counts: Mapping[str, int]) -> list[dict[str, str | int]]:
    """Return the table of verdicts: how many masklets have each, and their share."""
    names = ("accept", "review", "reject")
    total = sum(counts.get(name, 0) for name in names)
    return [
        {"verdict": name, "masklets": counts.get(name, 0), "share": f"{counts.get(name, 0) / total:.1%}" if total else ""}
        for name in names
    ]


def summary_of(outcome: "Outcome", root: str) -> str:
    """Return a run's summary in markdown."""
    done = outcome.summary
    figures = {
        "run": outcome.run_id, "root": redact(root), "snapshot": outcome.snapshot,
        "videos labelled": done.num_jobs - done.num_failed, "videos with nothing due": outcome.skipped,
        "objects": done.num_objects, "masks": done.num_masks,
        "workers": done.num_workers, "seconds": f"{done.wall_seconds:.0f}", "report": redact(outcome.report),
    }
    dead = [f"| {reason} | {count} |" for reason, count in outcome.dead_letters.items()]
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in figures.items())]
    letters = ["", "| dead letters | videos |", "|---|---|", *dead] if dead else ["", "No dead letters."]
    stopped = ["", f"**The run stopped:** {redact(outcome.stopped)}"] if outcome.stopped else []
    return "\n".join([*table, *letters, *stopped])
