"""Configuration of `labeling bench`, as a dataclass; see `labeling.config`."""

from dataclasses import dataclass, field

from labeling.config import ModelConfig, PrecisionConfig, TrackerConfig


@dataclass
class BenchConfig:
    """Everything a measurement is told.

    Every pair of `objects` (how many are followed at once) and `lengths` (frames of the clip) is measured, each pass
    `repeats` times, on frames of `size_hw` [height, width] pixels. `device` null chooses a GPU where there is one.
    `peer` is a checkout of the released `sam2` package to run beside; `out` a folder for bench.json and bench.png.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    objects: list[int] = field(default_factory=lambda: [1])
    lengths: list[int] = field(default_factory=lambda: [100])
    repeats: int = 3
    size_hw: list[int] = field(default_factory=lambda: [540, 960])
    device: str | None = None
    end_to_end: bool = True
    peer: str | None = None
    out: str | None = None
