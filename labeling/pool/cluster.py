"""Ray: started in this process or joined by address, and how many actors fit into it."""

import math
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool.ray_process import ClusterFailed, options_for, shut_down, start, usable_cpus
from labeling.types import ErrorRecord, Job

__all__ = ["ClusterFailed", "NoWorkersLeft", "PoolStopped", "Seats", "open_cluster", "seats", "usable_cpus"]


class NoWorkersLeft(ClusterFailed):
    """Every worker's place was given up: `record` says why the last was, `not_done` which jobs have no receipt.

    `not_done` holds the rest of a list or other sized collection, and of another iterable what was pulled from it.
    """

    def __init__(self, message: str, record: ErrorRecord | None = None, not_done: tuple[Job, ...] = ()) -> None:
        super().__init__(message)
        self.record, self.not_done = record, not_done


class PoolStopped(RuntimeError):
    """The caller's `stop` was set; the actors are killed."""


@dataclass(frozen=True, slots=True)
class Seats:
    """How many actors a pool may start; `told` says why where that is fewer than were asked for."""

    count: int
    told: str = ""


@contextmanager
def open_cluster(cluster: ClusterConfig) -> Iterator[None]:
    """Have Ray for the block: as it is if it runs already, else joined by address, else started here.

    What was started or joined is left at the end, what ran before stays. SIGTERM ends the block by SystemExit(143)
    unless the program has a handler of its own.

    Raises:
        BadConfiguration: an address of Ray Client (`ray://`).
        ClusterFailed: Ray did not start or does not answer; the message says what to look at.
    """
    if ray.is_initialized():
        with _exit_on_sigterm():
            yield
        return
    options = options_for(cluster)
    with _exit_on_sigterm():
        let_go = start(options)
        _take_sigterm_back()
        try:
            yield
        finally:
            shut_down()
            let_go()


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that actors are killed, where nothing else handles it."""
    if not _on_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        # A generator may be closed on another thread than it began on.
        if _on_main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _take_sigterm_back() -> None:
    """Put Python's handler in front again: Ray's native one prints a stack trace and then calls it."""
    handler = signal.getsignal(signal.SIGTERM)
    if _on_main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def seats(cluster: ClusterConfig, nodes: Sequence[Mapping[str, Any]], num_jobs: int | None = None) -> Seats:
    """Say how many actors to start: what was asked for, at most what fits, at most one per job.

    `nodes` is what `ray.nodes()` returns. Ray would leave actors beyond that waiting for ever, without an error; with
    `cluster.max_actors` that is what is wanted: an autoscaler counts those that wait, and a node that joins takes them.

    Raises:
        BadConfiguration: an actor that asks for nothing, or for one and a half GPUs; two numbers of actors.
        ClusterFailed: no node can hold one actor, and none is waited for.
    """
    _check(cluster)
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fit = sum(_fit(cluster, node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive)
    wants = f"{cluster.cpus_per_actor:g} CPUs and {cluster.gpus_per_actor:g} GPUs"
    has = "; ".join(f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in alive) or "none"
    if cluster.max_actors is not None:
        count = cluster.max_actors if num_jobs is None else min(cluster.max_actors, max(1, num_jobs))
        waits = f"{fit} of {count} actors fit now, the others wait for nodes; there are: {has}"
        return Seats(count, waits if fit < count else "")
    if fit == 0:
        raise ClusterFailed(
            f"no actor fits: each wants {wants}, the cluster's nodes have: {has}. "
            "Lower cluster.cpus_per_actor or cluster.gpus_per_actor, or add nodes"
        )
    asked = fit if cluster.actors is None else cluster.actors
    told = f"{asked} actors asked for, {fit} fit: each wants {wants}, the cluster's nodes have: {has}" if asked > fit else ""
    return Seats(min(asked, fit, max(1, num_jobs) if num_jobs is not None else asked), told)


def _check(cluster: ClusterConfig) -> None:
    cpus, gpus = cluster.cpus_per_actor, cluster.gpus_per_actor
    if cpus < 0 or gpus < 0 or cpus + gpus <= 0:
        raise BadConfiguration(
            f"cluster.cpus_per_actor is {cpus} and cluster.gpus_per_actor {gpus}; expected one above 0, none below"
        )
    if gpus > 1 and gpus != int(gpus):
        raise BadConfiguration(f"cluster.gpus_per_actor is {gpus}; expected a part of one GPU or a whole number of them")
    for name, number in (("actors", cluster.actors), ("max_actors", cluster.max_actors)):
        if number is not None and number < 1:
            raise BadConfiguration(f"cluster.{name} is {number}; expected 1 or more, or null for as many as fit")
    if cluster.actors is not None and cluster.max_actors is not None:
        raise BadConfiguration(f"cluster.actors is {cluster.actors} and cluster.max_actors {cluster.max_actors}; expected one")


def _fit(cluster: ClusterConfig, cpus: float, gpus: float) -> int:
    """Return how many actors one node holds; parts of a GPU do not add up across GPUs."""
    room = [math.inf]
    if cluster.cpus_per_actor > 0:
        room.append(cpus / cluster.cpus_per_actor)
    if cluster.gpus_per_actor >= 1:
        room.append(gpus / cluster.gpus_per_actor)
    elif cluster.gpus_per_actor > 0:
        room.append(int(gpus) * math.floor(1 / cluster.gpus_per_actor + 1e-9))
    return math.floor(min(room) + 1e-9)
