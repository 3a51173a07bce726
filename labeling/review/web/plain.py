"""Sends what an endpoint returns as it is."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.responses import Response


class PlainRoute(APIRoute):
    """A route whose endpoint returns plain values, written as JSON in the endpoint's own thread.

    Left to itself FastAPI looks at each value again, twice, which costs more than most of these answers.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        @wraps(endpoint)
        def answered(*args: Any, **kwargs: Any) -> Response:
            found = endpoint(*args, **kwargs)
            return found if isinstance(found, Response) else JSONResponse(found)

        super().__init__(path, answered, **options)
