"""The one configuration, as dataclasses: `configs/*.yaml` fill them, nothing below `flows/` sees a DictConfig.

Not frozen, because Hydra merges into them; `Enum` stands where a choice is closed.
"""

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class TrackDirection(Enum):
    """Which way an object is tracked from its first prompt."""

    forward = "forward"
    backward = "backward"
    both = "both"


class PromptScope(Enum):
    """How far an object's prompts reach: to `all` frames, or each to its own `stretch`, up to the next prompted frame."""

    all = "all"
    stretch = "stretch"


class LogFormat(Enum):
    """What a line of the log is: text for people, or a JSON object for what collects logs."""

    text = "text"
    json = "json"


class ReviewOrder(Enum):
    """Which masklets people see first: those by which most is expected to be mended in a second (`gain`), or the riskiest."""

    gain = "gain"
    risk = "risk"


@dataclass
class SourceConfig:
    """Where videos come from: `uri` (s3://bucket/prefix or a folder) or `manifest` (JSONL, CSV, Parquet).

    `time_range` is [start, end) in seconds, null for an open end; `frame_stride` n tracks every n-th frame.
    """

    uri: str = ""
    glob: str = "**"
    manifest: str | None = None
    limit: int | None = None
    time_range: list[float | None] | None = None
    frame_stride: int = 1


@dataclass
class DetectorConfig:
    """Which detector finds objects: `small`, `torchvision`, `transformers` or `ultralytics`, from a local `checkpoint`.

    `model` is torchvision's name of an architecture, `categories` what its labels 1, 2, ... are; `queries` are words for
    what is looked for; `python` that of an environment with ultralytics. Boxes below `min_score` do not count, those from
    `start_score` on begin an object.
    """

    name: str = "small"
    model: str = ""
    checkpoint: str | None = None
    categories: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    python: str | None = None
    min_score: float = 0.5
    start_score: float = 0.7


@dataclass
class PromptsConfig:
    """The seed prompt table: JSONL, CSV or Parquet, local or s3://; `scope` says how far an object's prompts reach.

    `detector` is what `labeling seed detector` finds objects by.
    """

    uri: str = ""
    scope: PromptScope = PromptScope.all
    detector: DetectorConfig = field(default_factory=DetectorConfig)


@dataclass
class StoreConfig:
    """The dataset's root: a folder or s3://bucket/prefix."""

    root: str = ""


@dataclass
class RunConfig:
    """How a run behaves: scratch space, limits, retries, review queue."""

    id: str | None = None
    scratch: str | None = None
    scratch_cap_gib: float = 50.0
    timeout_s: float = 3600.0
    max_attempts: int = 3
    max_dead_letter_share: float = 1.0
    retry_backoff_s: float = 2.0
    chunk_size: int = 64
    max_chunks: int = 100
    lock_stale_s: float = 120.0
    previews: int = 12
    progress: bool = True
    review_url: str | None = None
    reviewers: int = 1
    review_order: ReviewOrder = ReviewOrder.gain


@dataclass
class NetworkConfig:
    """Which network, at what size, with which weights."""

    name: str = "nano"
    config: str = "sam2.1_nano"
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    image_size: int | None = None
    allow_untrained: bool = False
    apply_postprocessing: bool = True


@dataclass
class PrecisionConfig:
    """Arithmetic of the network: fp32 or bf16 (autocast); `compile` has torch.compile fuse it, in either."""

    name: str = "fp32"
    compile: bool = False


@dataclass
class TrackerConfig:
    """How memory is chosen: `sam2` or `samurai`; `overrides` go to the model's config as they are."""

    name: str = "samurai"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrackConfig:
    """How each object is followed, and how many objects, and frames for the image encoder, share a batch."""

    direction: TrackDirection = TrackDirection.forward
    max_objects_per_batch: int = 16
    encode_batch: int = 1


@dataclass
class RuleConfig:
    """One QC rule: `signal` must stay `>= at_least` or `<= at_most`, else the masklet is flagged with `reason`.

    `review` is the bound that sends to review, `reject` the one that rejects (either may be null). `risk` is the share of
    bad masklets among those just past the first bound and among those from `far_at` on; without it 0.5 and 0.8 stand in.
    """

    signal: str = ""
    reason: str = ""
    bound: str = "at_most"
    review: float | None = None
    reject: float | None = None
    risk: list[float] = field(default_factory=list)
    far_at: float | None = None


class SeedCheck(Enum):
    """What is done about prompts: looked at, so that rules can `warn` of them, or that people are asked first (`ask`).

    With `ask` an object whose prompt rules doubt has its first mask in the store and an item in the review queue, and is
    followed by the run after a person's answer; the others are followed meanwhile.
    """

    off = "off"
    warn = "warn"
    ask = "ask"


@dataclass
class AuditConfig:
    """Which judged masklets people look at to certify the rest: `count` at random, once, or each with probability `rate`.

    Neither, and none is drawn. `seed` draws the same ones again.
    """

    count: int | None = None
    rate: float | None = None
    seed: int | None = None


@dataclass
class QCConfig:
    """The judge: named rules, and `judge`, the fitted one that gives risk and verdict.

    `judge` is `auto` (what was set for the store, else what is shipped for the weights), `none` (rules alone), the name of a
    shipped judge, or a file; see `labeling/store/judges.py`. `seeds` says what is done about prompts before they are followed.
    With `accept_risk` masklets up to that risk are accepted, and none above it; null leaves it to a certificate that stands,
    and without one to the rules.
    """

    name: str = "default"
    rules: list[RuleConfig] = field(default_factory=list)
    judge: str = "auto"
    seeds: SeedCheck = SeedCheck.warn
    accept_risk: float | None = None
    audit: AuditConfig = field(default_factory=AuditConfig)


@dataclass
class ClusterConfig:
    """Ray: started in process when `address` is null. `actors` null means as many as fit.

    With `max_actors`, so many are asked for whether they fit or not: those that do not wait for a node that joins, for
    `placement_timeout_s` at most; when no job waits any more, those with nothing to do are let go, down to `min_actors`.
    `accelerators` holds the GPUs of one actor by kind of GPU, in place of `gpus_per_actor`.
    A job that is still running `deadline_grace_s` after its deadline is killed with its actor.
    """

    name: str = "laptop"
    address: str | None = None
    actors: int | None = None
    min_actors: int = 1
    max_actors: int | None = None
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    accelerators: dict[str, float] = field(default_factory=dict)
    in_flight_per_actor: int = 2
    deaths_per_video: int = 2
    deaths_per_worker: int = 4
    placement_timeout_s: float = 1800.0
    setup_timeout_s: float = 600.0
    deadline_grace_s: float = 20.0
    dashboard: bool = False


@dataclass
class LoggingConfig:
    """What log lines of driver, actors and review server look like."""

    format: LogFormat = LogFormat.text


@dataclass
class MetricsConfig:
    """Where a run's figures can be read: `port` while it goes on (null: nowhere), `textfile` once it has ended."""

    port: int | None = None
    host: str = "127.0.0.1"
    textfile: str | None = None


@dataclass
class UpkeepConfig:
    """What compacting, vacuuming and verifying may do, and what they keep.

    Files below half of `target_mib` are packed where a bucket has `min_files` of them. KeptMasks are the last `keep_last`
    snapshots, those replaced less than `keep_days` ago, those in `keep` by name, and all younger than `min_age_hours`.
    """

    target_mib: float = 128.0
    min_files: int = 8
    compact_gib: float = 200.0
    keep_last: int = 10
    keep_days: float = 30.0
    keep: list[str] = field(default_factory=list)
    min_age_hours: float = 24.0
    verify_gib: float = 50.0


@dataclass
class LabelConfig:
    """Everything a run is told."""

    source: SourceConfig = field(default_factory=SourceConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    run: RunConfig = field(default_factory=RunConfig)
    model: NetworkConfig = field(default_factory=NetworkConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    qc: QCConfig = field(default_factory=QCConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    upkeep: UpkeepConfig = field(default_factory=UpkeepConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)


def default_scratch() -> str:
    """The folder that downloads go to when `run.scratch` is not given: each user of a machine has one."""
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"samurai-labeling-{os.getuid()}")
