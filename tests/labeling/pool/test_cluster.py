from pathlib import Path
from typing import Any

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool.cluster import ClusterFailed, Seats, open_cluster, seats, usable_cpus


def node(cpus: float, gpus: float = 0.0, *, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
    return {"Alive": alive, "Resources": resources}


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
    assert seats(cluster, nodes) == Seats(count)


def test_more_than_fit_are_capped_and_it_is_said() -> None:
    allowed = seats(ClusterConfig(actors=9), [node(2)])
    assert allowed.count == 2
    assert "9 actors asked for, 2 fit" in allowed.told


def test_a_cluster_that_grows_is_asked_for_more_than_fit_now() -> None:
    growing = ClusterConfig(gpus_per_actor=1, max_actors=8)
    assert seats(growing, [node(64, 2), node(64)]).count == 8
    assert "2 of 8 actors fit now" in seats(growing, [node(64, 2), node(64)]).told
    assert seats(growing, [node(0)], num_jobs=3).count == 3
    assert seats(growing, [node(64, 8)]) == Seats(8)


def test_no_more_actors_than_jobs() -> None:
    assert seats(ClusterConfig(), [node(8)], num_jobs=3) == Seats(3)
    assert seats(ClusterConfig(), [node(8)], num_jobs=0) == Seats(1)


def test_an_actor_that_no_node_holds_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(ClusterFailed, match="each wants 1 CPUs and 1 GPUs, the cluster's nodes have: 2 CPUs and 0 GPUs"):
        seats(ClusterConfig(gpus_per_actor=1), [node(2)])
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
    ],
)
def test_resources_that_make_no_sense_are_refused(cluster: ClusterConfig, named: str) -> None:
    with pytest.raises(BadConfiguration, match=named):
        seats(cluster, [node(64, 8)])


def test_ray_client_is_refused_with_what_to_do_instead() -> None:
    cluster = ClusterConfig(address="ray://127.0.0.1:10001")
    with pytest.raises(BadConfiguration, match="ray start --address"), open_cluster(cluster):
        pass


def test_cpus_are_those_of_the_container(tmp_path: Path) -> None:
    allowed = usable_cpus(tmp_path / "absent")
    assert allowed >= 1
    limit = tmp_path / "cpu.max"
    for text, expected in {"100000 100000": 1, "50000 100000": 1, "max 100000": allowed, "rubbish": allowed}.items():
        limit.write_text(text)
        assert usable_cpus(limit) == expected
