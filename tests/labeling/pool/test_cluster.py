from pathlib import Path

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration
from labeling.pool.cluster import open_cluster, usable_cpus


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
