"""Every refusal in one shape: {"error": {"code", "message", "hint"}} with a status of its own."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from labeling.errors import BadConfiguration, BadInput, LabelingError, Unavailable
from labeling.review.errors import AlreadySettled, ItemHeld, LostLease, NeedsSenior, OthersLease, UnknownItem

log = logging.getLogger(__name__)

_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large", 429: "too_many", 503: "unavailable"}
_KINDS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (UnknownItem, 404, "not_found", "take an item from the queue"),
    (ItemHeld, 409, "item_held", "take another item, or wait until the lease ends"),
    (NeedsSenior, 409, "needs_senior", "take another item"),
    (AlreadySettled, 409, "already_settled", "take the next item"),
    (OthersLease, 403, "forbidden", "claim the item yourself"),
    (LostLease, 409, "lost_lease", "claim the item again"),
    (Unavailable, 503, "unavailable", "try again in a moment"),
    (BadConfiguration, 503, "unavailable", "tell whoever runs this server"),
    (BadInput, 400, "bad_request", "correct the request"),
)
# Of a video, not of the request: what was asked may be right and still cannot be shown.
_VIDEO_REASONS = {"missing_video", "not_a_video", "decode_error", "empty_video", "source_unavailable", "scratch_full"}


class Refused(Exception):
    """A refusal with its status, code, and a hint what to do."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.more = status, code, message, hint, more
        self.headers = {"Cache-Control": "no-store"}

    def response(self) -> JSONResponse:
        """The refusal as it is sent."""
        # A message may quote what was sent, and JSON can spell text that UTF-8 has no bytes for.
        message = self.message.encode("utf-8", "backslashreplace").decode()
        body = {"code": self.code, "message": message, "hint": self.hint, **self.more}
        return JSONResponse({"error": body}, status_code=self.status, headers=self.headers)


def refusal_of(error: Exception) -> Refused:
    """What is told of an error; one that nobody expected is logged and said to be so, without its text."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, BadInput) and error.reason in _VIDEO_REASONS:
        hint = "give the server source.uri=... where the videos are now" if error.reason == "missing_video" else ""
        return Refused(503, "unavailable", error.message, hint or "look at the video's file")
    for kind, status, code, hint in _KINDS:
        if isinstance(error, kind):
            more = {"draft_id": error.draft_id} if isinstance(error, LostLease) else {}
            return Refused(status, code, str(error), hint, **more)
    if isinstance(error, LabelingError):
        return Refused(503, "unavailable", error.message)
    log.error("a request failed", exc_info=error)
    return Refused(500, "internal", f"the server failed on this request ({type(error).__name__})", "its log says more")


def of_validation(error: RequestValidationError) -> Refused:
    """What is told of a request that does not have the expected form: the first places and why."""
    problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()[:5]]
    message = "; ".join(problems) or "the request has another form than expected"
    return Refused(400, "bad_request", message, "see /api/openapi.json")


def of_http(error: HTTPException) -> Refused:
    """What is told of an error that the framework found."""
    return Refused(error.status_code, _CODES.get(error.status_code, "bad_request"), str(error.detail))


def install(app: FastAPI) -> None:
    """Make every error of the application come out in this shape."""

    async def expected(_request: Request, error: Exception) -> JSONResponse:
        return refusal_of(error).response()

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return of_validation(error).response()

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return of_http(error).response()

    for kind in (Refused, LabelingError, BadConfiguration, Exception):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
