"""What a worker needs to work for a driver: the same store, and AWS settings that are all its own or all the driver's.

A token goes to the worker's store and back before the worker takes a job.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from labeling.errors import STORE_NOT_SHARED, BadInput, ClusterFailed
from labeling.objects import Objects, open_objects
from labeling.store import layout

log = logging.getLogger(__name__)

# A file on a network's disk may be a moment late on another machine.
PATIENCE_S = 10.0
# Where a machine, a pod or a role leaves credentials beside the files and the instance's own.
OF_ITS_OWN = (
    "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class SharedRoot:
    """A root, and the token that the run's driver lays out in it, where workers may read and write in any case."""

    root: str
    key: str
    token: str

    @contextmanager
    def laid_out(self) -> Iterator[None]:
        """Have the token under the root while the block runs."""
        objects = open_objects(self.root)
        objects.put(self.key, self.token.encode())
        try:
            yield
        finally:
            objects.delete(self.key)

    def prove(self) -> str:
        """In a worker: find the token, answer it beside it, and say where.

        Raises:
            BadInput: `store_not_shared`: what is there under this root is not what the driver sees.
        """
        objects, node = open_objects(self.root), node_name()
        if not _comes(objects, self.key, self.token):
            raise BadInput(
                f"node {node} does not see under {self.root} what this run wrote there: {_advice(self.root)}", STORE_NOT_SHARED
            )
        answer = f"{self.key}-{node}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            objects.put(answer, self.token.encode())
        except OSError as error:
            message = f"node {node} may not write under {self.root} ({error.strerror}): give Ray's user the right to"
            raise BadInput(message, STORE_NOT_SHARED) from error
        return answer

    def accept(self, answer: str) -> None:
        """In the driver: see a worker's answer, and remove it.

        Raises:
            ClusterFailed: it is not there.
        """
        objects = open_objects(self.root)
        if not _comes(objects, answer, self.token):
            node = answer.removeprefix(self.key + "-")
            raise ClusterFailed(f"what node {node} wrote under {self.root} is not seen here: {_advice(self.root)}")
        objects.delete(answer)


def shared_root(objects: Objects, run_id: str) -> SharedRoot:
    """The proof for one run, with a token of its own."""
    token = secrets.token_hex(16)
    return SharedRoot(objects.root, f"{layout.PENDING}{run_id}/{token[:8]}.token", token)


def node_name() -> str:
    """This machine, as Ray's status and its owner may know it."""
    from ray.util import get_node_ip_address

    return f"{socket.gethostname()}-{get_node_ip_address()}"  # type: ignore[no-untyped-call]


def _comes(objects: Objects, key: str, token: str) -> bool:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            if objects.get(key) == token.encode():
                return True
        except OSError:     # absent, or not for this user
            pass
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.5)


def _advice(root: str) -> str:
    if root.startswith("s3://"):
        return "its AWS settings lead to another server; give all nodes the same (AWS_ENDPOINT_URL)"
    return "give a folder that all nodes mount at this path, or s3://bucket/prefix"


def aws_settings() -> dict[str, str]:
    """Return this process's AWS variables."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def settle(drivers: Mapping[str, str], *, same_machine: bool) -> str:
    """Decide in a worker whose AWS settings hold, and have them in its environment; returns `worker` or `driver`.

    A worker with credentials of its own (variables, a profile, a role) keeps them, with its region and endpoint. Where the
    driver started it itself, its variables are an older copy of the driver's.
    """
    if not drivers:
        return "worker"
    if not same_machine and (where := _credentials_here()):
        log.info("AWS: this worker keeps its own credentials (%s), region and endpoint", where)
        return "worker"
    for name in aws_settings():
        del os.environ[name]
    os.environ.update(drivers)
    return "driver"


def _credentials_here() -> str:
    """Where this process has credentials from; empty where it has none."""
    for name in OF_ITS_OWN:
        if os.environ.get(name):
            return name
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        credentials = botocore.session.Session().get_credentials()
    except BotoCoreError as error:      # a profile that is half written is its own to mend, not the driver's to hide
        return str(error)
    return str(credentials.method) if credentials is not None else ""
