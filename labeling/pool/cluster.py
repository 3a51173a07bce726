"""Ray: started in this process or joined by address, and how many actors fit into it."""

import logging
import math
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray._raylet import Config  # type: ignore[attr-defined]

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.types import ErrorRecord, Job

log = logging.getLogger(__name__)

# Jobs and receipts are small and no frame goes through the object store; Ray's least is 75 MiB.
OBJECT_STORE_BYTES = 80 * 2**20
# Ray waits 5 s before it kills an actor that does not answer; a cancelled run has to be gone by then.
KILL_TIMEOUT_MS = 2000


class ClusterFailed(RuntimeError):
    """Ray did not start, did not answer, or cannot hold one actor."""


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
    options = _options(cluster)
    with _exit_on_sigterm():
        let_go = _on_lasting_thread(lambda: _init(options))
        try:
            yield
        finally:
            ray.shutdown()
            let_go()


def _options(cluster: ClusterConfig) -> dict[str, Any]:
    # Under `ray job submit` the address comes by the environment.
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        return {
            "address": "local", "num_cpus": usable_cpus(), "include_dashboard": cluster.dashboard,
            "object_store_memory": OBJECT_STORE_BYTES, **quiet,
        }
    if address.startswith("ray://"):
        raise BadConfiguration(
            f"cluster.address is {address!r}; expected host:port of the head or auto. Ray Client drops its actors after "
            "30 s without a connection: run this on a node of the cluster (`ray start --address=HEAD:6379 --num-cpus=0` "
            "makes one without capacity) or by `ray job submit`"
        )
    return {"address": address, **quiet}


def _init(options: Mapping[str, Any]) -> None:
    joins = options["address"] != "local"
    _use_token(make=not joins)
    os.environ.setdefault("RAY_kill_worker_timeout_milliseconds", str(KILL_TIMEOUT_MS))
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(**options)
    except Exception as error:
        where = f"at cluster.address={options['address']}" if joins else "in this process"
        hint = (
            "is it up, is this machine one of its nodes, and do head, workers and this process share RAY_AUTH_MODE=token "
            "and the token (RAY_AUTH_TOKEN or ~/.ray/auth_token)?"
            if joins
            else "are /tmp/ray and /dev/shm writable, with a few hundred MiB free?"
        )
        raise ClusterFailed(f"no Ray {where}: {hint}\n{type(error).__name__}: {error}") from error


def _use_token(*, make: bool) -> None:
    """Turn token authentication on, because Ray listens on all interfaces whatever it is told.

    A cluster of our own gets a token that lives as long as this process, unless the user has one.
    """
    if os.environ.get("RAY_AUTH_MODE"):
        return
    kept = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not kept and not (Path.home() / ".ray" / "auth_token").exists():
        if not make:
            return
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_AUTH_MODE"] = "token"
    # Ray reads the mode when it is imported; without this it starts a server with the token and calls it without.
    Config.initialize("")


def _on_lasting_thread(start: Callable[[], None]) -> Callable[[], None]:
    """Run `start` on a thread that then stays until the function returned here is called.

    Linux kills Ray's processes when the thread that started them ends, even if the process goes on: a task's thread
    must not be that one. And on a thread of its own Ray leaves this process's signal handlers alone.
    """
    started: Future[None] = Future()
    over = threading.Event()

    def keep() -> None:
        try:
            start()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        over.wait()

    threading.Thread(target=keep, name="ray-keeper", daemon=True).start()
    try:
        started.result()
    except (KeyboardInterrupt, SystemExit):
        started.add_done_callback(lambda _: ray.shutdown())
        raise
    return over.set


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


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the CPUs that this process may use: Ray counts the host's, in a container too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cgroup.read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def seats(cluster: ClusterConfig, nodes: Sequence[Mapping[str, Any]], num_jobs: int | None = None) -> Seats:
    """Say how many actors to start: what was asked for, at most what fits, at most one per job.

    `nodes` is what `ray.nodes()` returns. Ray would leave actors beyond that waiting for ever, without an error.

    Raises:
        BadConfiguration: an actor that asks for nothing, or for one and a half GPUs.
        ClusterFailed: no node can hold one actor.
    """
    _check(cluster)
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fit = sum(_fit(cluster, node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive)
    wants = f"{cluster.cpus_per_actor:g} CPUs and {cluster.gpus_per_actor:g} GPUs"
    has = "; ".join(f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in alive) or "none"
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
    if cluster.actors is not None and cluster.actors < 1:
        raise BadConfiguration(f"cluster.actors is {cluster.actors}; expected 1 or more, or null for as many as fit")


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
