"""When a pool takes Ray for gone."""

import time

import pytest

from labeling.pool.pulse import LOOK_EVERY_S, Pulse
from labeling.pool.ray_process import ClusterGone


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
