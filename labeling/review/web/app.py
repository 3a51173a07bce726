"""The application: routes, guard, errors, and the page's own files."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from labeling.review.web import deciding, items, metrics, pages, sessions
from labeling.review.web.errors import Refused, install
from labeling.review.web.guard import Guard
from labeling.review.web.proxies import LOOPBACK
from labeling.review.web.services import Services
from labeling.store.schemas import code_version

# The modules' names do not change with their content: a browser asks each time, and mostly hears that nothing is new.
REVALIDATE = "no-cache"
STATIC = Path(__file__).parent / "static"


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
    for router in (sessions.router, pages.router, items.router, deciding.router, metrics.router):
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
