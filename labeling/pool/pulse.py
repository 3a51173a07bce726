"""Whether Ray answers: an address before it is joined, and a running Ray, for which its own client waits a minute."""

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial

from labeling.errors import BadConfiguration, ClusterFailed, ClusterGone
from labeling.pool import ray as private_ray

LOOK_EVERY_S = 2.0
# A head may be started again with what it knew; Ray's client gives up after 60 s.
PATIENCE_S = 25.0
CONNECT_S, ANSWER_S = 3.0, 12.0
JOIN_HINT = (
    "is it up, is this machine one of its nodes, and do head, workers and this process share RAY_AUTH_MODE=token "
    "and the token (RAY_AUTH_TOKEN or ~/.ray/auth_token)?"
)

Probe = tuple[str, Callable[[], bool]]


class Pulse:
    """Looks at Ray's parts now and then; `patience_s` is how long one of them may be silent."""

    def __init__(self, probes: Sequence[Probe], where: str, patience_s: float) -> None:
        self.probes, self.where, self.patience_s = probes, where, patience_s
        self.looked_at = time.monotonic()
        self.silent_since: dict[str, float] = {}

    def check(self) -> None:
        """Raise ClusterGone where a part of Ray has been silent for too long."""
        now = time.monotonic()
        if now - self.looked_at < LOOK_EVERY_S:
            return
        self.looked_at = now
        for name, is_there in self.probes:
            if is_there():
                self.silent_since.pop(name, None)
            elif now - self.silent_since.setdefault(name, now) >= self.patience_s:
                raise ClusterGone(f"{name} of {self.where} is gone; what is done stays done: run again")


def pulse_of_ray() -> Pulse:
    """Return the pulse of the Ray that this process uses: of its processes where they were started here, else its ports."""
    if started := private_ray.named_processes():
        return Pulse([(name, partial(_run, processes)) for name, processes in started.items()], "Ray in this process", 0.0)
    joined = private_ray.addresses()
    return Pulse(
        [(name, partial(listens, address)) for name, address in joined.items()],
        f"the Ray cluster at {joined.get('the head')}", PATIENCE_S,
    )


def _run(processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes)


def check_head(address: str, setting: str) -> None:
    """Look whether a head answers at an address before Ray tries to for a quarter of an hour.

    `setting` is what errors call the address by.

    Raises:
        BadConfiguration: the address is not host:port.
        ClusterFailed: nobody answers, it is not Ray that does, or this machine is none of its nodes.
    """
    try:
        head = private_ray.head_of_auto() if address == "auto" else address
    except (ConnectionError, ValueError) as error:
        raise ClusterFailed(f"no Ray at {setting}: {JOIN_HINT}\n{error}") from error
    if head == "":
        return
    if head is None or not re.fullmatch(r".+:\d{1,5}", head):
        raise BadConfiguration(f"{setting}; expected host:port of the head, or auto")
    give_up_at = time.monotonic() + CONNECT_S
    while not listens(head):
        if time.monotonic() > give_up_at:
            raise ClusterFailed(f"no Ray at {setting}: nobody answers there; start it, or correct the address or unset it")
        time.sleep(0.5)
    answer = in_time(lambda: private_ray.ask_head(head), ANSWER_S)
    if answer is None:
        raise ClusterFailed(f"no Ray at {setting}: what listens there does not answer as a head of Ray; correct the address")
    answer.result()
    if not private_ray.runs_a_node():
        raise ClusterFailed(f"this machine is no node of the cluster at {setting}: `ray start --address={head} --num-cpus=0`")


def listens(address: str) -> bool:
    """Whether somebody takes TCP connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def in_time(call: Callable[[], object], within_s: float) -> "Future[object] | None":
    """Call on a thread of its own and return what came of it, None where nothing did so far."""
    outcome: Future[object] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="ray-call", daemon=True).start()
    return outcome if wait([outcome], timeout=within_s).done else None
