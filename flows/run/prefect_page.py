"""What Prefect's page shows of a run beside its state: our log lines, the run's figures as artifacts,
and errors without their secrets.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
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
from prefect.flows import Flow
from prefect.logging.handlers import APILogHandler

from flows.configure import shown_config
from flows.run.open_run import OpenRun
from flows.run.prefect_server import ensure_server, named_errors
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, ClusterFailed, LabelingError, StoreBusy
from labeling.logs import redact, redacted

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


P = ParamSpec("P")
R = TypeVar("R")

NAMED = (LabelingError, BadConfiguration, StoreBusy, ClusterFailed, ConnectionError)


class DiscreetFlow(Flow[P, R]):
    """A flow that runs with its parameters as they are, and has them kept with `***` in the place of secrets."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what Prefect's server is told of the parameters."""
        given = {name: value for name, value in parameters.items() if not isinstance(value, OpenRun)}
        kept = {name: shown_config(v) if isinstance(v, LabelConfig) else redacted(v) for name, v in given.items()}
        return super().serialize_parameters(kept)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow; raises Unavailable where Prefect's server cannot be reached or started."""
        ensure_server()
        show_log()
        for name in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).addFilter(without_traceback)
        for handler in logging.getLogger().handlers:
            handler.addFilter(not_said_again)
        with named_errors():
            return super().__call__(*args, **kwargs)


def without_traceback(record: logging.LogRecord) -> bool:
    """Take the traceback from a record of an error that names what to mend: it would say nothing more."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, NAMED):
        record.msg, record.args, record.exc_info, record.exc_text = redact(str(error)), (), None, None
        record.named = True
    return True


def not_said_again(record: logging.LogRecord) -> bool:
    """Keep from this process's own log what whoever called the flow says of the same error; the page shows it."""
    if record.name not in ("prefect.flow_runs", "prefect.task_runs"):
        return True
    return not getattr(record, "named", False) and not record.getMessage().startswith("Finished in state Failed(")


def discreet(**options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a discreet flow; `options` are those of Prefect's `flow`."""

    def made(function: Callable[P, R]) -> Flow[P, R]:
        return DiscreetFlow(function, **options)

    return made
