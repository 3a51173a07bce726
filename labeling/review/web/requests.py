"""Bodies of the page's requests, checked in form before a route sees them, and the one shape of every refusal.

A refusal is {"error": {"code", "message", "hint"}} with a status of its own.
"""

import json
import logging
from typing import Annotated, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from labeling.errors import BadConfiguration, BadInput, LabelingError, Unavailable, is_storable
from labeling.review.db.rows import MAX_NAME, MAX_NOTE
from labeling.review.items import AlreadySettled, ItemHeld, LostLease, NeedsSenior, OthersLease, UnknownItem

Json = dict[str, object]  # an object of JSON, as it is sent
BIGGEST = 2**63 - 1
MAX_WORK_BYTES, MAX_WORK_DEPTH = 256 * 1024, 32
MAX_POINTS, MAX_CORRECTIONS, MAX_SKIPPED = 200, 2_000, 1_000


def storable(text: str) -> str:
    """Refuse what databases cannot keep: NUL, and halves of a pair of surrogates, which JSON can spell."""
    if not is_storable(text):
        raise ValueError("expected text without NUL or lone surrogates")
    return text


Text = Annotated[str, Field(max_length=1_000), AfterValidator(storable)]
Note = Annotated[str, Field(max_length=MAX_NOTE), AfterValidator(storable)]
ItemId = Annotated[int, Field(ge=1, le=BIGGEST)]
FrameIdx = Annotated[int, Field(ge=0, le=2**31 - 1)]
Token = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)]
Label = Annotated[int, Field(ge=0, le=1)]
Points = Annotated[list[tuple[float, float, Label]], Field(max_length=MAX_POINTS)]
Corners = tuple[float, float, float, float]


class RequestBody(BaseModel):
    """What all bodies share: no unknown fields, no infinities."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Empty(RequestBody):
    """A body without fields."""


class Login(RequestBody):
    """A token, or a name where none is asked for."""

    token: Annotated[str, Field(max_length=200)] = ""
    reviewer: Annotated[str, Field(max_length=MAX_NAME), AfterValidator(storable)] = ""


class Claim(RequestBody):
    """A named item, or filters for the riskiest."""

    item_id: ItemId | None = None
    reason: Text | None = None
    category: Text | None = None
    run: Text | None = None
    skipping: Annotated[list[ItemId], Field(max_length=MAX_SKIPPED)] = []


class Held(RequestBody):
    """The token of a lease."""

    token: Token


class Release(Held):
    """A lease to give back, with a word for the history."""

    note: Note = ""


class MaskRuns(RequestBody):
    """A mask as COCO's compressed run lengths."""

    size: tuple[Annotated[int, Field(ge=1, le=1 << 16)], Annotated[int, Field(ge=1, le=1 << 16)]]
    counts: Annotated[str, Field(max_length=1 << 22, pattern=r"^[0-o]+$")]


class Preview(Held):
    """Clicks and a box on one frame; `from_mask` lets them mend the mask that is there."""

    frame_idx: FrameIdx
    points: Points = []
    box: Corners | None = None
    from_mask: bool = True


class CorrectionBody(RequestBody):
    """What a reviewer says of one frame: clicks, a box, the mask they saw, or that the object is not there.

    `span` are the source frames that it may change, half-open; none for all.
    """

    frame_idx: FrameIdx
    points: Points = []
    box: Corners | None = None
    mask: MaskRuns | None = None
    absent: bool = False
    span: tuple[FrameIdx, FrameIdx] | None = None


Corrections = Annotated[list[CorrectionBody], Field(max_length=MAX_CORRECTIONS)]


class Decide(Held):
    """A decision with what it took."""

    action: Literal["accept", "reject", "correct"]
    note: Note = ""
    seconds: Annotated[float, Field(ge=0, le=1e7)] | None = None
    clicks: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    corrections: Corrections = []


class Propagate(Held):
    """Corrections to track from, and how far: a half-open span of source frames."""

    corrections: Annotated[list[CorrectionBody], Field(min_length=1, max_length=MAX_CORRECTIONS)]
    direction: Literal["forward", "backward", "both"] = "forward"
    span: tuple[FrameIdx, FrameIdx] | None = None


class DraftBody(Held):
    """Unfinished work, as the page's own JSON."""

    work: Json

    def as_text(self) -> str:
        """The work as it is stored; ValueError for what could not be sent back: NaN, lone surrogates, nesting too deep."""
        if not _is_within(self.work, MAX_WORK_DEPTH):
            raise ValueError(f"nested more than {MAX_WORK_DEPTH} deep")
        text = json.dumps(self.work, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return storable(text)


class Undo(RequestBody):
    """A row of the log."""

    seq: ItemId


def _is_within(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_within(element, levels - 1) for element in inner)

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

    def __init__(self, status: int, code: str, message: str, hint: str = "", **more: object) -> None:
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
    """Map an error to a refusal; one of no known class is logged in full and sent without its text."""
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
    """Map a request of another form to a refusal that names the first five places and why."""
    problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()[:5]]
    message = "; ".join(problems) or "the request has another form than expected"
    return Refused(400, "bad_request", message, "see /api/openapi.json")


def of_http(error: HTTPException) -> Refused:
    """Map an error of the framework to a refusal."""
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
