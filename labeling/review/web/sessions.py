"""Signing in and out, and who a request comes from."""

import hmac
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from labeling.review.accounts import SESSION_S, Reviewer
from labeling.review.web.errors import Refused
from labeling.review.web.guard import cookie_path, is_for_others, is_https
from labeling.review.web.requests import Empty, Login
from labeling.review.web.services import Served, Services
from labeling.store.schemas import code_version

COOKIE = "labeling_session"
CSRF = "X-CSRF-Token"

T = TypeVar("T")

router = APIRouter(prefix="/api")


def reader(request: Request, services: Served) -> Reviewer:
    """Who asks; 401 without a session."""
    cookie = request.cookies.get(COOKIE)
    reviewer = services.accounts.who(cookie) if cookie else None
    if reviewer is None:
        raise Refused(401, "unauthorized", "nobody is signed in", "sign in")
    return reviewer


def writer(request: Request, services: Served) -> Reviewer:
    """Who asks for a change; 403 without the session's own token in a header, which no other site can know."""
    who = reader(request, services)
    csrf = request.headers.get(CSRF, "")
    if not hmac.compare_digest(csrf.encode(), who.csrf.encode()):
        raise Refused(403, "forbidden", f"{CSRF} is missing or of another session", "load the page again")
    return who


Reading = Annotated[Reviewer, Depends(reader)]
Writing = Annotated[Reviewer, Depends(writer)]


@router.get("/me")
def me(request: Request, response: Response, services: Served) -> dict[str, Any]:
    """Who is signed in; on this machine, without tokens, a server started for one reviewer signs them in."""
    try:
        return _greeting(reader(request, services), services)
    except Refused:
        name = services.settings.reviewer
        if name is None or _asks_for_token(request, services):
            raise
    cookie, who = services.accounts.sign_in_by_name(name)
    _set_cookie(request, response, cookie)
    return _greeting(who, services)


@router.post("/login")
def login(body: Login, request: Request, response: Response, services: Served) -> dict[str, Any]:
    """Begin a session: with a token, or by name alone on this machine while no token was ever made."""
    if _asks_for_token(request, services) or body.token:
        session = with_limit(request, services, lambda: services.accounts.sign_in(body.token, name=body.reviewer))
        if session is None:
            raise Refused(401, "unauthorized", "the token is not one that works", "ask for one: labeling review token NAME")
    else:
        session = services.accounts.sign_in_by_name(body.reviewer)
    _set_cookie(request, response, session[0])
    return _greeting(session[1], services)


@router.post("/logout")
def logout(
    request: Request, response: Response, services: Served, _who: Writing, _body: Empty | None = None
) -> dict[str, Any]:
    """End the session."""
    services.accounts.sign_out(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path=cookie_path(request), httponly=True, samesite="strict", secure=is_https(request))
    return {}


def with_limit(request: Request, services: Services, look_up: Callable[[], T]) -> T:
    """What a token opens; what opens nothing counts against its address, and too much of it is refused for some minutes."""
    address = request.client.host if request.client else ""
    wait_s = services.guesses.wait_s(address)
    if wait_s:
        refused = Refused(
            429, "too_many", "too many tokens that do not work have come from your address, or to this server",
            f"try again in {wait_s} seconds; who is signed in can go on",
        )
        refused.headers["Retry-After"] = str(wait_s)
        raise refused
    opened = look_up()
    if not opened:
        services.guesses.missed(address)
    return opened


def _asks_for_token(request: Request, services: Services) -> bool:
    return not services.settings.open_door or is_for_others(request) or services.accounts.any_tokens()


def _set_cookie(request: Request, response: Response, cookie: str) -> None:
    response.set_cookie(
        COOKIE, cookie, max_age=int(SESSION_S), path=cookie_path(request), httponly=True, samesite="strict",
        secure=is_https(request),
    )


def _greeting(who: Reviewer, services: Services) -> dict[str, Any]:
    return {
        "reviewer": who.name, "role": who.role, "csrf": who.csrf, "lease_seconds": services.settings.lease_s,
        "dataset": services.settings.dataset, "server_version": code_version(),
    }
