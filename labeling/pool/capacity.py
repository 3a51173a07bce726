"""How many actors fit into a cluster, which workers get one, and what a node that joins in mid-run changes."""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration, ClusterFailed
from labeling.pool.worker import ActorResources, Worker

Nodes = Sequence[Mapping[str, Any]]
LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What each actor that a pool may start is given; `shortfall` says why those are fewer than were asked for."""

    actors: tuple[ActorResources, ...]
    shortfall: str = ""


def capacity_of(cluster: ClusterConfig, nodes: Nodes, num_jobs: int | None = None) -> Capacity:
    """Return what actors to start: as many as were asked for, at most what fits, at most one per job.

    `nodes` is what `ray.nodes()` returns. Ray would leave actors beyond that waiting for ever, without an error; with
    `cluster.max_actors` that is what is wanted: an autoscaler counts those that wait, and a node that joins takes them.

    Raises:
        BadConfiguration: an actor that asks for nothing, or for one and a half GPUs; two numbers of actors.
        ClusterFailed: no node can hold one actor, and none is waited for.
    """
    _check(cluster)
    kinds = kinds_of(cluster)
    stocks = [node["Resources"] for node in nodes if node["Alive"]]
    # An actor runs on one node: what several have left over adds up to nothing.
    fitting = [actor for actor in kinds for node_resources in stocks for _ in range(_fit(actor, node_resources))]
    wants = " or ".join(map(_wish, kinds))
    has = "; ".join(map(_stock, stocks)) or "none"
    if cluster.max_actors is not None:
        count = cluster.max_actors if num_jobs is None else min(cluster.max_actors, max(1, num_jobs))
        waits = f"{len(fitting)} of {count} actors fit now, the others wait for nodes; there are: {has}"
        asked_for = [*fitting, *[kinds[0]] * count][:count]
        return Capacity(tuple(asked_for), waits if len(fitting) < count else "")
    if not fitting:
        raise ClusterFailed(
            f"no actor fits: each wants {wants}, the cluster's nodes have: {has}. "
            f"{_advice(kinds, stocks)}, or add nodes"
        )
    num_asked = len(fitting) if cluster.actors is None else cluster.actors
    short = f"{num_asked} actors asked for, {len(fitting)} fit: each wants {wants}, the cluster's nodes have: {has}"
    most = num_asked if num_jobs is None else min(num_asked, max(1, num_jobs))
    return Capacity(tuple(fitting[:most]), short if num_asked > len(fitting) else "")


def kinds_of(cluster: ClusterConfig) -> list[ActorResources]:
    """Return what an actor of each kind is given, the preferred kind first."""
    if not cluster.accelerators:
        return [ActorResources(cluster.cpus_per_actor, cluster.gpus_per_actor)]
    return [ActorResources(cluster.cpus_per_actor, gpus, kind) for kind, gpus in cluster.accelerators.items()]


class NodeWatch:
    """Looks at a cluster's nodes now and then, and says what actors fit whenever one has joined."""

    def __init__(
        self, cluster: ClusterConfig, num_jobs: int | None, list_nodes: Callable[[], Nodes], *, every_s: float = LOOK_EVERY_S
    ) -> None:
        self.cluster, self.num_jobs, self.list_nodes, self.every_s = cluster, num_jobs, list_nodes, every_s
        self.known = _ids(list_nodes())
        self.looked_at = time.monotonic()

    def joined(self) -> tuple[ActorResources, ...]:
        """Return what actors fit into the cluster as it is now, if a node has joined since the last look; else nothing."""
        now = time.monotonic()
        if now - self.looked_at < self.every_s:
            return ()
        self.looked_at = now
        # A head that does not answer for a moment is Ray's affair, and no reason to end a run.
        with contextlib.suppress(RayError, RuntimeError, ClusterFailed):
            nodes = self.list_nodes()
            fresh, self.known = _ids(nodes) - self.known, _ids(nodes)
            return capacity_of(self.cluster, nodes, self.num_jobs).actors if fresh else ()
        return ()


def missing(actors: Sequence[ActorResources], placed: Sequence[ActorResources]) -> Iterator[ActorResources]:
    """Yield the actors that are not among those placed, in their order."""
    left = Counter(placed)
    for actor in actors:
        left[actor] -= 1
        if left[actor] < 0:
            yield actor


def to_start(workers: Sequence[Worker], num_waiting: float) -> list[Worker]:
    """Return the empty places that are to get an actor: as many as there are jobs that no spare actor is there for."""
    empty = [worker for worker in workers if worker.handle is None and not worker.given_up]
    num_short = num_waiting - sum(worker.spare for worker in workers) if empty else 0
    return empty[: int(max(0, min(num_short, len(empty))))]


def to_stop(workers: Sequence[Worker], min_actors: int) -> list[Worker]:
    """Return the places whose actors have nothing to do when no job waits; those not set up first, `min_actors` stay."""
    spare = sorted((worker for worker in workers if worker.spare), key=lambda worker: worker.ready)
    return spare[: max(0, sum(worker.handle is not None for worker in workers) - min_actors)]


def refit(workers: list[Worker], actors: Sequence[ActorResources]) -> list[Worker]:
    """Fit the workers to the actors that a grown cluster has: reopen closed places, move actors that wait, add places.

    Returns the workers whose resources changed: the actors that they asked Ray for are to be stopped.
    """
    for worker in workers:
        if worker.given_up:
            worker.given_up, worker.deaths = False, 0
    # Whoever runs, or begins on a node, stays there; only actors that wait for room are asked for anew.
    placed = [worker.resources for worker in workers if worker.handle is not None and worker.placed_at is not None]
    free, moved = list(missing(actors, placed)), list[Worker]()
    waiting = [worker for worker in workers if worker.handle is None or worker.placed_at is None]
    for worker in [worker for worker in waiting if worker.resources in free]:
        if worker.resources in free:
            free.remove(worker.resources)
            waiting.remove(worker)
    for worker in waiting[: len(free)]:
        worker.resources = free.pop(0)
        moved.append(worker)
    ahead = any(worker.looks_ahead for worker in workers)
    workers += [Worker(len(workers) + number, actor, looks_ahead=ahead) for number, actor in enumerate(free)]
    return moved


def _ids(nodes: Nodes) -> set[str]:
    return {node["NodeID"] for node in nodes if node["Alive"]}


def _check(cluster: ClusterConfig) -> None:
    for actor in kinds_of(cluster):
        name = f"cluster.accelerators.{actor.accelerator}" if actor.accelerator else "cluster.gpus_per_actor"
        if actor.cpus < 0 or actor.gpus < 0 or actor.cpus + actor.gpus <= 0:
            raise BadConfiguration(
                f"cluster.cpus_per_actor is {actor.cpus} and {name} {actor.gpus}; expected one above 0, none below"
            )
        if actor.accelerator and not actor.gpus:
            raise BadConfiguration(f"{name} is {actor.gpus}; expected a part of one GPU or a whole number of them")
        if actor.gpus > 1 and actor.gpus != int(actor.gpus):
            raise BadConfiguration(f"{name} is {actor.gpus}; expected a part of one GPU or a whole number of them")
    for name, number in (("actors", cluster.actors), ("max_actors", cluster.max_actors)):
        if number is not None and number < 1:
            raise BadConfiguration(f"cluster.{name} is {number}; expected 1 or more, or null for as many as fit")
    if cluster.actors is not None and cluster.max_actors is not None:
        raise BadConfiguration(f"cluster.actors is {cluster.actors} and cluster.max_actors {cluster.max_actors}; expected one")
    if cluster.min_actors < 0:
        raise BadConfiguration(f"cluster.min_actors is {cluster.min_actors}; expected 0 or more")


def _fit(actor: ActorResources, node_resources: Mapping[str, float]) -> int:
    """Return how many actors one node holds; parts of a GPU do not add up across GPUs."""
    cpus, gpus = node_resources.get("CPU", 0.0), node_resources.get("GPU", 0.0)
    if actor.accelerator and not node_resources.get(f"accelerator_type:{actor.accelerator}"):
        return 0
    room = [math.inf]
    if actor.cpus > 0:
        room.append(cpus / actor.cpus)
    if actor.gpus >= 1:
        room.append(gpus / actor.gpus)
    elif actor.gpus > 0:
        room.append(int(gpus) * math.floor(1 / actor.gpus + 1e-9))
    return math.floor(min(room) + 1e-9)


def _advice(kinds: Sequence[ActorResources], stocks: Sequence[Mapping[str, float]]) -> str:
    cpus, gpus = (max((node.get(name, 0.0) for node in stocks), default=0.0) for name in ("CPU", "GPU"))
    if gpus or not cpus or not any(actor.gpus for actor in kinds):
        return "Lower cluster.cpus_per_actor or cluster.gpus_per_actor"
    return f"To track on CPUs set cluster.gpus_per_actor=0 cluster.cpus_per_actor={min(kinds[0].cpus, cpus):g}"


def _wish(actor: ActorResources) -> str:
    return f"{actor.cpus:g} CPUs and {actor.gpus:g} {f'{actor.accelerator} ' if actor.accelerator else ''}GPUs"


def _stock(node_resources: Mapping[str, float]) -> str:
    kind = next((name.partition(":")[2] + " " for name in node_resources if name.startswith("accelerator_type:")), "")
    return f"{node_resources.get('CPU', 0.0):g} CPUs and {node_resources.get('GPU', 0.0):g} {kind}GPUs"
