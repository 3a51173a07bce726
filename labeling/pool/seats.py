"""How many actors fit into a cluster, what each is given, and how that follows nodes that join in mid-run."""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool.ray_process import ClusterFailed

Nodes = Sequence[Mapping[str, Any]]
LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Seat:
    """What one actor asks Ray for; `accelerator` is a kind of GPU by Ray's name, None for any."""

    cpus: float = 1.0
    gpus: float = 0.0
    accelerator: str | None = None

    @property
    def device(self) -> str:
        """Where the work is set up; Ray shows an actor only the GPUs that it was given."""
        return "cuda" if self.gpus > 0 else "cpu"


@dataclass(frozen=True, slots=True)
class Seats:
    """A seat for each actor that a pool may start; `told` says why those are fewer than were asked for."""

    all: tuple[Seat, ...]
    told: str = ""


def seats(cluster: ClusterConfig, nodes: Nodes, num_jobs: int | None = None) -> Seats:
    """Say what actors to start: as many as were asked for, at most what fits, at most one per job.

    `nodes` is what `ray.nodes()` returns. Ray would leave actors beyond that waiting for ever, without an error; with
    `cluster.max_actors` that is what is wanted: an autoscaler counts those that wait, and a node that joins takes them.

    Raises:
        BadConfiguration: an actor that asks for nothing, or for one and a half GPUs; two numbers of actors.
        ClusterFailed: no node can hold one actor, and none is waited for.
    """
    _check(cluster)
    kinds = kinds_of(cluster)
    there = [node["Resources"] for node in nodes if node["Alive"]]
    fitting = [seat for seat in kinds for resources in there for _ in range(_fit(seat, resources))]
    wants = " or ".join(map(_wish, kinds))
    has = "; ".join(map(_stock, there)) or "none"
    if cluster.max_actors is not None:
        count = cluster.max_actors if num_jobs is None else min(cluster.max_actors, max(1, num_jobs))
        waits = f"{len(fitting)} of {count} actors fit now, the others wait for nodes; there are: {has}"
        asked_for = [*fitting, *[kinds[0]] * count][:count]
        return Seats(tuple(asked_for), waits if len(fitting) < count else "")
    if not fitting:
        raise ClusterFailed(
            f"no actor fits: each wants {wants}, the cluster's nodes have: {has}. "
            f"{_advice(kinds, there)}, or add nodes"
        )
    asked = len(fitting) if cluster.actors is None else cluster.actors
    short = f"{asked} actors asked for, {len(fitting)} fit: each wants {wants}, the cluster's nodes have: {has}"
    most = asked if num_jobs is None else min(asked, max(1, num_jobs))
    return Seats(tuple(fitting[:most]), short if asked > len(fitting) else "")


def kinds_of(cluster: ClusterConfig) -> list[Seat]:
    """Return a seat of each kind that actors may have, the preferred first."""
    if not cluster.accelerators:
        return [Seat(cluster.cpus_per_actor, cluster.gpus_per_actor)]
    return [Seat(cluster.cpus_per_actor, gpus, kind) for kind, gpus in cluster.accelerators.items()]


class NodeWatch:
    """Looks at a cluster's nodes now and then, and says what seats there are whenever one has joined."""

    def __init__(
        self, cluster: ClusterConfig, num_jobs: int | None, list_nodes: Callable[[], Nodes], *, every_s: float = LOOK_EVERY_S
    ) -> None:
        self.cluster, self.num_jobs, self.list_nodes, self.every_s = cluster, num_jobs, list_nodes, every_s
        self.known = _ids(list_nodes())
        self.looked_at = time.monotonic()

    def joined(self) -> tuple[Seat, ...]:
        """Return all seats of the cluster as it is now, if a node has joined since the last look; else nothing."""
        now = time.monotonic()
        if now - self.looked_at < self.every_s:
            return ()
        self.looked_at = now
        # A head that does not answer for a moment is Ray's affair, and no reason to end a run.
        with contextlib.suppress(RayError, RuntimeError, ClusterFailed):
            nodes = self.list_nodes()
            fresh, self.known = _ids(nodes) - self.known, _ids(nodes)
            return seats(self.cluster, nodes, self.num_jobs).all if fresh else ()
        return ()


def missing(wanted: Sequence[Seat], taken: Sequence[Seat]) -> Iterator[Seat]:
    """Yield the wanted seats that are not among those taken, in their order."""
    left = Counter(taken)
    for seat in wanted:
        left[seat] -= 1
        if left[seat] < 0:
            yield seat


def _ids(nodes: Nodes) -> set[str]:
    return {node["NodeID"] for node in nodes if node["Alive"]}


def _check(cluster: ClusterConfig) -> None:
    for seat in kinds_of(cluster):
        name = f"cluster.accelerators.{seat.accelerator}" if seat.accelerator else "cluster.gpus_per_actor"
        if seat.cpus < 0 or seat.gpus < 0 or seat.cpus + seat.gpus <= 0:
            raise BadConfiguration(
                f"cluster.cpus_per_actor is {seat.cpus} and {name} {seat.gpus}; expected one above 0, none below"
            )
        if seat.accelerator and not seat.gpus:
            raise BadConfiguration(f"{name} is {seat.gpus}; expected a part of one GPU or a whole number of them")
        if seat.gpus > 1 and seat.gpus != int(seat.gpus):
            raise BadConfiguration(f"{name} is {seat.gpus}; expected a part of one GPU or a whole number of them")
    for name, number in (("actors", cluster.actors), ("max_actors", cluster.max_actors)):
        if number is not None and number < 1:
            raise BadConfiguration(f"cluster.{name} is {number}; expected 1 or more, or null for as many as fit")
    if cluster.actors is not None and cluster.max_actors is not None:
        raise BadConfiguration(f"cluster.actors is {cluster.actors} and cluster.max_actors {cluster.max_actors}; expected one")
    if cluster.min_actors < 0:
        raise BadConfiguration(f"cluster.min_actors is {cluster.min_actors}; expected 0 or more")


def _fit(seat: Seat, resources: Mapping[str, float]) -> int:
    """Return how many actors one node holds; parts of a GPU do not add up across GPUs."""
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    if seat.accelerator and not resources.get(f"accelerator_type:{seat.accelerator}"):
        return 0
    room = [math.inf]
    if seat.cpus > 0:
        room.append(cpus / seat.cpus)
    if seat.gpus >= 1:
        room.append(gpus / seat.gpus)
    elif seat.gpus > 0:
        room.append(int(gpus) * math.floor(1 / seat.gpus + 1e-9))
    return math.floor(min(room) + 1e-9)


def _advice(kinds: Sequence[Seat], there: Sequence[Mapping[str, float]]) -> str:
    cpus, gpus = (max((node.get(name, 0.0) for node in there), default=0.0) for name in ("CPU", "GPU"))
    if gpus or not cpus or not any(seat.gpus for seat in kinds):
        return "Lower cluster.cpus_per_actor or cluster.gpus_per_actor"
    return f"To track on CPUs set cluster.gpus_per_actor=0 cluster.cpus_per_actor={min(kinds[0].cpus, cpus):g}"


def _wish(seat: Seat) -> str:
    return f"{seat.cpus:g} CPUs and {seat.gpus:g} {f'{seat.accelerator} ' if seat.accelerator else ''}GPUs"


def _stock(resources: Mapping[str, float]) -> str:
    kind = next((name.partition(":")[2] + " " for name in resources if name.startswith("accelerator_type:")), "")
    return f"{resources.get('CPU', 0.0):g} CPUs and {resources.get('GPU', 0.0):g} {kind}GPUs"
