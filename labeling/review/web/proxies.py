"""What a proxy in front of the server tells: the path it has the page under, the name the browser asked for, and for whom.

None of it opens a door. A path that is wrong hurts only who sent it, a name only says where a page may come from, and the
address of a browser is believed only from proxies that were named (uvicorn's `forwarded_allow_ips`).
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_FORWARDED_HOST = re.compile(r'host="?([^;,"\s]+)', re.IGNORECASE)


def checked_prefix(path: str) -> str:
    """A path that the page lives below, without a slash at its end; ValueError for one that is none."""
    prefix = path.rstrip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{path[:80]!r}; expected a path such as /labels, of letters, digits and . _ ~ -")
    return prefix


def prefix_of(headers: Headers, root_path: str) -> str:
    """The path that the browser sees before ours: `root_path`, as the server was told, or else what the proxy says of it."""
    said = headers.get("x-forwarded-prefix", "").partition(",")[0].strip().rstrip("/")
    return root_path or (said if _PREFIX.fullmatch(said) else "")


def without_prefix(scope: Scope, prefix: str) -> Scope:
    """The request as the routes know it, whether the proxy has cut its path off or not."""
    path = scope["path"]
    if prefix and path.startswith(f"{prefix}/"):
        path = path[len(prefix):]
    return {**scope, "path": path, "raw_path": path.encode(), "root_path": "", "labeling.prefix": prefix}


def cookie_path(request: HTTPConnection) -> str:
    """Where a browser sends our cookie: below the proxy's path, so that two servers on one host do not share it."""
    return f"{request.scope.get('labeling.prefix', '')}/"


def is_https(request: HTTPConnection) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy before us."""
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (said, request.url.scheme)


def is_from_here(request: HTTPConnection) -> bool:
    """Whether who asks is on this machine, and no proxy sends it on for somebody who is not."""
    return request.client is not None and _is_loopback(request.client.host) and not is_for_others(request)


def is_for_others(request: HTTPConnection) -> bool:
    """Whether a proxy says that it asks for somebody on another machine."""
    lines = request.headers.getlist("x-forwarded-for") + request.headers.getlist("x-real-ip")
    return not all(_is_loopback(address) for line in lines for address in line.split(","))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip()).is_loopback
    except ValueError:
        return False


def name_of(host: str) -> str:
    """The host without its port, in lower case; an IPv6 address in brackets."""
    return (host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).lower()


def is_own_page(headers: Headers, hosts: Collection[str]) -> bool:
    """Whether a change is asked for by a page of this server, as far as the browser says; `hosts` are names it is known by.

    A browser says it itself where it can (Sec-Fetch-Site). Else its Origin must be the host that it asked, with the port;
    what a proxy passes on (X-Forwarded-Host, or a Host without the port, as nginx's $host) and names that were given to the
    server count by name alone. No page can set these headers on a request to another site.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site in ("same-origin", "same-site", "cross-site"):
        return site == "same-origin"
    host = headers.get("host", "").lower()
    if origin is None or (place := place_of(origin)) == host:
        return True
    named = {*map(str.lower, hosts), *({host} if name_of(host) == host else ())} - LOOPBACK
    return name_of(place) in (named | _forwarded_hosts(headers)) - {""}


def _forwarded_hosts(headers: Headers) -> set[str]:
    said = headers.get("x-forwarded-host", "").split(",") + _FORWARDED_HOST.findall(headers.get("forwarded", ""))
    return {name_of(host.strip()) for host in said}


def place_of(origin: str) -> str:
    """Host and port of an origin, none where it has another form."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
