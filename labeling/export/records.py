"""What the report is told: plain records that a flow gathers from its receipts and from the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labeling.config import QCConfig
from labeling.errors import require
from labeling.review.figures import Throughput
from labeling.types import Decision, FrameMask, QCFlag


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """A video that could not be labelled: `reason` from the short vocabulary, `message` for a person."""

    video_key: str
    reason: str
    message: str
    kind: str = "poison"
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class TruthRow:
    """How one masklet agrees with a known truth: region (J) and boundary (F) measures in [0, 1]."""

    video_key: str
    object_id: int
    region_j: float
    boundary_f: float

    @property
    def mean(self) -> float:
        """J&F, the mean of the two."""
        return (self.region_j + self.boundary_f) / 2


@dataclass(frozen=True, slots=True)
class TrackEvidence:
    """What a person looks at to judge one masklet: its frames' scores, a filmstrip (PNG or JPEG) and a preview (MP4).

    `note` says why a picture is missing, where one is.
    """

    frames: Sequence[FrameMask]
    presence_threshold: float = 0.0
    filmstrip: Path | None = None
    preview: Path | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One masklet with its verdict and signals; `evidence` for those that the report shows in full."""

    video_id: str
    video_key: str
    track_id: str
    label_version: int
    category: str | None
    decision: Decision
    risk: float
    flags: tuple[QCFlag, ...] = ()
    values: Mapping[str, float | None] = field(default_factory=dict)
    evidence: TrackEvidence | None = None

    def __post_init__(self) -> None:
        require(0.0 <= self.risk <= 1.0, "risk", self.risk, "a number in [0, 1]")

    @property
    def name(self) -> str:
        """What file names and ids call this masklet."""
        return f"{self.video_id}-{self.track_id}"


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run in numbers.

    `num_videos` were listed; of these `num_labelled` were labelled now, `num_skipped` were done already or had nothing to
    do, and `dead_letters` name the rest. `num_frames` counts tracked frames (each once, however many objects),
    `video_seconds` their length, `wall_seconds` the time it took, `seconds_by_stage` the workers' time.
    `replay_command` is what to type to run the dead letters again; `review` what reviewing took, where a queue is at hand.
    """

    run_id: str
    store_root: str
    started_at: str
    finished_at: str
    wall_seconds: float
    num_videos: int
    num_labelled: int
    num_skipped: int
    num_masklets: int
    num_masks: int
    num_frames: int
    video_seconds: float
    num_workers: int
    qc: QCConfig
    snapshot: str | None = None
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    dead_letters: tuple[DeadEntry, ...] = ()
    truth: tuple[TruthRow, ...] = ()
    model: str = ""
    checkpoint_sha256: str | None = None
    tracker: str = ""
    device: str = ""
    config: Mapping[str, object] = field(default_factory=dict)
    replay_command: str = ""
    notes: tuple[str, ...] = ()
    review: Throughput | None = None

    def __post_init__(self) -> None:
        require(self.wall_seconds >= 0, "wall_seconds", self.wall_seconds, "seconds, 0 or more")
        require(self.num_workers >= 0, "num_workers", self.num_workers, "a count of workers")

    @property
    def frames_per_second(self) -> float | None:
        """Tracked frames a second of wall time; None where nothing ran."""
        return self.num_frames / self.wall_seconds if self.num_frames and self.wall_seconds else None

    @property
    def video_hours_per_day_per_worker(self) -> float | None:
        """Hours of video that one worker labels in a day at this pace; None where nothing ran."""
        worker_seconds = self.wall_seconds * self.num_workers
        return self.video_seconds * 24 / worker_seconds if self.video_seconds and worker_seconds else None
