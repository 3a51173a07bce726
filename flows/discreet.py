"""Flows whose parameters Prefect keeps and shows without their secrets."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect.flows import Flow

from flows.configure import shown_config
from labeling.config import LabelConfig
from labeling.redact import redacted

P = ParamSpec("P")
R = TypeVar("R")


class DiscreetFlow(Flow[P, R]):
    """A flow that runs with its parameters as they are, and has them kept with `***` in the place of secrets."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what Prefect's server is told of the parameters."""
        kept = {name: shown_config(v) if isinstance(v, LabelConfig) else redacted(v) for name, v in parameters.items()}
        return super().serialize_parameters(kept)


def discreet(**options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a discreet flow; `options` are those of Prefect's `flow`."""

    def made(function: Callable[P, R]) -> Flow[P, R]:
        return DiscreetFlow(function, **options)

    return made
