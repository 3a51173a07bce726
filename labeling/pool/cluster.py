"""Ray: started in this process or joined by address, and left without a trace."""

import atexit
import gc
import logging
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import ray

from labeling.config import ClusterConfig
from labeling.errors import BadConfiguration, ClusterFailed, ClusterGone
from labeling.files import child_processes
from labeling.pool import ray as private_ray
from labeling.pool.pulse import JOIN_HINT, check_head, in_time

log = logging.getLogger(__name__)

RayOptions = Mapping[str, Any]  # arguments of `ray.init`

# Jobs and receipts are small and no frame goes through the object store; Ray's least is 75 MiB.
OBJECT_STORE_BYTES = 80 * 2**20
# Ray waits 5 s before it kills an actor that does not answer; a cancelled run has to be gone by then.
KILL_TIMEOUT_MS = 2000
EXIT_TIMEOUT_S = 3.0
START_ATTEMPTS = 3
LONGEST_FOLDER = 40
START_HINT = "are /tmp/ray and /dev/shm writable, with a few hundred MiB free, and is the machine not overloaded?"


@contextmanager
def open_cluster(cluster: ClusterConfig) -> Iterator[None]:
    """Have Ray for the block: as it is if it runs already, else joined by address, else started here.

    What was started or joined is left at the end, what ran before stays. SIGTERM ends the block by SystemExit(143)
    unless the program has a handler of its own.

    Raises:
        BadConfiguration: an address of Ray Client (`ray://`).
        ClusterFailed: Ray did not start or does not answer; the message says what to look at.
    """
    options = options_for(cluster)      # first, so that an address is refused whether Ray runs already or not
    if ray.is_initialized():
        with _exit_on_sigterm():
            yield
        return
    with _exit_on_sigterm():
        let_go = start(options)
        _take_sigterm_back()
        end = shut_down
        try:
            yield
        except ClusterGone:
            end = abandon
            raise
        finally:
            end()
            let_go()


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that actors are killed, where nothing else handles it."""
    if not _on_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        # A generator may be closed on another thread than it began on.
        if _on_main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _take_sigterm_back() -> None:
    """Put Python's handler in front again: Ray's native one prints a stack trace and then calls it."""
    handler = signal.getsignal(signal.SIGTERM)
    if _on_main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def options_for(cluster: ClusterConfig) -> RayOptions:
    """Return `ray.init`'s arguments: to start Ray here, or to join it by address.

    Raises:
        BadConfiguration: an address of Ray Client (`ray://`).
    """
    # Under `ray job submit` the address comes by the environment.
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    ours = {"log_to_driver": False, "logging_level": logging.ERROR, "job_config": _import_path()}
    if not address or address == "local":
        return {
            "address": "local", "num_cpus": usable_cpus(), "include_dashboard": cluster.dashboard,
            "object_store_memory": OBJECT_STORE_BYTES, **_short_folder(), **_object_store_folder(), **ours,
        }
    if address.startswith("ray://"):
        raise BadConfiguration(
            f"{setting_of(address)}; expected host:port of the head or auto. Ray Client drops its actors after "
            "30 s without a connection: run this on a node of the cluster (`ray start --address=HEAD:6379 --num-cpus=0` "
            "makes one without capacity) or by `ray job submit`"
        )
    return {"address": address, **ours}


def setting_of(address: str) -> str:
    """Return an address with the setting that it comes from."""
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
        parent = folder if os.path.isdir(folder) else os.path.dirname(folder)
        if len(os.fsencode(folder)) <= LONGEST_FOLDER and os.access(parent, os.W_OK | os.X_OK):
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


def _import_path() -> private_ray.ImportPath:
    """Return a job whose actors import from where this package lies, if that is not where packages are installed."""
    top = str(Path(__file__).resolve().parents[2])
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return private_ray.ImportPath(None if top in installed else top)


def start(options: RayOptions) -> Callable[[], None]:
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


def _init(options: RayOptions, *, light: bool) -> None:
    joins = options["address"] != "local"
    _use_token(make=not joins)
    os.environ.setdefault("RAY_kill_worker_timeout_milliseconds", str(KILL_TIMEOUT_MS))
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if joins:
            check_head(options["address"], setting_of(options["address"]))
        with nullcontext() if joins or not light else private_ray.light_start():
            ray.init(**options)
        private_ray.log_prints(_log_first_line)
    except (ClusterFailed, BadConfiguration):
        raise
    except Exception as error:
        where = f"at {setting_of(options['address'])}" if joins else "in this process"
        hint = JOIN_HINT if joins else START_HINT
        raise ClusterFailed(f"no Ray {where}: {hint}\n{type(error).__name__}: {error}") from error


def _log_first_line(data: Mapping[str, Sequence[str]]) -> None:
    """Log the beginning of what Ray would print: of a process that died, that it did, and not the end of its log."""
    log.warning("Ray: %s", " ".join(data["lines"]).strip().partition("\n")[0][:300])


def shut_down() -> None:
    """Leave Ray; what it started here is waited for, so that neither a process nor a zombie stays behind."""
    processes = private_ray.started_processes()
    ray.shutdown()
    for process in processes:
        try:
            process.wait(timeout=EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def abandon() -> None:
    """Let go of a Ray that is no more: end what is left of it here, and wait for nobody."""
    processes = private_ray.started_processes()
    left = [child for process in processes for child in child_processes(process.pid)]
    for process in processes:
        process.kill()
        process.wait()
    for child in left:      # agents, which would try for a minute to tell a server that is gone
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    # Ray's own last acts, at this process's end and after an exception, would wait too.
    if (last_act := private_ray.last_act()) is not None:
        atexit.unregister(last_act)
    sys.excepthook = sys.__excepthook__
    in_time(ray.shutdown, EXIT_TIMEOUT_S)


def _use_token(*, make: bool) -> None:
    """Turn token authentication on, because Ray listens on all interfaces whatever it is told.

    A cluster of our own gets a token that lives as long as this process, unless the user has one.
    """
    if os.environ.get("RAY_AUTH_MODE"):
        return
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token and not os.path.exists(os.path.expanduser("~/.ray/auth_token")):
        if not make:
            return
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_AUTH_MODE"] = "token"
    private_ray.reread_environment()


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
