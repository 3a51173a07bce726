"""The real server in a thread on 127.0.0.1, with the package's small network at hand, and Chromium to look at it."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue, utc_now
from labeling.review.web.app import create_app
from labeling.review.web.corrections import Clicker, Network
from labeling.review.web.services import Services
from labeling.store.snapshots import read_snapshot
from labeling.track.predictor import build_predictor, recipe_of
from tests.labeling.review.web.served import services_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# What a page of ours does not need costs seconds on a small machine.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--no-first-run",
)


def small_network() -> Network:
    """The network that the package holds; without weights an untrained one, which answers all the same."""
    model = NetworkConfig(allow_untrained=True)
    recipe = recipe_of(model, PrecisionConfig(), TrackerConfig())
    return Network(build_predictor(recipe, None, device="cpu"))


@contextmanager
def serving(services: Services, *, port: int = 0, below: str = "") -> Iterator[str]:
    """Serve for the block; gives the address. `below` is a path that is cut off before us, as a proxy does."""
    page = create_app(services)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        outside = scope["type"] == "http" and not path.startswith(f"{below}/")
        await (PlainTextResponse("elsewhere", 404) if outside else page)({**scope, "path": path[len(below):]}, receive, send)

    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="review-page", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        assert server.started, "the server ended before it began; its log says why"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{below}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


def filled_queue(path: Path, objects: FolderObjects, *, clock: Callable[[], datetime] = utc_now) -> ReviewQueue:
    """A queue with an item for each doubted masklet of a store."""
    queue = ReviewQueue(str(path), clock=clock)
    queue.open_from_snapshot(objects, read_snapshot(objects))
    return queue


def page_services(queue: ReviewQueue, objects: FolderObjects, scratch: Path, clicker: Clicker) -> Services:
    """The server's parts as the page's tests use them."""
    return services_of(queue, objects, scratch, clicker=clicker, reviewer="ada", dataset="tests")
