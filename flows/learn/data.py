"""Where labelled clips come from, by name: drawn scenes, datasets on disk, and what was accepted of an own store."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from flows.learn.config import DataConfig
from labeling import rle
from labeling.errors import BadConfiguration
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.objects import Objects, open_objects
from labeling.store.reader import read_masklets
from labeling.store.snapshots import Snapshot, read_snapshot, read_verdicts
from labeling.types import Decision, FrameMask, Video
from sam2.training.clip import Clip, ClipSource
from sam2.training.datasets.davis import Davis
from sam2.training.datasets.labelled import STARTS, chosen_videos, cut_clip
from sam2.training.datasets.sav import Sav
from sam2.training.scenes.lookalikes import Lookalikes
from sam2.training.scenes.scene import Scenes
from sam2.training.solids.scene import Solids

log = logging.getLogger(__name__)

Image8 = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
DRAWN_FRAMES = {"scenes": 32, "solids": 32, "lookalikes": 120}      # of a clip that is drawn to be measured
NAMES = (*DRAWN_FRAMES, "davis", "sav", "store")
ONLY_EVALUATED = ("solids", "lookalikes")
DRAWN_HW = (256, 256)
KEPT_FOR_EVALUATION = 100_000       # scenes below this number are never trained on
STILL_SIDE, MOST_STILLS = 512, 1000     # pixels of a still's longer side as it is held, and how many are held
REVIEWED = "reviewed"


def open_source(config: DataConfig, *, whole: bool = False) -> ClipSource:
    """Open the clips that a configuration names.

    A recorded video gives many clips, each from another place in it; with `whole` just one, from the first frame that
    shows an object. Of drawn clips `count` is needed only where they have to end.

    Raises:
        BadConfiguration: an unknown name, a folder that is not there or has another layout, a split it does not have.
    """
    if config.name not in NAMES:
        raise BadConfiguration(f"data.name is {config.name!r}; expected one of {', '.join(NAMES)}")
    size_hw = _size_of(config)
    if config.name in DRAWN_FRAMES:
        return _drawn(config, size_hw or DRAWN_HW)
    if not config.root:
        raise BadConfiguration(f"data={config.name} reads files: give data.root=...")
    if config.name != "store" and not Path(config.root).expanduser().is_dir():
        raise BadConfiguration(f"data.root is {config.root!r}; expected a folder that this machine can read")
    starts = 1 if whole else STARTS
    try:
        if config.name == "store":
            return StoredClips.open(config, size_hw=size_hw, starts=starts)
        kind = Davis if config.name == "davis" else Sav
        return kind(Path(config.root).expanduser(), config.split, config.first, config.count, size_hw, starts)
    except ValueError as error:
        raise BadConfiguration(f"data={config.name}: {error}") from error


def training_data(config: DataConfig) -> DataConfig:
    """Return the clips to train on: of scenes, those that no evaluation uses.

    Raises:
        BadConfiguration: clips that are only evaluated on; what is trained on them would be measured by what it has seen.
    """
    if config.name in ONLY_EVALUATED:
        raise BadConfiguration(f"data.name is {config.name!r}, for evaluation alone; expected scenes, davis, sav or store")
    if config.name != "scenes" or config.first >= KEPT_FOR_EVALUATION:
        return config
    return replace(config, first=KEPT_FOR_EVALUATION)


def _size_of(config: DataConfig) -> tuple[int, int] | None:
    if config.size_hw is None:
        return None
    if len(config.size_hw) != 2 or min(config.size_hw) < 32:
        raise BadConfiguration(f"data.size_hw is {list(config.size_hw)}; expected [height, width] of 32 pixels or more")
    return config.size_hw[0], config.size_hw[1]


def _drawn(config: DataConfig, size_hw: tuple[int, int]) -> ClipSource:
    count = 2**31 - config.first if config.count is None else config.count
    if config.first < 0 or count < 1:
        raise BadConfiguration(f"data.first is {config.first}, data.count {config.count}; expected from 0, and at least 1")
    if config.name in ("solids", "lookalikes"):
        return (Solids if config.name == "solids" else Lookalikes)(count, config.first, size_hw)
    return Scenes(count, config.first, size_hw, read_stills(config.stills) if config.stills else ())


def read_stills(folder: str) -> tuple[Image8, ...]:
    """Read a folder of pictures as RGB, in the order of their names; BadConfiguration where it has none."""
    path = Path(folder).expanduser()
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not files:
        raise BadConfiguration(f"data.stills is {folder!r}; expected a folder that holds pictures (jpg, png, webp)")
    if len(files) > MOST_STILLS:
        log.warning("data.stills has %d pictures; the first %d by name are used", len(files), MOST_STILLS)
    return tuple(_read_still(file) for file in files[:MOST_STILLS])


def _read_still(path: Path) -> Image8:
    try:
        with Image.open(path) as picture:
            picture.thumbnail((STILL_SIDE, STILL_SIDE))
            return np.array(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise BadConfiguration(f"data.stills: {path} cannot be read as a picture: {error}") from error


@dataclass(frozen=True, slots=True)
class StoredClips:
    """Clips of the masklets that one snapshot of a store accepts; videos are read where the store says they lie.

    `reviewed_only`: only what a person accepted, not what the rules let pass.
    """

    objects: Objects
    snapshot: Snapshot = field(repr=False)
    videos: tuple[str, ...]
    reviewed_only: bool
    size_hw: tuple[int, int] | None
    starts: int

    @classmethod
    def open(cls, config: DataConfig, *, size_hw: tuple[int, int] | None, starts: int) -> "StoredClips":
        """Open the newest snapshot of `root`; `split` is None for all accepted masklets, or `reviewed`."""
        if config.split not in (None, REVIEWED):
            raise ValueError(f"split is {config.split!r}; expected {REVIEWED}, or null for all that is accepted")
        objects = open_objects(config.root)
        snapshot, reviewed = read_snapshot(objects), config.split == REVIEWED
        rows = read_verdicts(objects, snapshot).select(["video_id", "verdict", "decided_by"]).to_pylist()
        names = sorted({row["video_id"] for row in rows if _is_accepted(row["verdict"], row["decided_by"], reviewed)})
        videos = chosen_videos(names, f"{config.root} {snapshot.name}", first=config.first, count=config.count)
        return cls(objects, snapshot, videos, reviewed, size_hw, starts)

    def __len__(self) -> int:
        return len(self.videos) * self.starts

    def clip(self, index: int, num_frames: int) -> Clip:
        """Return clip `index`, as `sam2.training.datasets.labelled` counts them."""
        return cut_clip(self.videos, self._open, index, num_frames, starts=self.starts, size_hw=self.size_hw)

    def _open(self, video_id: str) -> "StoredVideo":
        tracks: dict[int, dict[int, FrameMask]] = {}
        for stored in read_masklets(self.objects, video=video_id, snapshot=self.snapshot):
            if _is_accepted(stored.verdict.decision, stored.decided_by, self.reviewed_only):
                tracks[stored.masklet.object_id] = {mask.frame_idx: mask for mask in stored.frames}
                video = stored.video
        frames = sorted(set().union(*tracks.values()))
        return StoredVideo(video.ref.key, video, tuple(frames), tracks)


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """A labelled video of a store; `frame_indices` are the source's, and its frames are counted over those."""

    name: str
    video: Video
    frame_indices: tuple[int, ...]
    tracks: dict[int, dict[int, FrameMask]]

    @property
    def num_frames(self) -> int:
        return len(self.frame_indices)

    def shares(self, frame: int) -> dict[int, float]:
        """Return the objects that a frame shows, each with the share of the frame that it covers."""
        pixels = self.video.size_hw[0] * self.video.size_hw[1]
        held = {k: masks.get(self.frame_indices[frame]) for k, masks in self.tracks.items()}
        return {k: mask.area / pixels for k, mask in held.items() if mask is not None and mask.area}

    def knows(self, object_id: int, frame: int) -> bool:
        """Return whether an object was tracked on a frame."""
        return self.frame_indices[frame] in self.tracks[object_id]

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[Image8], list[Masks]]:
        """Return pictures and masks of a stretch of frames; the video is fetched if it is not here."""
        indices = [self.frame_indices[frame] for frame in frames]
        with (
            tempfile.TemporaryDirectory() as scratch,
            fetch_video(self.video.ref, Path(scratch)) as path,
            FrameReader(path, self.video, indices) as reader,
        ):
            pictures = list(reader)
        masks = [np.stack([rle.decode(self.tracks[k][index].rle) for k in object_ids]) for index in indices]
        return pictures, masks


def _is_accepted(verdict: Any, decided_by: str | None, reviewed_only: bool) -> bool:
    return Decision(verdict) is Decision.ACCEPT and (decided_by is not None or not reviewed_only)
