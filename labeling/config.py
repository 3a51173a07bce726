"""The one configuration, as dataclasses: `configs/*.yaml` fill them, nothing below `flows/` sees a DictConfig.

Not frozen, because Hydra merges into them; `Enum` stands where a choice is closed.
"""

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Direction(Enum):
    """Which way an object is tracked from its first prompt."""

    forward = "forward"
    backward = "backward"
    both = "both"


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
class PromptsConfig:
    """The seed prompt table: JSONL, CSV or Parquet, local or s3://."""

    uri: str = ""


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
    retry_backoff_s: float = 2.0
    chunk_size: int = 64
    max_chunks: int = 100
    lock_stale_s: float = 120.0
    previews: int = 12
    progress: bool = True
    review_url: str | None = None


@dataclass
class ModelConfig:
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
    """Arithmetic of the network: fp32 or bf16 (autocast)."""

    name: str = "fp32"


@dataclass
class TrackerConfig:
    """How memory is chosen: `sam2` or `samurai`; `overrides` go to the model's config as they are."""

    name: str = "samurai"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrackConfig:
    """How each object is followed, and how many share a batch."""

    direction: Direction = Direction.forward
    max_objects_per_batch: int = 16


@dataclass
class RuleConfig:
    """One QC rule: `signal` must stay `>= at_least` or `<= at_most`, else the masklet is flagged with `reason`.

    `review` is the bound that sends to review, `reject` the one that rejects (either may be null).
    """

    signal: str = ""
    reason: str = ""
    bound: str = "at_most"
    review: float | None = None
    reject: float | None = None


@dataclass
class QCConfig:
    """The judge: named rules."""

    name: str = "default"
    rules: list[RuleConfig] = field(default_factory=list)


@dataclass
class ClusterConfig:
    """Ray: started in process when `address` is null. `actors` null means as many as fit.

    A job that is still running `deadline_grace_s` after its deadline is killed with its actor.
    """

    name: str = "laptop"
    address: str | None = None
    actors: int | None = None
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    in_flight_per_actor: int = 2
    deaths_per_video: int = 2
    deaths_per_worker: int = 4
    setup_timeout_s: float = 600.0
    deadline_grace_s: float = 20.0
    dashboard: bool = False


@dataclass
class DataConfig:
    """Clips with true masks: `name` chooses the reader, `root` the folder or store where it reads files.

    `first` and `count` choose clips by number (null: all there are), `split` a named list of them; `stills` is a
    folder of pictures for drawn backgrounds, `size_hw` the [height, width] that clips are drawn or read at (null: as is).
    """

    name: str = "scenes"
    root: str = ""
    first: int = 0
    count: int | None = None
    split: str | None = None
    stills: str | None = None
    size_hw: list[int] | None = None


@dataclass
class LabelConfig:
    """Everything a run is told."""

    source: SourceConfig = field(default_factory=SourceConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    qc: QCConfig = field(default_factory=QCConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)


class PromptKind(Enum):
    """What of the truth an object is prompted with: its tight box, one click deep inside it, or the mask itself."""

    box = "box"
    click = "click"
    mask = "mask"


@dataclass
class EvaluateConfig:
    """Everything an evaluation is told.

    `num_frames` and `objects` are the most that are taken of a clip (null: all, and `num_frames` chosen for drawn clips);
    with `predictions`, a folder of results, nothing is tracked. `worst` tracks are printed and `pictures` of them drawn
    into `out`.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    prompt: PromptKind = PromptKind.box
    num_frames: int | None = None
    objects: int | None = None
    predictions: str | None = None
    out: str | None = None
    pictures: int = 8
    worst: int = 10
    progress: bool = True


@dataclass
class StageConfig:
    """A stretch of training on examples of one length; fields as in `sam2.training.recipe.Stage`."""

    steps: int = 1
    frames: int = 1
    clips: int = 1
    objects: int = 1
    learning_rate: float = 1e-4
    warmup: int = 100
    last_share: float = 0.1
    corrections: float = 1.0
    drill: str | None = None


@dataclass
class EveryStageConfig:
    """Values that stand for those of every stage, where they are given."""

    steps: int | None = None
    frames: int | None = None
    clips: int | None = None
    objects: int | None = None
    learning_rate: float | None = None
    warmup: int | None = None
    last_share: float | None = None
    corrections: float | None = None


@dataclass
class LossConfig:
    """How much each part of the loss counts."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0


@dataclass
class RecipeConfig:
    """How a network learns: stages by name in their order, and fields as in `sam2.training.recipe.Recipe`.

    `from_checkpoint` asks for weights to begin with.
    """

    name: str = "short"
    from_checkpoint: bool = False
    stages: dict[str, StageConfig] = field(default_factory=dict)
    seed: int = 0
    dropout: float | None = None
    loss_side: int | None = None
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    encoder_share: float = 1.0
    average: float = 0.999
    prompt_shares: list[float] = field(default_factory=lambda: [0.4, 0.4, 0.2])
    losses: LossConfig = field(default_factory=LossConfig)
    save_every: int = 200
    log_every: int = 20


@dataclass
class TrainConfig:
    """Everything a training is told.

    `device` null chooses a GPU where there is one. `workers`: processes that draw or read examples. `replicas`: processes
    that train together, by Ray Train on `cluster`, whose `cpus_per_actor` and `gpus_per_actor` each of them gets.
    `stop_after`: the most steps to do now.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    stage: EveryStageConfig = field(default_factory=EveryStageConfig)
    out: str = ""
    device: str | None = None
    workers: int = 1
    replicas: int = 1
    stop_after: int | None = None
    progress: bool = True


def default_scratch() -> str:
    """The folder that downloads go to when `run.scratch` is not given."""
    return os.path.join(os.environ.get("TMPDIR", "/tmp"), "samurai-labeling")
