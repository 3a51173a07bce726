"""What a training run is told: stages, rates, weights of the losses, how often it saves. Every value has a name and a check.

Needs no torch, so that a configuration can be made of these fields wherever one is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

PROMPT_KINDS = ("box", "click", "mask")
PRECISIONS = ("fp32", "bf16")
DRILLS = ("blind", "plain")
OPTIMIZERS = ("adamw", "muon")
STILLS_STREAM = 2           # sets the draw of stills or clips apart from a step's other draws


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of steps on examples of one length: stills for `frames` of 1, else clips.

    A step sees `clips` clips with `objects` objects of each. The learning rate rises over `warmup` steps and then falls
    along half a cosine to `last_share` of itself. `corrections`: of stills, how many clicks follow the first; of clips,
    the chance that one later frame is corrected. `drill`: stills of plain shapes (`sam2.training.curriculum`), "blind"
    without pictures, or "plain". `stills_share`: the share of a clips stage's steps that see stills in their place, with
    `stills_clips` pictures, `stills_objects` objects of each and one correction; Ravi et al. 2024 mix them likewise.
    """

    name: str
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

    def __post_init__(self) -> None:
        for name in ("steps", "frames", "clips", "objects", "stills_clips", "stills_objects"):
            if getattr(self, name) < 1:
                raise ValueError(f"stage {self.name}: {name}={getattr(self, name)}; expected at least 1")
        if self.drill is not None and (self.drill not in DRILLS or self.frames != 1):
            raise ValueError(
                f"stage {self.name}: drill={self.drill!r} with frames={self.frames}; expected one of {DRILLS}, and frames=1"
            )
        if not self.learning_rate > 0 or self.warmup < 0 or not 0 <= self.last_share <= 1 or self.corrections < 0:
            raise ValueError(
                f"stage {self.name}: learning_rate={self.learning_rate}, warmup={self.warmup}, last_share={self.last_share}, "
                f"corrections={self.corrections}; expected a rate above 0, warmup and corrections from 0, a share in 0..1"
            )
        if not 0 <= self.stills_share < 1 or (self.stills_share and self.frames == 1):
            raise ValueError(
                f"stage {self.name}: stills_share={self.stills_share} with frames={self.frames}; expected a share of a clips "
                f"stage's steps, from 0 to below 1"
            )

    @property
    def as_stills(self) -> "Stage":
        """What a step of this stage does where it sees stills in place of clips."""
        return replace(
            self, frames=1, clips=self.stills_clips, objects=self.stills_objects, corrections=1.0, stills_share=0.0
        )


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each part counts; the published numbers.

    `chosen`: the share of a mask's loss that the candidate bears which says the highest IoU of itself, the one that is
    kept in use; the lowest-loss one bears the rest. 0 as published. Candidates that only learn where they are best each
    bet on their own reading, and the one that is kept then is worse than their mean.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    chosen: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.chosen <= 1:
            raise ValueError(f"losses.chosen={self.chosen}: expected a share in 0..1")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run of a variant, from `init` (a checkpoint) or from random weights.

    `image_size`: side of the model's image, `dropout`: of the memory attention; None for the variant's own. `loss_side`:
    side of the maps that losses are taken on; None for the model's image, as published. `encoder_share`: the image
    encoder's learning rate as a share of the others'. `average`: decay of the running mean of the weights, which is what
    is written out; 0 writes the weights themselves. `optimizer`: see `sam2.training.optimizer`. `augment`: turn, shear and
    colour clips anew (`sam2.training.batches`), for recorded ones: drawn scenes vary enough.
    """

    model: str
    stages: tuple[Stage, ...]
    init: str | None = None
    image_size: int | None = None
    dropout: float | None = None
    seed: int = 0
    precision: str = "fp32"
    optimizer: str = "adamw"
    loss_side: int | None = None
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    encoder_share: float = 1.0
    average: float = 0.999
    prompt_shares: tuple[float, float, float] = (0.4, 0.4, 0.2)
    losses: LossWeights = field(default_factory=LossWeights)
    augment: bool = False
    save_every: int = 200
    log_every: int = 20

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages is empty: expected at least one")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r}: expected one of {', '.join(PRECISIONS)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer={self.optimizer!r}: expected one of {', '.join(OPTIMIZERS)}")
        shares = self.prompt_shares
        if len(shares) != len(PROMPT_KINDS) or abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
            raise ValueError(f"prompt_shares={shares}: expected three shares, of {PROMPT_KINDS}, that add up to 1")
        if not 0 <= self.average < 1 or self.clip_norm <= 0 or self.save_every < 1 or self.log_every < 1:
            raise ValueError(
                f"average={self.average}, clip_norm={self.clip_norm}, save_every={self.save_every}, "
                f"log_every={self.log_every}: expected an average in 0..1, a norm above 0, and at least 1 step"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Read back what `dataclasses.asdict` gave, also by way of JSON. ValueError for a value that no training can use."""
        stages, shares = tuple(Stage(**stage) for stage in values["stages"]), tuple(values["prompt_shares"])
        return cls(**{**values, "stages": stages, "prompt_shares": shares, "losses": LossWeights(**values["losses"])})

    @property
    def total_steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """Return the index of the stage that a step falls in, and the step's place in it."""
        for index, stage in enumerate(self.stages):
            if step < stage.steps:
                return index, step
            step -= stage.steps
        raise ValueError(f"step is {step} behind the last stage's end; expected one below {self.total_steps}")

    def shown_at(self, step: int) -> Stage:
        """Return what a step sees: its stage, or that stage's stills, as seed and step alone decide."""
        stage = self.stages[self.stage_at(step)[0]]
        if not stage.stills_share:
            return stage
        drawn = np.random.default_rng([self.seed, step, STILLS_STREAM]).random()
        return stage.as_stills if drawn < stage.stills_share else stage
