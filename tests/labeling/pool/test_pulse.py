"""When Ray is taken for gone, and what is said of an address where none answers."""

import socket
import time

import pytest

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration, ClusterFailed, ClusterGone
from labeling.pool.cluster import options_for, setting_of
from labeling.pool.pulse import LOOK_EVERY_S, Pulse, check_head


def test_a_part_that_is_silent_for_too_long_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now, there = [100.0], {"the head": True, "the node": True}
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pulse = Pulse([(name, lambda name=name: there[name]) for name in there], "the Ray cluster at h:1", patience_s=10.0)  # type: ignore[misc]

    def after(seconds: float) -> None:
        now[0] += seconds
        pulse.check()

    after(LOOK_EVERY_S)
    there["the head"] = False
    after(LOOK_EVERY_S)
    after(9.0)
    there["the head"] = True
    after(LOOK_EVERY_S)     # it was started again
    there["the head"] = False
    after(LOOK_EVERY_S)
    after(LOOK_EVERY_S)
    with pytest.raises(ClusterGone, match="the head of the Ray cluster at h:1 is gone.*run again"):
        after(10.0)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def look_at(cluster: ClusterConfig) -> None:
    address = options_for(cluster)["address"]
    check_head(address, setting_of(address))


def test_a_cluster_that_is_gone_is_named_by_its_setting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.pool.pulse.CONNECT_S", 0.5)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    address, began = free_address(), time.monotonic()
    with pytest.raises(ClusterFailed, match=f"cluster.address={address}: nobody answers"):
        look_at(ClusterConfig(address=address))
    monkeypatch.setenv("RAY_ADDRESS", address)
    for cluster in (ClusterConfig(), ClusterConfig(address="auto")):
        with pytest.raises(ClusterFailed, match=f"RAY_ADDRESS={address}: nobody answers"):
            look_at(cluster)
    assert time.monotonic() - began < 20


def test_what_is_not_rays_head_is_told_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.pool.pulse.ANSWER_S", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ClusterFailed, match="does not answer as a head of Ray"):
            check_head(f"127.0.0.1:{mute.getsockname()[1]}", "cluster.address")


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="cluster.address=head; expected host:port"):
        check_head("head", setting_of("head"))
