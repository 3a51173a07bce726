"""Jobs and receipts: what goes to an actor for one video, and what comes back. Small, frozen and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from labeling.errors import ErrorRecord, require
from labeling.types import Prompt, Span, VideoRef


@dataclass(frozen=True, slots=True)
class KeptMasks:
    """What a new version keeps of the one before: its masks, on all frames but those in `spans` (half-open).

    `starts` has the first corrected frame of each span; `masks_file` is the store's key of the file that the masks lie in.
    """

    masks_file: str
    spans: tuple[Span, ...]
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
    kept: Mapping[int, KeptMasks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        objects = {p.object_id for p in self.prompts}
        require(objects == set(self.keys), "keys", sorted(self.keys), f"a key for each prompted object {sorted(objects)}")
        require(objects == set(self.label_versions), "label_versions", sorted(self.label_versions), "one for each object")

    @property
    def name(self) -> str:
        """What logs and budgets call this job."""
        return f"{self.video.video_id}-{self.batch}"


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
