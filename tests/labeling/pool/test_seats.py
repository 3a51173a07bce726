"""How many actors fit, of which kind, and what a node that joins brings."""

from typing import Any

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool.cluster import ClusterFailed
from labeling.pool.seats import NodeWatch, Seat, missing, seats


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
    assert len(seats(cluster, nodes).all) == count
    assert not seats(cluster, nodes).told


def test_more_than_fit_are_capped_and_it_is_said() -> None:
    allowed = seats(ClusterConfig(actors=9), [node(2)])
    assert len(allowed.all) == 2
    assert "9 actors asked for, 2 fit" in allowed.told


def test_a_cluster_that_grows_is_asked_for_more_than_fit_now() -> None:
    growing = ClusterConfig(gpus_per_actor=1, max_actors=8)
    assert len(seats(growing, [node(64, 2), node(64)]).all) == 8
    assert "2 of 8 actors fit now" in seats(growing, [node(64, 2), node(64)]).told
    assert len(seats(growing, [node(0)], num_jobs=3).all) == 3
    assert seats(growing, [node(64, 8)]).told == ""


def test_no_more_actors_than_jobs() -> None:
    assert len(seats(ClusterConfig(), [node(8)], num_jobs=3).all) == 3
    assert len(seats(ClusterConfig(), [node(8)], num_jobs=0).all) == 1


def test_an_actor_that_no_node_holds_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(ClusterFailed, match="each wants 1 CPUs and 1 GPUs, the cluster's nodes have: 2 CPUs and 0 GPUs"):
        seats(ClusterConfig(gpus_per_actor=1), [node(2)])
    with pytest.raises(ClusterFailed, match="To track on CPUs set cluster.gpus_per_actor=0 cluster.cpus_per_actor=2, or add"):
        seats(ClusterConfig(cpus_per_actor=4, gpus_per_actor=1), [node(2), node(1)])
    with pytest.raises(ClusterFailed, match="Lower cluster.cpus_per_actor"):
        seats(ClusterConfig(cpus_per_actor=4, gpus_per_actor=1), [node(2, 1)])
    with pytest.raises(ClusterFailed, match="have: none"):
        seats(ClusterConfig(), [])


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
        seats(cluster, [node(64, 8)])


def test_actors_of_several_kinds_of_gpu_take_their_own_part_of_each() -> None:
    kinds = ClusterConfig(cpus_per_actor=4, accelerators={"A100": 0.5, "L4": 1})
    nodes = [node(64, 2, kind="L4"), node(64, 1, kind="A100"), node(64, 8, kind="T4"), node(64)]
    big, small = Seat(4, 0.5, "A100"), Seat(4, 1, "L4")
    assert seats(kinds, nodes).all == (big, big, small, small)
    assert seats(kinds, nodes, num_jobs=3).all == (big, big, small)
    kinds.max_actors = 6
    assert seats(kinds, nodes).all == (big, big, small, small, big, big), "those that wait ask for the preferred kind"
    kinds.max_actors = None
    with pytest.raises(ClusterFailed, match=r"wants 4 CPUs and 0\.5 A100 GPUs or 4 CPUs and 1 L4 GPUs, .*: 64 CPUs and 8 T4"):
        seats(kinds, [node(64, 8, kind="T4")])


def test_a_node_that_joins_is_told_once_and_one_that_leaves_never() -> None:
    nodes = [node(1, name="a")]
    watch = NodeWatch(ClusterConfig(), 9, lambda: list(nodes), every_s=0)
    assert watch.joined() == ()
    nodes.append(node(2, name="b"))
    assert watch.joined() == (Seat(),) * 3
    assert watch.joined() == ()
    nodes[0] = node(1, name="a", alive=False)
    assert watch.joined() == ()
    nodes[0] = node(1, name="a")
    assert watch.joined() == (Seat(),) * 3
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
    one, other = Seat(1), Seat(2)
    assert list(missing([one, other, one], [one])) == [other, one]
    assert list(missing([one], [one, one, other])) == []
