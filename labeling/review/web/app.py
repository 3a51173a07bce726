"""The application: routes, guard, errors, signing in and out, the page's own files, and the queue's figures for Prometheus."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from labeling import metrics
from labeling.review.accounts import SESSION_S, Reviewer
from labeling.review.figures import figures_of
from labeling.review.web import items, queue
from labeling.review.web.guard import LOOPBACK, Guard, cookie_path, is_for_others, is_from_here, is_https
from labeling.review.web.requests import Empty, Json, Login, Refused, install
from labeling.review.web.services import COOKIE, Served, Services, Writing, reader
from labeling.store.schemas import code_version

T = TypeVar("T")

router = APIRouter(prefix="/api")


@router.get("/me")
def me(request: Request, response: Response, services: Served) -> Json:
    """Who is signed in; on this machine, without tokens, a server started for one reviewer signs them in."""
    try:
        return _greeting(reader(request, services), services)
    except Refused:
        name = services.settings.reviewer
        if name is None or _asks_for_token(request, services):
            raise
    cookie, reviewer = services.accounts.sign_in_by_name(name)
    _set_cookie(request, response, cookie)
    return _greeting(reviewer, services)


@router.post("/login")
def login(body: Login, request: Request, response: Response, services: Served) -> Json:
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
) -> Json:
    """End the session."""
    services.accounts.sign_out(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path=cookie_path(request), httponly=True, samesite="strict", secure=is_https(request))
    return {}


def with_limit(request: Request, services: Services, look_up: Callable[[], T]) -> T:
    """What a token opens; what opens nothing counts against its address, and too much of it is refused for some minutes."""
    address = request.client.host if request.client else ""
    wait_s = services.sign_in_limit.wait_s(address)
    if wait_s:
        refused = Refused(
            429, "too_many", "too many tokens that do not work have come from your address, or to this server",
            f"try again in {wait_s} seconds; who is signed in can go on",
        )
        refused.headers["Retry-After"] = str(wait_s)
        raise refused
    opened = look_up()
    if not opened:
        services.sign_in_limit.missed(address)
    return opened


def _asks_for_token(request: Request, services: Services) -> bool:
    return not services.settings.open_door or is_for_others(request) or services.accounts.any_tokens()


def _set_cookie(request: Request, response: Response, cookie: str) -> None:
    response.set_cookie(
        COOKIE, cookie, max_age=int(SESSION_S), path=cookie_path(request), httponly=True, samesite="strict",
        secure=is_https(request),
    )


def _greeting(reviewer: Reviewer, services: Services) -> Json:
    return {
        "reviewer": reviewer.name, "role": reviewer.role, "csrf": reviewer.csrf, "lease_seconds": services.settings.lease_s,
        "dataset": services.settings.dataset, "server_version": code_version(),
    }

# The modules' names do not change with their content: a browser asks each time, and mostly hears that nothing is new.
REVALIDATE = "no-cache"
STATIC = Path(__file__).parent / "static"


figures = APIRouter()


@figures.get("/metrics")
def read_metrics(request: Request, services: Served) -> Response:
    """Give backlog, its oldest item, leases and decisions in Prometheus's text format: here, or to who brings a token."""
    if not _may_read(request, services):
        raise Refused(401, "unauthorized", "figures are for this machine", "send Authorization: Bearer TOKEN, a reviewer's")
    families = services.figures.of("", lambda: figures_of(services.queue))
    return Response(metrics.text(families), media_type=metrics.CONTENT_TYPE)


def _may_read(request: Request, services: Services) -> bool:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if is_from_here(request):
        return True
    return kind.lower() == "bearer" and with_limit(request, services, lambda: services.accounts.holds(token))


class PageFiles(StaticFiles):
    """The page's own files, each with an ETag, to be asked for anew each time."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, or 304 where the browser has it as it is."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = REVALIDATE
        return response


def create_app(
    services: Services, *, hosts: Collection[str] | None = LOOPBACK, root_path: str = "", static: Path = STATIC
) -> FastAPI:
    """Make the application; `hosts` are the names that it answers to, None for any, `root_path` the path a proxy has it under.

    The services are closed when the application shuts down; the queue stays its owner's.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(
        title="samurai-labeling review", version=code_version(), docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", lifespan=lifespan, redirect_slashes=False,
    )
    app.state.services = services
    install(app)
    for part in (router, queue.router, items.router, figures):
        app.include_router(part)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        """The page."""
        index = static / "index.html"
        if not index.is_file():
            raise Refused(404, "not_found", "the page is not in this installation", "install samurai-labeling again")
        return FileResponse(index, headers={"Cache-Control": REVALIDATE})

    app.mount("/static", PageFiles(directory=static, check_dir=False), name="static")
    app.add_middleware(Guard, hosts=hosts, root_path=root_path)
    return app
