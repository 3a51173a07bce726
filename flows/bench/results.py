"""A case to measure, what was measured of it, and all of a benchmark as it is written to `bench.json`."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.bench.clip import FRAME_RATE
from labeling.track.predictor import UNTRAINED, TrackerRecipe


@dataclass(frozen=True, slots=True)
class BenchCase:
    """What to measure; `bucket` is the root of an S3 server for passes end to end, None for none.

    The last three are as in `BenchConfig`.
    """

    recipe: TrackerRecipe
    checkpoint: str | None
    device: str
    objects: int
    length: int
    size_hw: tuple[int, int]
    repeats: int
    bucket: str | None = None
    peer_precision: str | None = None
    peer_from: int = 0
    encode_batch: int = 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BenchCase":
        """Read back what `dataclasses.asdict` gave, also by way of JSON."""
        height, width = values["size_hw"]
        return cls(**{**values, "recipe": TrackerRecipe(**values["recipe"]), "size_hw": (height, width)})


@dataclass(frozen=True, slots=True)
class BenchRow:
    """What was measured of one pair, the shortest pass of each kind.

    `frames_per_second` counts masks at video size of frames that lie in memory, the prompted frame left out;
    `end_to_end_fps` counts all frames from the fetch to the done marker. `stages_ms` is milliseconds a frame by stage of
    one pass of the kind that `stages_of` names, prompts included. The peaks are those after the first pass from memory.
    """

    objects: int
    length: int
    frames_per_second: float
    peak_rss_mib: float
    peak_gpu_mib: float | None
    end_to_end_fps: float | None
    stages_of: str
    stages_ms: dict[str, float]

    @property
    def video_hours_per_day(self) -> float:
        """Hours of video at 30 frames/s that one worker labels in a day, by its slowest measured rate."""
        return 24 * (self.end_to_end_fps or self.frames_per_second) / FRAME_RATE

    @property
    def end_to_end_share(self) -> float | None:
        """Frames/s end to end by those from memory."""
        return None if self.end_to_end_fps is None else self.end_to_end_fps / self.frames_per_second


@dataclass(frozen=True, slots=True)
class PeerRow:
    """Seconds a frame of both, the shortest pass of each, and how far their masks agree.

    `ours_s` and `peer_s` are propagation alone, frames read before, from `peer_from` on; the `whole` ones begin with opening
    the folder. `mean_iou` is over all frames and objects, two empty masks counting 1; `equal_pixels` is a share of all
    pixels, `visible` the share of masks in which either shows anything.
    """

    objects: int
    length: int
    ours_s: float
    peer_s: float
    ours_whole_s: float
    peer_whole_s: float
    mean_iou: float
    equal_pixels: float
    visible: float

    @property
    def speed_ratio(self) -> float:
        """How many times as fast as the peer this package propagates."""
        return self.peer_s / self.ours_s

    @property
    def whole_speed_ratio(self) -> float:
        """The same with reading the frames and prompting."""
        return self.peer_whole_s / self.ours_whole_s


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured, with what it was measured on and of."""

    date: str
    command: str
    machine: dict[str, Any]
    config: dict[str, Any]
    checkpoint_sha256: str
    rows: list[BenchRow]
    peer: list[PeerRow]

    @property
    def untrained(self) -> bool:
        """Whether the network ran with random weights: speeds hold, masks mean nothing."""
        return self.checkpoint_sha256 == UNTRAINED


def write_bench(path: Path, bench: Bench) -> None:
    """Write all numbers as JSON, those that follow from others too."""
    values = dataclasses.asdict(bench)
    for row, measured_row in zip(values["rows"], bench.rows, strict=True):
        row["video_hours_per_day"] = measured_row.video_hours_per_day
        row["end_to_end_share"] = measured_row.end_to_end_share
    for row, compared in zip(values["peer"], bench.peer, strict=True):
        row["speed_ratio"], row["whole_speed_ratio"] = compared.speed_ratio, compared.whole_speed_ratio
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")
