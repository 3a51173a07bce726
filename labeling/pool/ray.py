"""Ray's private names, and nothing but those: each works around one issue of Ray's that its public interface has no answer to.

| name                                         | issue it works around                                                        |
|----------------------------------------------|------------------------------------------------------------------------------|
| `RayParams`, `start_ray_process`             | #65983: a raylet ends itself when its agents are slow to report their ports  |
| `JobConfig._py_driver_sys_path`              | actors import a `sam2` or `flows` of the driver's working folder before ours |
| `Config.initialize`                          | the authentication mode is read once, when Ray is imported                   |
| `worker.print_to_stdstream`                  | a dead process's whole log is printed between the lines of the progress      |
| `canonicalize_bootstrap_address`, `GcsClient`, `find_node_ids` | `ray.init` tries a wrong address for a quarter of an hour  |
| `worker._global_node`, `worker.shutdown`     | `ray.shutdown` leaves zombies, and waits a minute for a head that is gone    |

Where another Ray lacks a name, what leans on it is left out: Ray starts by plain `ray.init`, with its own behaviour.
"""

import functools
import importlib
import inspect
import logging
import random
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ray.job_config import JobConfig

# Below the range that Linux hands out by itself, so that nobody is given the port between our look and Ray's use.
AGENT_PORTS = range(15000, 30000)

log = logging.getLogger(__name__)

PARAMETER, SERVICES, WORKER = "ray._private.parameter", "ray._private.services", "ray._private.worker"
CONSTANTS, RAYLET = "ray._private.ray_constants", "ray._raylet"


@functools.cache
def _note_missing(module: str, name: str) -> None:
    log.warning("this Ray has no %s.%s: it is used without what needs that", module, name)


def private(module: str, name: str) -> Any:
    """Return what a module of Ray calls by a private name; None, said once in the log, where it is gone."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        _note_missing(module, name)
        return None


class ImportPath(JobConfig):
    """A job whose actors import from one folder, or from what is installed alone where `folder` is None.

    Ray would put the driver's working folder and its program's before all else, and a folder there that is called `sam2` or
    `flows` would be taken for ours.
    """

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        self._py_driver_sys_path = [folder] if folder else []

    def _runtime_env_has_working_dir(self) -> bool:
        return True     # and so Ray adds no folder of its own choice


@contextmanager
def light_start() -> Iterator[None]:
    """Have `ray.init` start fewer processes, and not wait for those that a run can do without.

    A raylet gives its agents 15 s to report the ports that they chose, however busy the machine is, and then ends
    itself (ray #65983); ports that were chosen for them it does not wait for. The autoscaler's monitor and the log
    monitor have nothing to do on one machine with quiet logs. `ray.init` has no arguments for these, so what it calls is
    given them while it runs.
    """
    grpc, runtime_env, listen, export = free_ports(4)
    arguments = {
        "no_monitor": True, "include_log_monitor": "", "metrics_agent_port": grpc, "runtime_env_agent_port": runtime_env,
        "dashboard_agent_listen_port": listen,
    }
    parameters = private(PARAMETER, "RayParams")
    if parameters is None or not set(arguments) <= set(inspect.signature(parameters).parameters):
        yield
        return
    with (
        _replaced(PARAMETER, "RayParams", functools.partial(parameters, **arguments)),
        raylet_options(f"--dashboard_agent_listen_port={listen}", f"--metrics_export_port={export}"),
    ):
        yield


@contextmanager
def raylet_options(*options: str) -> Iterator[None]:
    """Have the raylets that this process starts in the block get options that Ray does not pass on."""
    start_process, raylet = private(SERVICES, "start_ray_process"), private(CONSTANTS, "PROCESS_TYPE_RAYLET")

    def start_with_options(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        more = options if process_type == raylet else ()
        return start_process([*command, *more], process_type, *args, **kwargs)

    with ExitStack() as stack:
        if start_process is not None and raylet is not None:
            stack.enter_context(_replaced(SERVICES, "start_ray_process", start_with_options))
        yield


@contextmanager
def _replaced(module: str, name: str, value: object) -> Iterator[None]:
    owner = importlib.import_module(module)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def free_ports(count: int) -> tuple[int, ...]:
    """Return TCP ports that nobody listens on now."""
    ports: list[int] = []
    for port in random.Random().sample(AGENT_PORTS, len(AGENT_PORTS)):
        if len(ports) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
    return tuple(ports)


def reread_environment() -> None:
    """Have Ray read its settings again: it did so when it was imported, and would serve with a token and call without."""
    config = private(RAYLET, "Config")
    if config is not None:
        config.initialize("")


def log_prints(write: Callable[[Mapping[str, Sequence[str]]], None]) -> None:
    """Hand what Ray would print of its processes to `write`, as a mapping with their `lines`."""
    if private(WORKER, "print_to_stdstream") is not None:
        importlib.import_module(WORKER).print_to_stdstream = lambda data, *_, **__: write(data)  # type: ignore[attr-defined]


def head_of_auto() -> str | None:
    """Return what address Ray makes of `auto`, None for a Ray of this process, "" where that is not known before `ray.init`.

    Raises:
        ConnectionError, ValueError: there is no cluster on this machine.
    """
    find = private(SERVICES, "canonicalize_bootstrap_address")
    head: str | None = find("auto") if find is not None else ""
    return head


def ask_head(address: str) -> None:
    """Connect to a head, which takes long where something else listens; an exception of Ray's where it refuses."""
    client = private(RAYLET, "GcsClient")
    if client is not None:
        client(address=address)


def runs_a_node() -> bool:
    """Whether this machine runs a node of a cluster; True where that is not known."""
    find = private(SERVICES, "find_node_ids")
    return find is None or bool(find())


def node() -> Any:
    """Return Ray's record of the node that this process started or joined, None where there is none."""
    return private(WORKER, "_global_node")


def started_processes() -> list[subprocess.Popen[bytes]]:
    """Return the processes that `ray.init` started here, as `Popen` objects."""
    groups = getattr(node(), "all_processes", {}).values()
    return [info.process for group in groups for info in group]


def named_processes() -> dict[str, list[subprocess.Popen[bytes]]]:
    """Return head and node as `Popen` objects by what a user calls them, where this process started them."""
    kinds = {"the head (gcs_server)": "PROCESS_TYPE_GCS_SERVER", "the node (raylet)": "PROCESS_TYPE_RAYLET"}
    started = getattr(node(), "all_processes", {})
    infos = {name: started.get(private(CONSTANTS, kind), ()) for name, kind in kinds.items()}
    return {name: [info.process for info in group] for name, group in infos.items() if group}


def addresses() -> dict[str, str]:
    """Return host:port of the head and of this machine's node, where this process joined them."""
    here = node()
    try:
        return {
            "the head": here.gcs_address, "this machine's node (raylet)": f"{here.node_ip_address}:{here.node_manager_port}"
        }
    except AttributeError:
        return {}


def last_act() -> Callable[[], None] | None:
    """Return what Ray has registered to be called at this process's end."""
    act: Callable[[], None] | None = private(WORKER, "shutdown")
    return act
