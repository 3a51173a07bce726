"""Configuration of training and evaluation, as dataclasses; see `labeling.config`."""

from dataclasses import dataclass, field
from enum import Enum

from labeling.config import ClusterConfig, ModelConfig, PrecisionConfig, TrackerConfig


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
    stills_share: float = 0.0
    stills_clips: int = 12
    stills_objects: int = 3


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
    """How much each part of the loss counts, as in `sam2.training.losses.LossWeights`."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    chosen: float = 0.0


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
    optimizer: str = "adamw"
    loss_side: int | None = None
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    encoder_share: float = 1.0
    average: float = 0.999
    prompt_shares: list[float] = field(default_factory=lambda: [0.4, 0.4, 0.2])
    losses: LossConfig = field(default_factory=LossConfig)
    augment: bool = False
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
