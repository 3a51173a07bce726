"""Configuration of training and evaluation, as dataclasses; see `labeling.config`.

What a recipe, a stage and the losses are told stands once, in `sam2.training.recipe`.
"""

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

from labeling.config import ClusterConfig, NetworkConfig, PrecisionConfig, TrackerConfig
from sam2.training.recipe import LossWeights, Recipe, Stage

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


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
    model: NetworkConfig = field(default_factory=NetworkConfig)
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


def _with_fields_of(
    source: type["DataclassInstance"], *, leave_out: Collection[str] = (), optional: bool = False
) -> Callable[[type[T]], type[T]]:
    """Add the fields of a frozen dataclass, which Hydra cannot merge into, to one that it can, which may have some already.

    Names, types and defaults come along, checks do not: they run where `source` is made. `optional` fields may be null, and
    are.
    """

    def extended(config: type[T]) -> type[T]:
        hints, there = get_type_hints(source), get_type_hints(config)
        fields: list[tuple[str, Any, Any]] = []
        for known in dataclasses.fields(source):
            if known.name in there or known.name in leave_out:
                continue
            hint, default = hints[known.name], field(default=known.default, default_factory=known.default_factory)
            fields.append((known.name, hint | None, field(default=None)) if optional else (known.name, hint, default))
        schema = make_dataclass(config.__name__, fields, bases=(config,))
        schema.__doc__, schema.__module__ = config.__doc__, config.__module__
        return cast(type[T], schema)

    return extended


@_with_fields_of(Stage, leave_out=("name",))
@dataclass
class StageConfig:
    """A stretch of training on examples of one length: the fields of `Stage`, its name is the key that it stands under."""


@_with_fields_of(Stage, leave_out=("name", "drill", "stills_share", "stills_clips", "stills_objects"), optional=True)
@dataclass
class EveryStageConfig:
    """Values that stand for those of every stage, where they are given."""


@_with_fields_of(LossWeights)
@dataclass
class LossConfig:
    """How much each part of the loss counts: the fields of `LossWeights`."""


@_with_fields_of(Recipe, leave_out=("model", "init", "image_size", "precision"))
@dataclass
class RecipeConfig:
    """How a network learns: the fields of `Recipe`, with stages by name in their order.

    What is left out follows from the nodes `model` and `precision`; `from_checkpoint` asks for weights to begin with.
    """

    name: str = "short"
    from_checkpoint: bool = False
    stages: dict[str, StageConfig] = field(default_factory=dict)
    losses: LossConfig = field(default_factory=LossConfig)


@dataclass
class TrainConfig:
    """Everything a training is told.

    `device` null chooses a GPU where there is one. `workers`: processes that draw or read examples. `replicas`: processes
    that train together, by Ray Train on `cluster`, whose `cpus_per_actor` and `gpus_per_actor` each of them gets.
    `stop_after`: the most steps to do now.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: NetworkConfig = field(default_factory=NetworkConfig)
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
