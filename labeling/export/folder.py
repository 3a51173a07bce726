"""What exports into a folder share: what is asked of them, the frames that go with the labels, a manifest of what was written.

    <out>/manifest.json     format, snapshot, verdicts, certificate, categories, counts, what was lost, videos with their splits

A folder is written beside and renamed into place. One video is held at a time, as columns of Parquet.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from labeling.errors import require
from labeling.export.outputs import replaced_folder
from labeling.export.selection import ACCEPTED, ObjectOnFrame, SelectedVideo, Selection, frames_of, select
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.objects import open_objects
from labeling.store.reader import MaskReader

MANIFEST = "manifest.json"
FRAMES = ("none", "jpg", "video")
TRAIN = "train"
QUALITY = 95


@dataclass(frozen=True, slots=True)
class Choice:
    """What an export takes: verdicts, a snapshot (the newest without one), categories and a split (all without one).

    `splits` names the split of each video by id; where it names none, the video is for training. `frames` go along as JPEG of
    the frames that were tracked, as the videos themselves, or not at all.
    """

    verdicts: Collection[str] = ACCEPTED
    snapshot: int | str | None = None
    categories: Collection[str] = ()
    split: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    frames: str = "none"
    scratch: Path | None = None

    def __post_init__(self) -> None:
        require(self.frames in FRAMES, "frames", self.frames, "none, jpg or video")
        known = sorted({TRAIN, *self.splits.values()})
        require(self.split is None or self.split in known, "split", self.split, f"one of {', '.join(known)}")

    def split_of(self, video_id: str) -> str:
        """Return a video's split."""
        return self.splits.get(video_id, TRAIN)

    def selection(self, root: str) -> Selection:
        """Return what it takes of a store."""
        objects = open_objects(root)
        taken = {video_id for video_id, name in self.splits.items() if name == self.split}
        by_split = taken if self.split is not None and self.splits else None
        return select(
            objects, verdicts=self.verdicts, snapshot=self.snapshot, categories=self.categories, videos_in=by_split
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What an export holds: `counts` by what is counted, `lost` by what the format could not hold, `left_out` by verdict."""

    out: Path
    form: str
    snapshot: str
    counts: Mapping[str, int]
    lost: Mapping[str, int]
    left_out: Mapping[str, int]


@dataclass(slots=True)
class Export:
    """One export while it is written, into `folder`; `counts` and `lost` are for the manifest."""

    folder: Path
    form: str
    chosen: Selection
    choice: Choice
    masks: MaskReader
    scratch: Path
    counts: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def videos(self) -> Iterator[tuple[str, SelectedVideo]]:
        """Yield each video with its split, counted."""
        for video in self.chosen.videos:
            self.counts.update(videos=1, tracks=len(video.tracks))
            yield self.choice.split_of(video.video.ref.video_id), video

    def frames(self, video: SelectedVideo) -> Iterator[tuple[int, list[ObjectOnFrame]]]:
        """Yield the tracked frames of a video with what was tracked on each, counted."""
        for frame_idx, entries in frames_of(self.masks, video):
            self.counts.update(frames=1, masks=sum(entry.mask.visible for entry in entries))
            yield frame_idx, entries

    def path(self, *parts: str) -> Path:
        """Return a path in the folder, the folders above it made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: object) -> None:
        """Write a small JSON file of the folder."""
        self.path(name).write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")

    @contextmanager
    def pictures(self, video: SelectedVideo) -> Iterator["Pictures"]:
        """Give what saves a video's frames; its file is fetched where frames go along."""
        if self.choice.frames == "none" or not video.tracks:
            yield Pictures(None, None)
            return
        with ExitStack() as stack:
            path = stack.enter_context(fetch_video(video.video.ref, self.scratch, run_id="export"))
            reader = None
            if self.choice.frames == "jpg":
                reader = stack.enter_context(FrameReader(path, video.video, range(video.video.num_frames)))
            yield Pictures(path, reader)

    @property
    def manifest(self) -> dict[str, object]:
        """What the folder holds and what it is of."""
        chosen = self.chosen
        said: dict[str, object] = {
            "format": self.form, "snapshot": chosen.snapshot.name, "verdicts": chosen.verdicts, "categories": chosen.categories,
            "frames": self.choice.frames, "counts": dict(self.counts), "lost": dict(self.lost), "left_out": chosen.left_out,
        }
        if self.choice.split is not None:
            said["split"] = self.choice.split
        if chosen.certificate is not None:
            said["certificate"] = chosen.certificate.in_short
        said["videos"] = {video.folder: _described(video, self.choice) for video in chosen.videos}
        return said


@dataclass(frozen=True, slots=True)
class Pictures:
    """A video's frames on their way into an export; nothing is saved where frames do not go along."""

    source: Path | None
    reader: FrameReader | None

    def save(self, frame_idx: int, path: Path) -> None:
        """Write one frame as JPEG, of a quality of 95."""
        if self.reader is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self.reader[frame_idx]).save(path, quality=QUALITY)

    def save_video(self, path: Path) -> None:
        """Write the video's file, byte by byte, where videos go along."""
        if self.source is not None and self.reader is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source, path)


@contextmanager
def exporting(root: str, out: Path, choice: Choice, form: str, *, frames: Collection[str] = FRAMES) -> Iterator[Export]:
    """Give an export into `out`, whose manifest is written when the block ends well; `frames` are those that it can take along.

    Raises ValueError for what is not to be had of the store, and when `out` holds files that are no export.
    """
    require(choice.frames in frames, "frames", choice.frames, f"{' or '.join(frames)} with {form}")
    chosen = choice.selection(root)
    objects = open_objects(root)
    with ExitStack() as stack:
        folder = stack.enter_context(replaced_folder(out))
        scratch = choice.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labeling-export-")))
        masks = stack.enter_context(MaskReader(objects))
        export = Export(folder, form, chosen, choice, masks, scratch)
        yield export
        export.write_json(MANIFEST, export.manifest)


def summary_of(export: Export, out: Path) -> Summary:
    """Return what was written to `out`."""
    counts, lost = dict(export.counts), {name: count for name, count in export.lost.items() if count}
    return Summary(out, export.form, export.chosen.snapshot.name, counts, lost, export.chosen.left_out)


def file_of(video: SelectedVideo) -> str:
    """Name a video's own file in an export: its folder's name with the source's suffix."""
    return video.folder + PurePosixPath(video.video.ref.key).suffix


def _described(video: SelectedVideo, choice: Choice) -> dict[str, object]:
    objects = {
        str(number): {
            "object_id": track.object_id, "category": track.category, "label_version": track.label_version,
            "verdict": track.verdict,
        }
        for number, track in enumerate(video.tracks, start=1)
    }
    ref = video.video.ref
    return {"video_id": ref.video_id, "key": ref.key, "split": choice.split_of(ref.video_id), "objects": objects}
