"""Whether Ray is still there: its own client waits a minute for a server that is gone, and then ends this process."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ray
from ray._private import ray_constants

from labeling.pool.ray_process import ClusterGone, listens

LOOK_EVERY_S = 2.0
# A head may be started again with what it knew; Ray's client gives up after 60 s.
PATIENCE_S = 25.0

Part = tuple[str, Callable[[], bool]]


class Pulse:
    """Looks at Ray's parts now and then; `patience_s` is how long one of them may be silent."""

    def __init__(self, parts: Sequence[Part], where: str, patience_s: float) -> None:
        self.parts, self.where, self.patience_s = parts, where, patience_s
        self.looked_at = time.monotonic()
        self.silent_since: dict[str, float] = {}

    def check(self) -> None:
        """Raise ClusterGone where a part of Ray has been silent for too long."""
        now = time.monotonic()
        if now - self.looked_at < LOOK_EVERY_S:
            return
        self.looked_at = now
        for name, is_there in self.parts:
            if is_there():
                self.silent_since.pop(name, None)
            elif now - self.silent_since.setdefault(name, now) >= self.patience_s:
                raise ClusterGone(f"{name} of {self.where} is gone; what is done stays done: run again")


def pulse_of_ray() -> Pulse:
    """The pulse of the Ray that this process is connected to: its processes where they were started here, else its ports."""
    node = ray._private.worker._global_node
    assert node is not None, "Ray is initialized"
    started = node.all_processes
    if ray_constants.PROCESS_TYPE_GCS_SERVER in started:
        kinds = {"the head (gcs_server)": "PROCESS_TYPE_GCS_SERVER", "the node (raylet)": "PROCESS_TYPE_RAYLET"}
        return Pulse(
            [(name, _runs(started[getattr(ray_constants, kind)])) for name, kind in kinds.items()], "Ray in this process", 0.0
        )
    head, here = node.gcs_address, f"{node.node_ip_address}:{node.node_manager_port}"
    parts = [("the head", lambda: listens(head)), ("this machine's node (raylet)", lambda: listens(here))]
    return Pulse(parts, f"the Ray cluster at {head}", PATIENCE_S)


def _runs(infos: Iterable[Any]) -> Callable[[], bool]:
    processes = [info.process for info in infos]
    return lambda: all(process.poll() is None for process in processes)
