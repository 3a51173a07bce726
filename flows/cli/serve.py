"""`labeling review serve`: the queue and the store of a dataset behind a page, until it is stopped."""

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from rich.console import Console

from flows.cli.arguments import require_store, require_written
from flows.run.review_queue import configured_url, open_queue
from labeling import logs
from labeling.config import LabelConfig, default_scratch
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.review.accounts import Accounts
from labeling.review.flow.leases import MAX_LEASE_S
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from labeling.review.web.corrections import Clicker, Network
from labeling.review.web.frames import FrameCache, Prefetcher
from labeling.review.web.guard import LOOPBACK, checked_prefix, name_of
from labeling.review.web.services import PageQueue, ServerSettings, Services
from labeling.review.web.store_view import StoreView
from labeling.track.predictor import build_predictor, default_device, recipe_of

log = logging.getLogger(__name__)

STOP_S = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen and how leases run; `hosts` are further names that the server is reached by.

    Behind a proxy: `root_path` is the path that it has the page under, `proxies` the addresses or networks of proxies whose
    X-Forwarded-For is believed.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    lease_s: float = 600.0
    reviewer: str | None = None
    hosts: tuple[str, ...] = ()
    root_path: str = ""
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.hosts:
            if not name or name_of(name) != name.lower():
                raise BadConfiguration(f"--name is {name!r}; expected a host name without scheme, port and path")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError as error:
                raise BadConfiguration(f"--proxy is {proxy!r}; expected an address such as 10.0.0.7 or 10.0.0.0/24") from error
        try:
            checked_prefix(self.root_path)
        except ValueError as error:
            raise BadConfiguration(f"--root-path is {error}") from error

    @property
    def is_proxied(self) -> bool:
        """Whether the options speak of a proxy, through which others may reach a server of this machine alone."""
        return bool(self.hosts or self.root_path or self.proxies)


def serve(config: LabelConfig, place: Place, console: Console) -> None:
    """Serve the review page until SIGINT or SIGTERM.

    Raises:
        BadConfiguration: no store, a port that is taken, or an address of a network while no token was made.
    """
    require_store(config)
    if not 0 < place.lease_s <= MAX_LEASE_S:
        raise BadConfiguration(f"--lease-s is {place.lease_s}; expected seconds above 0 and at most {MAX_LEASE_S:.0f}")
    logs.use(config.logging.format)
    if not configured_url(config):      # a queue at a place of its own may be there before the first run
        require_written(config)
    with open_queue(config) as queue, listening(place) as bound:
        server = server_for(config, queue, place, console)
        port = bound.getsockname()[1]
        shown = f"[{place.host}]" if ":" in place.host else place.host
        address = f"http://{shown}:{port}{checked_prefix(place.root_path)}/"
        console.print(f"[bold]review page:[/] {address}   (stop with Ctrl+C)", soft_wrap=True)
        if place.is_proxied and not Accounts(queue).any_tokens():
            word = "whoever a proxy sends here must have one: labeling review token NAME"
            console.print(f"[yellow]no token:[/] {word}", soft_wrap=True)
        server.run(sockets=[bound])


def server_for(config: LabelConfig, queue: ReviewQueue, place: Place, console: Console) -> uvicorn.Server:
    """Make the server that `serve` runs; BadConfiguration where others could reach it and no reviewer has a token."""
    local = is_loopback(place.host)
    if not local and not Accounts(queue).any_tokens():
        raise BadConfiguration(
            f"--host is {place.host}, which others can reach, and no reviewer has a token. Make one first: "
            f"labeling review token NAME store.root={config.store.root}; or leave --host away to serve this machine alone"
        )
    services = services_for(config, queue, place, console)
    hosts = {*LOOPBACK, *map(str.lower, place.hosts)} if local else None
    return uvicorn.Server(uvicorn.Config(
        create_app(services, hosts=hosts, root_path=checked_prefix(place.root_path)), log_level="warning", log_config=None,
        access_log=False, server_header=False, timeout_graceful_shutdown=STOP_S,
        proxy_headers=bool(place.proxies), forwarded_allow_ips=[*place.proxies],
    ))


def services_for(config: LabelConfig, queue: ReviewQueue, place: Place, console: Console) -> Services:
    """Put together what requests are served with."""
    scratch = Path(config.run.scratch or default_scratch()) / "review"
    cap = int(config.run.scratch_cap_gib * 2**30)
    frames = FrameCache(scratch, source_root=config.source.uri or None, cap_bytes=cap)
    settings = ServerSettings(place.lease_s, place.reviewer, open_door=is_loopback(place.host), dataset=config.store.root)
    build, why = network_of(config)
    if build is None:
        console.print(f"[yellow]no network:[/] {why} Reviewers can settle items, without masks from clicks.", soft_wrap=True)
    return Services(
        queue=queue, page=PageQueue(queue), accounts=Accounts(queue), store=StoreView(open_objects(config.store.root)),
        frames=frames, prefetcher=Prefetcher(frames), clicker=Clicker(build, why=why), settings=settings,
    )


def network_of(config: LabelConfig) -> tuple[Callable[[], Network] | None, str]:
    """Return what builds the configured network, or None and why there is none."""
    try:
        recipe = recipe_of(config.model, config.precision, config.tracker)
    except BadConfiguration as error:
        return None, f"{error}."
    device = default_device()

    def build() -> Network:
        predictor = build_predictor(recipe, config.model.checkpoint, device=device)
        return Network(predictor, recipe.precision, device)

    return build, ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """Listen at a place for the block; BadConfiguration where that is not possible."""
    if not 0 <= place.port < 1 << 16:
        raise BadConfiguration(f"--port is {place.port}; expected 0 (any that is free) to 65535")
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise BadConfiguration(
            f"cannot listen at {place.host} port {place.port} ({error}); give --host and --port that are free, --port 0 for any"
        ) from error
    with bound:
        yield bound
