"""The records that flow between rooms; each checks itself where it is made.

Tensors never leave `sam2/`; dense masks die in the actor that made them. What is here is small, frozen and picklable.
Suffixes: `_xy` pixel coordinates (x right, y down) of the upright frame, `_xyxy` corners, `_xywh` corner and extent,
`_hw` height and width. Frame indices are 0-based, in presentation order; spans are half-open.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

from labeling.config import PromptScope
from labeling.errors import require

Cell = Any  # of a table, as a plain value: text, a number, a list, a mapping or None
TableRow = Mapping[str, Cell]  # cells of a row by column
JsonObject = Mapping[str, Any]  # a JSON object as plain values
Span = tuple[int, int]  # half-open, of frames
Point = tuple[float, float]
Box = tuple[float, float, float, float]


class PromptSource(StrEnum):
    """Who gave a prompt: the prompt table, or a reviewer."""

    SEED = "seed"
    CORRECTION = "correction"


class MaskSource(StrEnum):
    """Who drew a mask."""

    MODEL = "model"
    HUMAN = "human"
    GOLD = "gold"


class Decision(StrEnum):
    """What the judge, or a reviewer's word as taken in, says of a masklet."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


MOST_FRAMES = 1 << 31  # frame indices are below
MOST_PIXELS = 1 << 26  # of one mask that comes from people: 8192 x 8192
_FARTHEST = 1 << 24  # of a coordinate; float32 still tells pixels apart there


def _finite(values: tuple[float, ...]) -> bool:
    return all(-_FARTHEST <= v <= _FARTHEST for v in values)


@dataclass(frozen=True, slots=True)
class VideoRef:
    """A video as the listing knows it, before anything of it is read.

    `key` is relative to the source's root; `video_id` the first 16 hex digits of the key's SHA-256; `content_id` comes
    from the listing alone.
    """

    video_id: str
    key: str
    uri: str
    content_id: str
    num_bytes: int

    def __post_init__(self) -> None:
        require(
            len(self.video_id) == 16 and set(self.video_id) <= set("0123456789abcdef"),
            "video_id", self.video_id, "16 lower-case hex digits",
        )
        require(bool(self.key), "key", self.key, "a key relative to the source's root")
        require(self.num_bytes >= 0, "num_bytes", self.num_bytes, "a count of bytes")


@dataclass(frozen=True, slots=True)
class Video:
    """A probed video; `size_hw` is that of the upright frame, after a clockwise turn by `rotation_degrees`."""

    ref: VideoRef
    size_hw: tuple[int, int]
    frame_rate: Fraction
    num_frames: int
    duration_seconds: float
    codec: str
    rotation_degrees: int = 0

    def __post_init__(self) -> None:
        require(min(self.size_hw) > 0, "size_hw", self.size_hw, "a height and a width above 0")
        require(self.frame_rate > 0, "frame_rate", self.frame_rate, "frames per second above 0")
        require(self.num_frames > 0, "num_frames", self.num_frames, "at least one frame")
        require(self.rotation_degrees in (0, 90, 180, 270), "rotation_degrees", self.rotation_degrees, "0, 90, 180 or 270")


@dataclass(frozen=True, slots=True)
class RLE:
    """A mask as COCO's compressed run lengths: column-major, the first run counts zeros."""

    size_hw: tuple[int, int]
    counts: str

    def __post_init__(self) -> None:
        require(len(self.size_hw) == 2 and min(self.size_hw) > 0, "RLE size_hw", self.size_hw, "a height and a width above 0")
        # COCO's own tools count pixels in 32 bits.
        require(self.size_hw[0] * self.size_hw[1] < 1 << 32, "RLE size_hw", self.size_hw, "fewer than 2**32 pixels")
        require(self.counts.isascii(), "RLE counts", self.counts[:40], "ASCII text")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What says where one object is on one frame: points with labels (1 on it, 0 beside it), a box, or a mask.

    `span` are the frames that a correction may change, half-open; None for all of them. `scope` says how far the prompts of
    its object reach, as soon as one of them says so; None leaves that to the run's `prompts.scope`.
    """

    object_id: int
    frame_idx: int
    points_xy: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    mask: RLE | None = None
    category: str | None = None
    source: PromptSource = PromptSource.SEED
    span: Span | None = None
    scope: PromptScope | None = None

    def __post_init__(self) -> None:
        require(-(2**63) <= self.object_id < 2**63, "object_id", self.object_id, "an int64")
        require(0 <= self.frame_idx < MOST_FRAMES, "frame_idx", self.frame_idx, "a 0-based frame index, below 2**31")
        require(
            bool(self.points_xy) or self.box_xyxy is not None or self.mask is not None,
            "prompt", None, "points_xy with labels, box_xyxy or mask",
        )
        require(
            len(self.points_xy) == len(self.labels),
            "labels", self.labels, f"one label for each of {len(self.points_xy)} points",
        )
        require(set(self.labels) <= {0, 1}, "labels", self.labels, "1 (on the object) or 0 (beside it)")
        pixels = all(len(p) == 2 and _finite(p) for p in self.points_xy)
        require(pixels, "points_xy", self.points_xy, "finite x, y pairs in pixels")
        # A correction keeps its clicks beside the mask that the reviewer saw.
        mask_alone = self.source is PromptSource.CORRECTION or not (self.points_xy or self.box_xyxy)
        require(self.mask is None or mask_alone, "mask", "with points or box", "a seed's mask to stand alone")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy
            ordered = _finite(self.box_xyxy) and x0 < x1 and y0 < y1
            require(ordered, "box_xyxy", self.box_xyxy, "finite x0 < x1, y0 < y1 in pixels")
        if self.span is not None:
            require(self.source is PromptSource.CORRECTION, "span", self.span, "none: only a correction is limited to frames")
            inside = 0 <= self.span[0] <= self.frame_idx < self.span[1] <= MOST_FRAMES
            require(inside, "span", self.span, f"a half-open span of frames that holds frame {self.frame_idx}")


# Scores that came after the first release, beside `LOOKS`.
LATER_SCORES = ("distractor", "agreement")
LOOKS = ("look_seed", "look_ring", "look_other", "colour_seed", "colour_ring", "colour_other", "edge_gradient")


@dataclass(frozen=True, slots=True)
class FrameMask:
    """One object's mask on one tracked frame with the scores that came with it.

    `predicted_iou` in [0, 1]; `object_score` a logit, present above the tracker's threshold; `motion_iou`,
    `candidate_gap` and `pointer_similarity` are None where there is none. `distractor` is the lowest box IoU of the mask and
    its union with what another candidate adds: low where a look-alike is near. `box_xywh` is None when the mask is empty. What
    `LOOKS` names says what the object looks like, see `labeling/track/looks.py`; None where nothing was seen of it.
    `agreement` is the IoU of the masks tracked from the prompted frames on either side (`labeling/track/stretches.py`),
    None where there is one alone.
    """

    frame_idx: int
    pts_seconds: float
    rle: RLE
    area: int
    box_xywh: Box | None
    predicted_iou: float
    object_score: float
    motion_iou: float | None = None
    stability: float | None = None
    candidate_gap: float | None = None
    pointer_similarity: float | None = None
    source: MaskSource = MaskSource.MODEL
    look_seed: float | None = None
    look_ring: float | None = None
    look_other: float | None = None
    colour_seed: float | None = None
    colour_ring: float | None = None
    colour_other: float | None = None
    edge_gradient: float | None = None
    distractor: float | None = None
    agreement: float | None = None

    def __post_init__(self) -> None:
        require(self.frame_idx >= 0, "frame_idx", self.frame_idx, "a 0-based frame index")
        require((self.area > 0) == (self.box_xywh is not None), "box_xywh", self.box_xywh, "a box exactly where area > 0")
        require(math.isfinite(self.predicted_iou), "predicted_iou", self.predicted_iou, "a finite number")
        require(math.isfinite(self.object_score), "object_score", self.object_score, "a finite number")

    @property
    def visible(self) -> bool:
        """Whether the mask has any pixel."""
        return self.area > 0


# The direction of a masklet that was not followed: its first mask alone, held until a person says that its prompt is right.
HELD = "held"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a masklet: recorded beside it, so that a bad checkpoint's labels can be found again.

    `presence_threshold` is the object score above which the tracker kept a mask. `direction` is the way it was followed, or
    `HELD`.
    """

    model: str
    checkpoint_sha256: str
    tracker: str
    precision: str
    image_size: int
    device: str
    presence_threshold: float
    direction: str
    semantics_version: int
    code_version: str
    run_id: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Masklet:
    """One object's masks through one video, frames in ascending order."""

    video_id: str
    object_id: int
    category: str | None
    prompts: tuple[Prompt, ...]
    frames: tuple[FrameMask, ...]
    label_version: int
    key: str
    provenance: Provenance

    def __post_init__(self) -> None:
        indices = [f.frame_idx for f in self.frames]
        require(indices == sorted(set(indices)), "frames", indices[:8], "ascending frame indices, each once")

    @property
    def track_id(self) -> str:
        """The object's id as text, as the tables name it."""
        return str(self.object_id)


@dataclass(frozen=True, slots=True)
class Signals:
    """What was measured on one masklet, by column name (see `labeling/qc/signals.py`); None where it has no meaning.

    `spans` keeps, for a signal that names a place, the half-open frame span it was seen on.
    """

    values: Mapping[str, float | None]
    spans: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QCFlag:
    """A rule that a masklet broke: the reason, where, the measured value and the bound it passed."""

    reason: str
    signal: str
    value: float
    threshold: float
    frame_span: Span
    decision: Decision = Decision.REVIEW


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one masklet; `risk` in [0, 1] orders review, the worst flag first in `flags`.

    `judge` is the digest of the fitted judge that gave the risk, `novelty` how unlike good masklets it finds this one; None
    where the rules gave it.
    """

    video_id: str
    track_id: str
    label_version: int
    decision: Decision
    risk: float
    flags: tuple[QCFlag, ...] = ()
    judge: str | None = None
    novelty: float | None = None

    def __post_init__(self) -> None:
        require(0.0 <= self.risk <= 1.0, "risk", self.risk, "a number in [0, 1]")


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a person said of one version of one masklet: accept, reject, or correct with prompts."""

    video_id: str
    track_id: str
    label_version: int
    action: str
    reviewer: str
    decided_at: str
    seconds: float = 0.0
    note: str = ""
    prompts: tuple[Prompt, ...] = ()

    def __post_init__(self) -> None:
        require(self.action in ("accept", "reject", "correct"), "action", self.action, "accept, reject or correct")
        require((self.action == "correct") == bool(self.prompts), "prompts", len(self.prompts), "prompts exactly with correct")
