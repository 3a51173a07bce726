"""The application: routes, guard, errors, the page's own files, and the queue's figures for Prometheus."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from labeling import metrics
from labeling.review.figures import figures_of
from labeling.review.web import decisions, items, pages, sessions
from labeling.review.web.errors import Refused, install
from labeling.review.web.guard import LOOPBACK, Guard, is_from_here
from labeling.review.web.services import Served, Services
from labeling.review.web.sessions import with_limit
from labeling.store.schemas import code_version

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
    for router in (sessions.router, pages.router, items.router, decisions.router, figures):
        app.include_router(router)

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
