"""What every request passes before it is looked at: its host, its origin, its kind and its length; and headers on the way out.

A page of another site must not reach a server on this machine: its name may lead here (so the host is checked), and its
forms may be sent here (so a write must be JSON, with an origin of ours where the browser says one). Behind a proxy the host
and the path may be others than the browser's: `proxies` knows what is believed then.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeling.review.web.errors import Refused
from labeling.review.web.proxies import is_own_page, name_of, place_of, prefix_of, without_prefix

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
        asked, scope = scope["path"], without_prefix(scope, prefix)
        answer = _with_headers(send, scope["path"])
        try:
            self._check(scope, headers)
            if prefix and asked == prefix:
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
                f"--name {name_of(place_of(origin))[:80] or 'NAME'}",
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
    wanted = _RAW_API if path.startswith("/api/") else _RAW

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in wanted if pair[0] not in there)]
        await send(message)

    return answer
