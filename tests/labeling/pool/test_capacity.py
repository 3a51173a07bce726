"""How many actors fit, of which kind, and what a node that joins brings."""

from typing import Any

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration, ClusterFailed
from labeling.pool.capacity import NodeWatch, capacity_of, missing, refit, to_start, to_stop
from labeling.pool.worker import ActorResources, Request, Worker

BIG, SMALL = ActorResources(4, 0.5, "A100"), ActorResources(4, 1, "L4")


def node(cpus: float, gpus: float = 0.0, *, alive: bool = True, kind: str = "", name: str = "n") -> dict[str, Any]:
    resources = {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **({f"accelerator_type:{kind}": 1.0} if kind else {})}
    return {"NodeID": name, "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("cluster", "nodes", "count"),
    [
        (ClusterConfig(), [node(2), node(3)], 5),
        (ClusterConfig(cpus_per_actor=2), [node(3), node(3)], 2),            # halves of an actor do not add up
        (ClusterConfig(cpus_per_actor=4, gpus_per_actor=1), [node(64, 8), node(6, 8), node(64)], 9),
        (ClusterConfig(cpus_per_actor=0.5, gpus_per_actor=0.4), [node(64, 2)], 4),  # nor do the rests of GPUs
        (ClusterConfig(cpus_per_actor=0.1), [node(2)], 20),
        (ClusterConfig(cpus_per_actor=0, gpus_per_actor=2), [node(1, 4)], 2),
        (ClusterConfig(), [node(0), node(4), node(8, alive=False)], 4),
        (ClusterConfig(actors=3), [node(8)], 3),
    ],
)
def test_as_many_actors_as_each_node_holds(cluster: ClusterConfig, nodes: list[dict[str, Any]], count: int) -> None:
    assert len(capacity_of(cluster, nodes).actors) == count
    assert not capacity_of(cluster, nodes).shortfall


def test_more_than_fit_are_capped_and_it_is_said() -> None:
    capacity = capacity_of(ClusterConfig(actors=9), [node(2)])
    assert len(capacity.actors) == 2
    assert "9 actors asked for, 2 fit" in capacity.shortfall


def test_a_cluster_that_grows_is_asked_for_more_than_fit_now() -> None:
    growing = ClusterConfig(gpus_per_actor=1, max_actors=8)
    assert len(capacity_of(growing, [node(64, 2), node(64)]).actors) == 8
    assert "2 of 8 actors fit now" in capacity_of(growing, [node(64, 2), node(64)]).shortfall
    assert len(capacity_of(growing, [node(0)], num_jobs=3).actors) == 3
    assert capacity_of(growing, [node(64, 8)]).shortfall == ""


def test_no_more_actors_than_jobs() -> None:
    assert len(capacity_of(ClusterConfig(), [node(8)], num_jobs=3).actors) == 3
    assert len(capacity_of(ClusterConfig(), [node(8)], num_jobs=0).actors) == 1


def test_an_actor_that_no_node_holds_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(ClusterFailed, match="each wants 1 CPUs and 1 GPUs, the cluster's nodes have: 2 CPUs and 0 GPUs"):
        capacity_of(ClusterConfig(gpus_per_actor=1), [node(2)])
    with pytest.raises(ClusterFailed, match="To track on CPUs set cluster.gpus_per_actor=0 cluster.cpus_per_actor=2, or add"):
        capacity_of(ClusterConfig(cpus_per_actor=4, gpus_per_actor=1), [node(2), node(1)])
    with pytest.raises(ClusterFailed, match="Lower cluster.cpus_per_actor"):
        capacity_of(ClusterConfig(cpus_per_actor=4, gpus_per_actor=1), [node(2, 1)])
    with pytest.raises(ClusterFailed, match="have: none"):
        capacity_of(ClusterConfig(), [])


@pytest.mark.parametrize(
    ("cluster", "named"),
    [
        (ClusterConfig(cpus_per_actor=0), "cpus_per_actor"),
        (ClusterConfig(cpus_per_actor=-1), "cpus_per_actor"),
        (ClusterConfig(gpus_per_actor=1.5), "gpus_per_actor"),
        (ClusterConfig(actors=0), "actors"),
        (ClusterConfig(max_actors=0), "max_actors"),
        (ClusterConfig(actors=1, max_actors=2), "expected one"),
        (ClusterConfig(min_actors=-1), "min_actors"),
        (ClusterConfig(accelerators={"L4": 0}), r"accelerators\.L4"),
        (ClusterConfig(accelerators={"L4": 1.5}), r"accelerators\.L4"),
    ],
)
def test_resources_that_make_no_sense_are_refused(cluster: ClusterConfig, named: str) -> None:
    with pytest.raises(BadConfiguration, match=named):
        capacity_of(cluster, [node(64, 8)])


def test_actors_of_several_kinds_of_gpu_take_their_own_part_of_each() -> None:
    kinds = ClusterConfig(cpus_per_actor=4, accelerators={"A100": 0.5, "L4": 1})
    nodes = [node(64, 2, kind="L4"), node(64, 1, kind="A100"), node(64, 8, kind="T4"), node(64)]
    big, small = ActorResources(4, 0.5, "A100"), ActorResources(4, 1, "L4")
    assert capacity_of(kinds, nodes).actors == (big, big, small, small)
    assert capacity_of(kinds, nodes, num_jobs=3).actors == (big, big, small)
    kinds.max_actors = 6
    assert capacity_of(kinds, nodes).actors == (big, big, small, small, big, big), "those that wait ask for the preferred kind"
    kinds.max_actors = None
    with pytest.raises(ClusterFailed, match=r"wants 4 CPUs and 0\.5 A100 GPUs or 4 CPUs and 1 L4 GPUs, .*: 64 CPUs and 8 T4"):
        capacity_of(kinds, [node(64, 8, kind="T4")])


def test_a_node_that_joins_is_told_once_and_one_that_leaves_never() -> None:
    nodes = [node(1, name="a")]
    watch = NodeWatch(ClusterConfig(), 9, lambda: list(nodes), every_s=0)
    assert watch.joined() == ()
    nodes.append(node(2, name="b"))
    assert watch.joined() == (ActorResources(),) * 3
    assert watch.joined() == ()
    nodes[0] = node(1, name="a", alive=False)
    assert watch.joined() == ()
    nodes[0] = node(1, name="a")
    assert watch.joined() == (ActorResources(),) * 3
    assert NodeWatch(ClusterConfig(), 9, lambda: list(nodes), every_s=3600).joined() == ()


def test_a_head_that_does_not_answer_ends_no_run() -> None:
    answers: list[object] = [[node(1)], RuntimeError("no head"), [node(1), node(1, name="b")]]

    def list_nodes() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = NodeWatch(ClusterConfig(), None, list_nodes, every_s=0)
    assert watch.joined() == ()
    assert len(watch.joined()) == 2


def test_what_is_missing() -> None:
    one, other = ActorResources(1), ActorResources(2)
    assert list(missing([one, other, one], [one])) == [other, one]
    assert list(missing([one], [one, one, other])) == []


def worker(number: int, state: str, actor: ActorResources = BIG) -> Worker:
    """A place that is empty or closed, or whose actor waits for a node (`asked`), is idle or busy."""
    made = Worker(number, actor, given_up=state == "closed", deaths=4 if state == "closed" else 0)
    if state in ("asked", "idle", "busy"):
        made.handle = object()
    if state in ("idle", "busy"):
        made.placed_at = 1.0
    if state == "asked":
        made.setup_answer = None if state == "idle" else object()  # type: ignore[assignment]
    if state == "busy":
        made.requests.append(Request((), None, 0.0))  # type: ignore[arg-type]
    return made


def workers_of(*states: str) -> list[Worker]:
    return [worker(number, state) for number, state in enumerate(states)]


def numbers(workers: list[Worker]) -> list[int]:
    return [worker.number for worker in workers]


def test_an_actor_for_each_job_that_no_spare_one_is_there_for() -> None:
    workers = workers_of("busy", "empty", "closed", "asked", "empty", "empty", "idle")
    assert numbers(to_start(workers, 0)) == []
    assert numbers(to_start(workers, 2)) == []
    assert numbers(to_start(workers, 4)) == [1, 4]
    assert numbers(to_start(workers, float("inf"))) == [1, 4, 5]


def test_those_that_wait_go_first_and_the_fewest_stay() -> None:
    workers = workers_of("busy", "idle", "asked", "empty", "idle")
    assert numbers(to_stop(workers, 0)) == [2, 1, 4]
    assert numbers(to_stop(workers, 1)) == [2, 1, 4]
    assert numbers(to_stop(workers, 2)) == [2, 1]
    assert numbers(to_stop(workers, 9)) == []


def test_a_node_reopens_what_was_closed_and_brings_places() -> None:
    workers = workers_of("busy", "closed")
    assert refit(workers, [BIG] * 4) == []
    assert [(s.number, s.given_up, s.deaths, s.resources) for s in workers] == [(n, False, 0, BIG) for n in range(4)]
    assert refit(workers, [BIG] * 4) == []
    assert len(workers) == 4


def test_a_node_that_takes_the_place_of_one_that_left_brings_none() -> None:
    workers = workers_of("busy", "asked", "asked")
    assert refit(workers, [BIG, BIG]) == []
    assert len(workers) == 3


def test_those_that_wait_move_to_another_kind_of_gpu() -> None:
    workers = [worker(0, "busy"), worker(1, "asked"), worker(2, "asked"), worker(3, "empty")]
    assert numbers(refit(workers, [BIG, BIG, SMALL])) == [2]
    assert [s.resources for s in workers] == [BIG, BIG, SMALL, BIG]
