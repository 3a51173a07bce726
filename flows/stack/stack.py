"""`labeling stack`: the parts of a real installation as processes on this machine's loopback.

PostgreSQL, an S3 server, Prefect with a worker, Ray's head and two nodes, the review page, Prometheus. What is running is
written down in a folder, so that another call finds it, adds what is missing and ends nothing that it did not start.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from flows.stack.process import Running
from labeling.errors import BadConfiguration
from labeling.files import written_beside
from labeling.pool.ray import free_ports

PORTS = (
    "postgres", "s3", "prefect", "ray", "review", "metrics", "run", "prometheus",
    *(f"{node}-{agent}" for node in ("ray-head", "ray-node-1", "ray-node-2") for agent in ("grpc", "listen", "export", "env")),
)
STATE = "stack.json"


@dataclass(slots=True)
class Stack:
    """What a stack's folder says: ports, secrets, and the processes that were started."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    cron: str = "0 1 * * *"

    @property
    def ray_folder(self) -> Path:
        """Where Ray's sessions lie: sockets' paths must be short."""
        return Path(tempfile.gettempdir()) / f"ray-{self.secrets['token'][:8]}"

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.folder / "logs" / f"{name}.log"

    def alive(self, name: str) -> bool:
        """Whether a part that was started is still there."""
        return name in self.running and self.running[name].process() is not None

    def save(self) -> None:
        """Write the state down; readable by its owner alone, because it holds tokens."""
        state = {**asdict(self), "folder": str(self.folder)}
        with written_beside(self.folder / STATE, mode=0o600) as beside:
            beside.write_text(json.dumps(state, indent=1))


def open_stack(folder: Path) -> Stack:
    """Return what a folder says, or a stack that has nothing yet.

    Raises:
        BadConfiguration: the folder's state cannot be read.
    """
    path = folder.resolve() / STATE
    if not path.exists():
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        return Stack(folder.resolve(), ports, {"token": secrets.token_hex(32), "password": secrets.token_hex(16)})
    try:
        state = json.loads(path.read_text())
        running = {name: Running(**process) for name, process in state["running"].items()}
        return Stack(folder.resolve(), state["ports"], state["secrets"], running, state["cron"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadConfiguration(f"{path} cannot be read ({error}); end its processes by hand and remove {folder}") from error


def top_of_checkout() -> Path | None:
    """The folder that holds `infra/prefect.yaml`, None where the package was installed without it."""
    top = Path(__file__).resolve().parents[2]
    return top if (top / "infra" / "prefect.yaml").is_file() else None


def binary(name: str) -> str:
    """A program of this environment, else one on the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def postgres_folder() -> Path | None:
    """Where PostgreSQL's programs are, the newest version's; None where it is not installed."""
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) + ([Path(on_path).parent] if on_path else [])
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def environment(stack: Stack) -> dict[str, str]:
    """What every part, and a shell that works with them, has in its environment."""
    at = {name: f"127.0.0.1:{port}" for name, port in stack.ports.items()}
    password = stack.secrets["password"]
    queue = f"postgresql+psycopg://postgres:{password}@{at['postgres']}/review"
    ours = {
        "PYTHONUNBUFFERED": "1",
        "PREFECT_API_URL": f"http://{at['prefect']}/api",
        "PREFECT_HOME": str(stack.folder / "prefect"),
        "AWS_ENDPOINT_URL": f"http://{at['s3']}",
        "AWS_ACCESS_KEY_ID": "stack",
        "AWS_SECRET_ACCESS_KEY": password,
        "AWS_DEFAULT_REGION": "us-east-1",
        "RAY_ADDRESS": at["ray"],
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": stack.secrets["token"],
        # Ray's own, 15, leaves actors next to nothing on a machine that does something else as well.
        "RAY_worker_niceness": "0",
        "LABELING_REVIEW_URL": queue if postgres_folder() else str(stack.folder / "review.sqlite"),
        "LABELING_ENVIRONMENT": "stack",
        "LABELING_SOURCE": "s3://videos/raw",
        "LABELING_PROMPTS": "s3://videos/prompts.jsonl",
        "LABELING_ROOT": "s3://labels/main",
        "LABELING_MODEL": "nano",
        "LABELING_CHECKPOINT": "",
        "LABELING_CLUSTER": "ray",
        "LABELING_MAX_ACTORS": "null",
        "LABELING_CPUS_PER_ACTOR": "1",
        "LABELING_GPUS_PER_ACTOR": "0",
        "LABELING_POOL": "labeling",
        "LABELING_HOME": str(top_of_checkout() or stack.folder),
        "LABELING_SCRATCH": str(stack.folder / "scratch"),
        "LABELING_NIGHTLY_CRON": stack.cron,
        "LABELING_TIMEZONE": "UTC",
        "LABELING_METRICS_HOST": "127.0.0.1",
        "LABELING_METRICS_PORT": str(stack.ports["run"]),
    }
    taken = ("PREFECT_", "RAY_", "LABELING_", "AWS_")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(taken)}, **ours}
