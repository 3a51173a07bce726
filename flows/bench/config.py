"""Configuration of `labeling bench`, as a dataclass; see `labeling.config`."""

from dataclasses import dataclass, field

from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig


@dataclass
class BenchConfig:
    """Everything a measurement is told.

    Every pair of `objects` (how many are followed at once) and `lengths` (frames of the clip) is measured, each pass
    `repeats` times, on frames of `size_hw` [height, width] pixels; `encode_batch` frames go through the image encoder at
    once. `device` null chooses a GPU where there is one. `peer` is a checkout of the released `sam2` package to run beside,
    in the same precision unless `peer_precision` names another; only frames from `peer_from` on count there. `out` is a
    folder for bench.json and bench.png.
    """

    model: NetworkConfig = field(default_factory=NetworkConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    objects: list[int] = field(default_factory=lambda: [1])
    lengths: list[int] = field(default_factory=lambda: [100])
    repeats: int = 3
    encode_batch: int = 1
    size_hw: list[int] = field(default_factory=lambda: [540, 960])
    device: str | None = None
    end_to_end: bool = True
    peer: str | None = None
    peer_precision: str | None = None
    peer_from: int = 0
    out: str | None = None
