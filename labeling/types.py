"""The records that flow between rooms; each checks itself where it is made.

Tensors never leave `sam2/`; dense masks die in the actor that made them. What is here is small, frozen and picklable.
Suffixes: `_xy` pixel coordinates (x right, y down) of the upright frame, `_xyxy` corners, `_xywh` corner and extent,
`_hw` height and width. Frame indices are 0-based, in presentation order; spans are half-open.
"""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

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


class ErrorKind(StrEnum):
    """What a retry can do about an error: `transient` may pass, `poison` never will, `device` needs a fresh worker."""

    TRANSIENT = "transient"
    POISON = "poison"
    DEVICE = "device"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12
_SHOWN_AT_MOST = 240

MOST_FRAMES = 1 << 31  # frame indices are below
MOST_PIXELS = 1 << 26  # of one mask that comes from people: 8192 x 8192
_FARTHEST = 1 << 24  # of a coordinate; float32 still tells pixels apart there


def shown(value: object) -> str:
    """Show a value in a message: as `repr` does, but never longer than a person reads."""
    text = _SHORT.repr(value)
    return text if len(text) <= _SHOWN_AT_MOST else f"{text[:_SHOWN_AT_MOST]}..."


def require(condition: bool, name: str, value: object, expectation: str) -> None:
    """Raise a ValueError that shows name, value (shortened) and expectation unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name} is {shown(value)}; expected {expectation}")


def is_storable(text: str) -> bool:
    """Whether JSON, Parquet and databases can all keep a text: no NUL, no half of a pair of surrogates."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


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

    `span` are the frames that a correction may change, half-open; None for all of them.
    """

    object_id: int
    frame_idx: int
    points_xy: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    mask: RLE | None = None
    category: str | None = None
    source: PromptSource = PromptSource.SEED
    span: tuple[int, int] | None = None

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


@dataclass(frozen=True, slots=True)
class FrameMask:
    """One object's mask on one tracked frame with the scores that came with it.

    `predicted_iou` in [0, 1]; `object_score` a logit, present above the tracker's threshold; `motion_iou`,
    `candidate_gap` and `pointer_similarity` are None where there is none. `box_xywh` is None when the mask is empty.
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

    def __post_init__(self) -> None:
        require(self.frame_idx >= 0, "frame_idx", self.frame_idx, "a 0-based frame index")
        require((self.area > 0) == (self.box_xywh is not None), "box_xywh", self.box_xywh, "a box exactly where area > 0")
        require(math.isfinite(self.predicted_iou), "predicted_iou", self.predicted_iou, "a finite number")
        require(math.isfinite(self.object_score), "object_score", self.object_score, "a finite number")

    @property
    def visible(self) -> bool:
        """Whether the mask has any pixel."""
        return self.area > 0


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a masklet: recorded beside it, so that a bad checkpoint's labels can be found again.

    `presence_threshold` is the object score above which the tracker kept a mask.
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
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QCFlag:
    """A rule that a masklet broke: the reason, where, the measured value and the bound it passed."""

    reason: str
    signal: str
    value: float
    threshold: float
    frame_span: tuple[int, int]
    decision: Decision = Decision.REVIEW


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one masklet; `risk` in [0, 1] orders review, the worst flag first in `flags`."""

    video_id: str
    track_id: str
    label_version: int
    decision: Decision
    risk: float
    flags: tuple[QCFlag, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Kept:
    """What a new version keeps of the one before: its masks, on all frames but those in `spans` (half-open).

    `starts` has the first corrected frame of each span; `masks_file` is the store's key of the file that the masks lie in.
    """

    masks_file: str
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        ends = [end for span in self.spans for end in span]
        ascending = all(a < b for a, b in zip(ends, ends[1:], strict=False))
        require(bool(ends) and ascending, "spans", self.spans, "ascending half-open spans of frames that do not touch")
        held = [first <= start < end for (first, end), start in zip(self.spans, self.starts, strict=True)]
        require(all(held), "starts", self.starts, f"a frame of each span {self.spans}")


@dataclass(frozen=True, slots=True)
class Job:
    """One video's work for an actor: the objects that are due, with the key and label version of each.

    `batch` names the output files: the first 16 hex digits of SHA-256 of the sorted keys it covers. `components` holds,
    by object, a digest of each input that the key covers: kept in the done marker, they say later what has changed.
    `kept` names the objects that are tracked on some frames alone.
    """

    run_id: str
    video: VideoRef
    prompts: tuple[Prompt, ...]
    keys: Mapping[int, str]
    label_versions: Mapping[int, int]
    batch: str
    components: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    kept: Mapping[int, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        objects = {p.object_id for p in self.prompts}
        require(objects == set(self.keys), "keys", sorted(self.keys), f"a key for each prompted object {sorted(objects)}")
        require(objects == set(self.label_versions), "label_versions", sorted(self.label_versions), "one for each object")

    @property
    def name(self) -> str:
        """What logs and budgets call this job."""
        return f"{self.video.video_id}-{self.batch}"


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a job failed, as a value: `reason` from a short vocabulary (see `labeling/errors.py`), the rest for people."""

    kind: ErrorKind
    reason: str
    message: str
    traceback: str = ""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a job: counts, files written and seconds by stage, or an error record.

    `peak_gpu_bytes` is the most that the worker held of its GPU while it did the job, 0 without one. `dead_objects` are
    those that could not be tracked though the others were: they are in no file, and due again.
    """

    job_name: str
    video_id: str
    num_frames: int = 0
    num_objects: int = 0
    num_masks: int = 0
    video_seconds: float = 0.0
    files: tuple[str, ...] = ()
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    error: ErrorRecord | None = None
    worker: str = ""
    peak_gpu_bytes: int = 0
    dead_objects: Mapping[int, ErrorRecord] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the job's rows are in the store."""
        return self.error is None
