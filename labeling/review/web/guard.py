"""Checks every request's host, origin, content type and length before any route sees it, and sets headers of responses.

A page of another site must not reach a server on this machine: its name may lead here (so the host is checked), and its
forms may be sent here (so a write must be JSON, with an origin of ours where the browser says one).

A proxy in front sends the path that it has the page under, the name that the browser asked for, and the browser's address.
None of these grants access: a wrong path breaks only its sender's page, a name only says where a page may come from, and an
address is believed only from proxies that were named (uvicorn's `forwarded_allow_ips`).
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeling.review.web.requests import Refused

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_FORWARDED_HOST = re.compile(r'host="?([^;,"\s]+)', re.IGNORECASE)
KIB = 1024
MAX_BODY = 64 * KIB
# Masks of corrections travel as run lengths, some KiB each.
MAX_BODIES = {"decision": 16 * KIB * KIB, "propagate": 16 * KIB * KIB, "draft": 320 * KIB}
# Reading a million numbers takes seconds, in which nobody else is answered; a day's corrections have some thousands.
MAX_VALUES = 200_000
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_RAW = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_RAW_API = (*_RAW, (b"cache-control", b"no-store"))


class Guard:
    """Middleware; `hosts` are the names that the server answers to, None for any, `root_path` the path it lives below."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None = None, root_path: str = "") -> None:
        self._app, self._hosts = app, None if hosts is None else frozenset(hosts)
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        prefix = prefix_of(headers, self._root_path or scope.get("root_path", ""))
        path, scope = scope["path"], without_prefix(scope, prefix)
        answer = _with_headers(send, scope["path"])
        try:
            self._check(scope, headers)
            if prefix and path == prefix:
                # The page's own addresses are relative, so the last slash matters.
                await RedirectResponse(f"{prefix.rpartition('/')[2]}/")(scope, receive, answer)
                return
            passed = receive if scope["method"] in SAFE else await _read_whole(scope, receive)
        except Refused as refused:
            await refused.response()(scope, receive, answer)
            return
        await self._app(scope, passed, answer)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and (name := name_of(host)) not in self._hosts:
            raise Refused(
                403, "forbidden", f"this server does not answer to the host {host[:80]!r}",
                f"use the address that it printed, or start it with --name {name[:80] or 'NAME'} if that is its name",
            )
        if scope["method"] in SAFE:
            return
        if not is_own_page(headers, self._hosts or ()):
            origin = headers.get("origin", "another site")
            raise Refused(
                403, "forbidden", f"a page of another site asked for a change: {origin[:80]!r}; the host is {host[:80]!r}",
                "open the page on this server; behind a proxy pass X-Forwarded-Host on, or start the server with "
                f"--name {name_of(netloc_of(origin))[:80] or 'NAME'}",
            )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        empty = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        if kind != "application/json" and not empty:
            raise Refused(400, "bad_request", f"Content-Type is {kind[:80]!r}; expected application/json")


def limit_of(path: str) -> int:
    """How many bytes a request to a path may have."""
    return MAX_BODIES.get(path.rstrip("/").rpartition("/")[2], MAX_BODY)


async def _read_whole(scope: Scope, receive: Receive) -> Receive:
    """Read a body up to its limit, and return what gives it again."""
    limit, body, more = limit_of(scope["path"]), bytearray(), True
    declared = Headers(scope=scope).get("content-length", "0")
    if declared.isdecimal() and int(declared[:12]) > limit:
        raise _too_large(limit)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise _too_large(limit)
    if body.count(b",") > MAX_VALUES:
        raise Refused(413, "too_large", f"the request holds more than {MAX_VALUES} values", "send less at a time")
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


def _too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"the request has more than {limit} bytes", "send less at a time")


def _with_headers(send: Send, path: str) -> Send:
    headers = _RAW_API if path.startswith("/api/") else _RAW

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in sent)]
        await send(message)

    return answer


def checked_prefix(path: str) -> str:
    """A path that the page lives below, without a slash at its end; ValueError for one that is none."""
    prefix = path.rstrip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{path[:80]!r}; expected a path such as /labels, of letters, digits and . _ ~ -")
    return prefix


def prefix_of(headers: Headers, root_path: str) -> str:
    """The path that the browser sees before ours: `root_path`, as the server was told, or else what the proxy says of it."""
    prefix = headers.get("x-forwarded-prefix", "").partition(",")[0].strip().rstrip("/")
    return root_path or (prefix if _PREFIX.fullmatch(prefix) else "")


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
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (scheme, request.url.scheme)


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
    if origin is None or (netloc := netloc_of(origin)) == host:
        return True
    named = {*map(str.lower, hosts), *({host} if name_of(host) == host else ())} - LOOPBACK
    return name_of(netloc) in (named | _forwarded_hosts(headers)) - {""}


def _forwarded_hosts(headers: Headers) -> set[str]:
    hosts = headers.get("x-forwarded-host", "").split(",") + _FORWARDED_HOST.findall(headers.get("forwarded", ""))
    return {name_of(host.strip()) for host in hosts}


def netloc_of(origin: str) -> str:
    """Host and port of an origin, none where it has another form."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
