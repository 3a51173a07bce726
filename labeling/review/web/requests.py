"""What the page may send, checked in form before anything is done with it."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from labeling.review.db.rows import MAX_NAME, MAX_NOTE

BIGGEST = 2**63 - 1
MAX_WORK_BYTES, MAX_WORK_DEPTH = 256 * 1024, 32
MAX_POINTS, MAX_CORRECTIONS, MAX_SKIPPED = 200, 2_000, 1_000


def storable(text: str) -> str:
    """Refuse what databases cannot keep: NUL, and halves of a pair of surrogates, which JSON can spell."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
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
    """Work in hand, in the page's own words."""

    work: dict[str, Any]

    def as_text(self) -> str:
        """The work as it is kept; ValueError for what could not be sent back: NaN, lone surrogates, nesting too deep."""
        if not _is_within(self.work, MAX_WORK_DEPTH):
            raise ValueError(f"nested more than {MAX_WORK_DEPTH} deep")
        text = json.dumps(self.work, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return storable(text)


class Undo(RequestBody):
    """A row of the log."""

    seq: ItemId


def _is_within(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_within(element, levels - 1) for element in inner)
