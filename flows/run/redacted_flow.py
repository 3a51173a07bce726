"""Flows whose parameters Prefect keeps without their secrets, and whose named errors are said once.

Apart from the page's log and figures: a worker that only looks for hooks loads those, and no configuration with them.
"""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect.flows import Flow

from flows.configure import shown_config
from flows.run.open_run import OpenRun
from flows.run.prefect_page import show_log
from flows.run.prefect_server import ensure_server, named_errors
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, ClusterFailed, LabelingError, StoreBusy
from labeling.logs import redact, redacted

P = ParamSpec("P")
R = TypeVar("R")

NAMED = (LabelingError, BadConfiguration, StoreBusy, ClusterFailed, ConnectionError)


class DiscreetFlow(Flow[P, R]):
    """A flow that runs with its parameters as they are, and has them kept with `***` in the place of secrets."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what Prefect's server is told of the parameters."""
        given = {name: value for name, value in parameters.items() if not isinstance(value, OpenRun)}
        shown = {name: shown_config(v) if isinstance(v, LabelConfig) else redacted(v) for name, v in given.items()}
        return super().serialize_parameters(shown)

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
