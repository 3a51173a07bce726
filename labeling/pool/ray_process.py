"""Ray's own processes: how they are started in this one, joined elsewhere, and left without a trace."""

import atexit
import functools
import gc
import logging
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
from ray._private import parameter, services
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]
from ray.job_config import JobConfig

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration

log = logging.getLogger(__name__)

# Jobs and receipts are small and no frame goes through the object store; Ray's least is 75 MiB.
OBJECT_STORE_BYTES = 80 * 2**20
# Ray waits 5 s before it kills an actor that does not answer; a cancelled run has to be gone by then.
KILL_TIMEOUT_MS = 2000
EXIT_TIMEOUT_S = 3.0
START_ATTEMPTS = 3
CONNECT_S, ANSWER_S = 3.0, 12.0
LONGEST_FOLDER = 40
JOIN_HINT = (
    "is it up, is this machine one of its nodes, and do head, workers and this process share RAY_AUTH_MODE=token "
    "and the token (RAY_AUTH_TOKEN or ~/.ray/auth_token)?"
)
START_HINT = "are /tmp/ray and /dev/shm writable, with a few hundred MiB free, and is the machine not overloaded?"
# Below the range that Linux hands out by itself, so that nobody is given the port between our look and Ray's use.
AGENT_PORTS = range(15000, 30000)


class ClusterFailed(RuntimeError):
    """Ray did not start, did not answer, or cannot hold one actor."""


class ClusterGone(ClusterFailed):
    """Ray was there and is no more: what would be asked of it now only waits."""


class OwnPaths(JobConfig):
    """A job whose actors import from where this package lies.

    Ray would put the driver's working folder and its program's before all else, and a folder there that is called `sam2` or
    `flows` would be taken for ours.
    """

    def __init__(self) -> None:
        super().__init__()
        top = str(Path(__file__).resolve().parents[2])
        installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        self._py_driver_sys_path = [] if top in installed else [top]

    def _runtime_env_has_working_dir(self) -> bool:
        return True     # and so Ray adds no folder of its own choice


def options_for(cluster: ClusterConfig) -> dict[str, Any]:
    """Return `ray.init`'s arguments: to start Ray here, or to join it by address.

    Raises:
        BadConfiguration: an address of Ray Client (`ray://`).
    """
    # Under `ray job submit` the address comes by the environment.
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    ours = {"log_to_driver": False, "logging_level": logging.ERROR, "job_config": OwnPaths()}
    if not address or address == "local":
        return {
            "address": "local", "num_cpus": usable_cpus(), "include_dashboard": cluster.dashboard,
            "object_store_memory": OBJECT_STORE_BYTES, **_short_folder(), **_object_store_folder(), **ours,
        }
    if address.startswith("ray://"):
        raise BadConfiguration(
            f"{named(address)}; expected host:port of the head or auto. Ray Client drops its actors after "
            "30 s without a connection: run this on a node of the cluster (`ray start --address=HEAD:6379 --num-cpus=0` "
            "makes one without capacity) or by `ray job submit`"
        )
    return {"address": address, **ours}


def named(address: str) -> str:
    """Say an address by the setting that it comes from."""
    by_environment = os.environ.get("RAY_ADDRESS")
    if by_environment and address in (by_environment, "auto"):      # which is what Ray makes of auto
        return f"RAY_ADDRESS={by_environment}"
    return f"cluster.address={address}"


def _short_folder() -> dict[str, str]:
    """Where Ray's sessions lie, if not where it would put them: a socket's path has at most 107 bytes.

    Raises:
        ClusterFailed: no folder is short and can be written.
    """
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    folders = [os.path.join(usual, "ray"), "/tmp/ray", f"/tmp/ray-{os.getuid()}"]
    for folder in folders:
        there = folder if os.path.isdir(folder) else os.path.dirname(folder)
        if len(os.fsencode(folder)) <= LONGEST_FOLDER and os.access(there, os.W_OK | os.X_OK):
            return {} if folder == folders[0] else {"_temp_dir": folder}
    raise ClusterFailed(
        f"no folder for Ray: {', '.join(folders)} cannot be written or have more than {LONGEST_FOLDER} characters; "
        "set RAY_TMPDIR to a short one"
    )


def _object_store_folder(shared: str = "/dev/shm") -> dict[str, str]:
    """Where the object store lies, if not in shared memory: that may be there and not be for us to write."""
    if not os.path.isdir(shared) or os.access(shared, os.W_OK | os.X_OK):
        return {}
    return {"_plasma_directory": tempfile.gettempdir()}


def start(options: Mapping[str, Any]) -> Callable[[], None]:
    """Start or join Ray and return what lets it go after `shut_down`; a start that runs out of time is tried again.

    Raises:
        ClusterFailed: Ray did not start or does not answer.
    """
    for _ in range(START_ATTEMPTS - 1):
        try:
            return _on_lasting_thread(lambda: _init(options, light=True))
        except ClusterFailed as error:
            if "timed out during startup" not in str(error):
                raise
            log.warning("Ray's processes took too long to start; trying again")
        # Those processes ended with the thread that started them; what Ray held them by says that they still run.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return _on_lasting_thread(lambda: _init(options, light=False))


def _init(options: Mapping[str, Any], *, light: bool) -> None:
    joins = options["address"] != "local"
    _use_token(make=not joins)
    os.environ.setdefault("RAY_kill_worker_timeout_milliseconds", str(KILL_TIMEOUT_MS))
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if joins:
            check_head(options["address"])
        with nullcontext() if joins or not light else _light_start():
            ray.init(**options)
        ray._private.worker.print_to_stdstream = _log_first_line
    except (ClusterFailed, BadConfiguration):
        raise
    except Exception as error:
        where = f"at {named(options['address'])}" if joins else "in this process"
        hint = JOIN_HINT if joins else START_HINT
        raise ClusterFailed(f"no Ray {where}: {hint}\n{type(error).__name__}: {error}") from error


def _log_first_line(data: Mapping[str, Any], *_: Any, **__: Any) -> None:
    """Log the beginning of what Ray would print: of a process that died, that it did, and not the end of its log."""
    log.warning("Ray: %s", " ".join(data["lines"]).strip().partition("\n")[0][:300])


def check_head(address: str) -> None:
    """Look whether a head answers at an address before Ray tries to for a quarter of an hour.

    Raises:
        BadConfiguration: the address is not host:port.
        ClusterFailed: nobody answers, it is not Ray that does, or this machine is none of its nodes.
    """
    where = named(address)
    try:
        head = services.canonicalize_bootstrap_address(address) if address == "auto" else address
    except (ConnectionError, ValueError) as error:
        raise ClusterFailed(f"no Ray at {where}: {JOIN_HINT}\n{error}") from error
    if head is None or not re.fullmatch(r".+:\d{1,5}", head):
        raise BadConfiguration(f"{where}; expected host:port of the head, or auto")
    give_up_at = time.monotonic() + CONNECT_S
    while not listens(head):
        if time.monotonic() > give_up_at:
            raise ClusterFailed(f"no Ray at {where}: nobody answers there; start it, or correct the address or unset it")
        time.sleep(0.5)
    asked = in_time(lambda: GcsClient(address=head), ANSWER_S)
    if asked is None:
        raise ClusterFailed(f"no Ray at {where}: what listens there does not answer as a head of Ray; correct the address")
    asked.result()
    if not services.find_node_ids():  # type: ignore[no-untyped-call]
        raise ClusterFailed(f"this machine is no node of the cluster at {where}: `ray start --address={head} --num-cpus=0`")


def in_time(call: Callable[[], object], within_s: float) -> "Future[object] | None":
    """Call on a thread of its own and return what came of it, None where nothing did so far."""
    came: Future[object] = Future()

    def work() -> None:
        try:
            came.set_result(call())
        except BaseException as error:
            came.set_exception(error)

    threading.Thread(target=work, name="ray-call", daemon=True).start()
    return came if wait([came], timeout=within_s).done else None


def listens(address: str) -> bool:
    """Whether somebody takes TCP connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError, OverflowError):
        return False


@contextmanager
def _light_start() -> Iterator[None]:
    """Have `ray.init` start fewer processes, and not wait for those that a run can do without.

    A raylet gives its agents 15 s to report the ports that they chose, however busy the machine is, and then ends
    itself (ray #65983); ports that were chosen for them it does not wait for. The autoscaler's monitor and the log
    monitor have nothing to do on one machine with quiet logs. `ray.init` has no arguments for these, so what it calls is
    given them while it runs.
    """
    grpc, runtime_env, listen, export = free_ports(4)
    parameters = functools.partial(
        parameter.RayParams, no_monitor=True, include_log_monitor="", metrics_agent_port=grpc,
        runtime_env_agent_port=runtime_env, dashboard_agent_listen_port=listen,
    )
    told = raylet_told(f"--dashboard_agent_listen_port={listen}", f"--metrics_export_port={export}")
    with _replaced(parameter, "RayParams", parameters), told:
        yield


@contextmanager
def raylet_told(*options: str) -> Iterator[None]:
    """Have the raylets that this process starts in the block get options that Ray does not pass on."""
    start_process = services.start_ray_process

    def start_told(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        more = options if process_type == PROCESS_TYPE_RAYLET else ()
        return start_process([*command, *more], process_type, *args, **kwargs)

    with _replaced(services, "start_ray_process", start_told):
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nobody listens on now."""
    found: list[int] = []
    for port in random.Random().sample(AGENT_PORTS, len(AGENT_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
    return found


def shut_down() -> None:
    """Leave Ray; what it started here is waited for, so that neither a process nor a zombie stays behind."""
    node = ray._private.worker._global_node
    infos: list[Any] = [info for group in node.all_processes.values() for info in group] if node is not None else []
    ray.shutdown()
    for info in infos:
        try:
            info.process.wait(timeout=EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            info.process.kill()
            info.process.wait()


def abandon() -> None:
    """Let go of a Ray that is no more: end what is left of it here, and wait for nobody."""
    node = ray._private.worker._global_node
    infos: list[Any] = [info for group in node.all_processes.values() for info in group] if node is not None else []
    left = [child for info in infos for child in _children_of(info.process.pid)]
    for info in infos:
        info.process.kill()
        info.process.wait()
    for child in left:      # agents, which would try for a minute to tell a server that is gone
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    # Ray's own last acts, at this process's end and after an exception, would wait too.
    atexit.unregister(ray._private.worker.shutdown)
    sys.excepthook = sys.__excepthook__
    in_time(ray.shutdown, EXIT_TIMEOUT_S)


def _children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _use_token(*, make: bool) -> None:
    """Turn token authentication on, because Ray listens on all interfaces whatever it is told.

    A cluster of our own gets a token that lives as long as this process, unless the user has one.
    """
    if os.environ.get("RAY_AUTH_MODE"):
        return
    kept = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not kept and not os.path.exists(os.path.expanduser("~/.ray/auth_token")):
        if not make:
            return
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_AUTH_MODE"] = "token"
    # Ray reads the mode when it is imported; without this it starts a server with the token and calls it without.
    Config.initialize("")


def _on_lasting_thread(start: Callable[[], None]) -> Callable[[], None]:
    """Run `start` on a thread that then stays until the function returned here is called.

    Linux kills Ray's processes when the thread that started them ends, even if the process goes on: a task's thread
    must not be that one. And on a thread of its own Ray leaves this process's signal handlers alone.
    """
    started: Future[None] = Future()
    over = threading.Event()

    def keep() -> None:
        try:
            start()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        over.wait()

    threading.Thread(target=keep, name="ray-keeper", daemon=True).start()
    try:
        started.result()
    except (KeyboardInterrupt, SystemExit):
        started.add_done_callback(lambda _: shut_down())
        raise
    return over.set


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the CPUs that this process may use: Ray counts the host's, in a container too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cgroup.read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))
