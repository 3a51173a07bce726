"""The parts of a stack: how each is started, how one sees that it answers, and what is done once before and after."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3

from flows.stack.stack import Stack, binary, environment, postgres_folder, top_of_checkout
from labeling.errors import BadConfiguration

NODE_CPUS = 1
ONCE_S = 1200


@dataclass(frozen=True, slots=True)
class StackPart:
    """One process. `before` and `after` are repeatable; `after` runs each time that the part was started and answers.

    One that ends instead of answering is started `tries` times in all; `end_by` is the signal that ends it.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    address: str
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    user: str | None = None
    tries: int = 1
    end_by: int = signal.SIGTERM


def parts_of(stack: Stack) -> tuple[list[StackPart], list[str]]:
    """Return the parts in the order of their start, and a sentence for each that this machine cannot have."""
    env = environment(stack)
    missing = []
    parts = [_s3(stack, env), _prefect(stack, env), *_ray(stack, env)]
    if postgres_folder() is None:
        missing.append("PostgreSQL: apt-get install postgresql. Until then Prefect and the queue use SQLite")
    else:
        parts.insert(0, _postgres(stack, env))
    if top_of_checkout() is None:
        missing.append("deployments and Prometheus: infra/ is no part of the installed package; run this in a checkout")
    parts += [_worker(stack, env), _review(stack, env), _metrics(stack, env)]
    if shutil.which("prometheus") is None:
        missing.append("Prometheus: apt-get install prometheus")
    elif (top := top_of_checkout()) is not None:
        parts.append(_prometheus(stack, env, top))
    return parts, missing


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status) < 400
        except (urllib.error.URLError, OSError):
            return False

    return ready


def _says(stack: Stack, name: str, words: str) -> Callable[[], bool]:
    def ready() -> bool:
        log = stack.log(name)
        return log.exists() and words in log.read_text(errors="replace")

    return ready


def _once(stack: Stack, log: str, *command: str, env: Mapping[str, str], user: str | None = None) -> str:
    """Run a command to its end and return what it said; BadConfiguration with its output where it fails."""
    try:
        done = subprocess.run(
            command, env=dict(env), user=user, group=user, extra_groups=[] if user else None, timeout=ONCE_S, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd="/" if user else None,
        )
    except subprocess.TimeoutExpired as error:
        raise BadConfiguration(f"{' '.join(command[:4])} did not end within {ONCE_S} s; is this machine overloaded?") from error
    stack.log(log).parent.mkdir(parents=True, exist_ok=True)
    with stack.log(log).open("a") as out:
        out.write(done.stdout)
    if done.returncode:
        raise BadConfiguration(f"{' '.join(command[:4])} failed with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


def _clear(data: Path) -> None:
    """Remove a database folder that a killed call had begun, and say that one is begun; any other with files is refused."""
    begun = _begun(data)
    if not begun.exists() and data.exists() and any(data.iterdir()):
        raise BadConfiguration(f"{data} holds other files than a database; give the stack another folder")
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.touch()
    shutil.rmtree(data, ignore_errors=True)


def _begun(data: Path) -> Path:
    return data.with_name(f".{data.name}.begun")


def _postgres(stack: Stack, env: Mapping[str, str]) -> StackPart:
    programs, data, port = postgres_folder(), stack.folder / "postgres", stack.ports["postgres"]
    assert programs is not None
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    database = (str(programs / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    with_password = {**env, "PGPASSWORD": stack.secrets["password"]}

    def make() -> None:
        if (data / "PG_VERSION").exists():
            return
        _clear(data)
        data.mkdir(parents=True, mode=0o700)
        password = data.parent / ".pgpass"
        password.touch(mode=0o600)
        password.write_text(stack.secrets["password"])
        if user:
            shutil.chown(data, user)
            shutil.chown(password, user)
        options = ("-D", str(data), "-U", "postgres", "-A", "scram-sha-256", "--locale=C", "-E", "UTF8", f"--pwfile={password}")
        try:
            _once(stack, "postgres", str(programs / "initdb"), *options, env=env, user=user)
        finally:
            password.unlink()
        _begun(data).unlink()

    def takes_queries() -> bool:
        command = (str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
        return subprocess.run(command, check=False).returncode == 0

    def make_databases() -> None:
        databases = _once(stack, "postgres", *database, "-Atc", "SELECT datname FROM pg_database", env=with_password).split()
        for name in {"prefect", "review"} - set(databases):
            _once(stack, "postgres", *database, "-c", f"CREATE DATABASE {name}", env=with_password)

    listen = ("-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", f"unix_socket_directories={data}")
    return StackPart(
        "postgres", (str(programs / "postgres"), "-D", str(data), *listen), env, takes_queries, f"127.0.0.1:{port}",
        before=make, after=make_databases, user=user,
        end_by=signal.SIGINT,       # told by SIGTERM, it waits for everybody to hang up
    )


def _s3(stack: Stack, env: Mapping[str, str]) -> StackPart:
    port = stack.ports["s3"]

    def make_buckets() -> None:
        client = boto3.session.Session().client(
            "s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        for name in ("videos", "labels"):
            client.create_bucket(Bucket=name)

    # In memory: what is in it goes with the process.
    command = (binary("moto_server"), "-H", "127.0.0.1", "-p", str(port))
    return StackPart("s3", command, env, _listens(port), f"http://127.0.0.1:{port}", after=make_buckets)


def _prefect(stack: Stack, env: Mapping[str, str]) -> StackPart:
    port, password = stack.ports["prefect"], stack.secrets["password"]
    server = {
        **env,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The defaults, 5 and 10 s, are too short for a machine on which everything starts at once.
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # KeptMasks in memory, the leases of runs in progress would be lost with a restart, and the runs would fail.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    if postgres_folder() is not None:
        where = f"postgres:{password}@127.0.0.1:{stack.ports['postgres']}/prefect"
        server["PREFECT_API_DATABASE_CONNECTION_URL"] = f"postgresql+asyncpg://{where}"

    def deploy() -> None:
        """Make the work pool and the deployments, or bring them up to date."""
        pool = env["LABELING_POOL"]
        _once(stack, "deploy", binary("prefect"), "work-pool", "create", pool, "--type", "process", "--overwrite", env=env)
        if (top := top_of_checkout()) is not None:
            deployed = ("--no-prompt", "deploy", "--prefect-file", str(top / "infra" / "prefect.yaml"), "--all")
            _once(stack, "deploy", "env", "-C", str(top), binary("prefect"), *deployed, env=env)

    command = (binary("prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    return StackPart("prefect", command, server, _answers(f"{address}/api/health"), address, after=deploy)


def _ray(stack: Stack, env: Mapping[str, str]) -> list[StackPart]:
    port = stack.ports["ray"]
    # Nothing here grows by itself: no autoscaler.
    bare = ("--include-dashboard=false", "--no-monitor")
    head = ("--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={stack.ray_folder}", *bare)
    # One per machine sends actors' lines to their driver.
    join = (f"--address=127.0.0.1:{port}", f"--num-cpus={NODE_CPUS}", "--include-log-monitor=false")
    return [
        _ray_node(stack, env, "ray-head", head),
        _ray_node(stack, env, "ray-node-1", join),
        _ray_node(stack, env, "ray-node-2", join),
    ]


def _ray_node(stack: Stack, env: Mapping[str, str], name: str, how: tuple[str, ...]) -> StackPart:
    agents = {
        "dashboard-agent-grpc-port": "grpc", "dashboard-agent-listen-port": "listen", "metrics-export-port": "export",
        "runtime-env-agent-port": "env",
    }
    agent_ports = tuple(f"--{option}={stack.ports[f'{name}-{agent}']}" for option, agent in agents.items())
    # Its workers' range of ports, 10002 to 19999, would take in those that were chosen here.
    anywhere = ("--min-worker-port=0", "--max-worker-port=0")
    fixed = ("--disable-usage-stats", "--block", "--object-store-memory=80000000", *anywhere)
    # A node that is told where a cluster is would look for another one.
    without_address = {key: value for key, value in env.items() if key != "RAY_ADDRESS"}
    command = (sys.executable, "-m", "flows.stack.ray", "start", *how, *agent_ports, *fixed)
    ready, address = _says(stack, name, "Ray runtime started"), f"127.0.0.1:{stack.ports['ray']}"
    # Ray gives a node 30 s to start, however busy the machine is.
    return StackPart(name, command, without_address, ready, address, tries=5)


def _worker(stack: Stack, env: Mapping[str, str]) -> StackPart:
    command = (binary("prefect"), "worker", "start", "--pool", env["LABELING_POOL"], "--type", "process", "--name", "stack")
    return StackPart("worker", command, env, _says(stack, "worker", "started!"), f"work pool {env['LABELING_POOL']}")


def _review(stack: Stack, env: Mapping[str, str]) -> StackPart:
    port, scratch = stack.ports["review"], f"run.scratch={env['LABELING_SCRATCH']}"
    settings = (f"store.root={env['LABELING_ROOT']}", f"source.uri={env['LABELING_SOURCE']}", scratch)
    command = (binary("labeling"), "review", "serve", "--port", str(port), *settings)
    return StackPart("review", command, env, _listens(port), f"http://127.0.0.1:{port}")


def _metrics(stack: Stack, env: Mapping[str, str]) -> StackPart:
    port = stack.ports["metrics"]
    command = (binary("labeling"), "metrics", "serve", env["LABELING_ROOT"], "--port", str(port))
    return StackPart("metrics", command, env, _listens(port), f"http://127.0.0.1:{port}/metrics")


def _prometheus(stack: Stack, env: Mapping[str, str], top: Path) -> StackPart:
    port, folder = stack.ports["prometheus"], stack.folder / "prometheus"

    def configure() -> None:
        """Copy the configuration and name the targets of this stack."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("prometheus.yml", "alerts.yml"):
            shutil.copy(top / "infra" / "prometheus" / name, folder / name)
        kinds = {"metrics": "store", "review": "review", "run": "run"}
        targets = [{"targets": [f"127.0.0.1:{stack.ports[p]}"], "labels": {"part": kind}} for p, kind in kinds.items()]
        (folder / "targets.yml").write_text(json.dumps(targets))

    command = (
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'data'}",
    )
    address = f"http://127.0.0.1:{port}"
    return StackPart("prometheus", command, env, _answers(f"{address}/-/ready"), address, before=configure)
