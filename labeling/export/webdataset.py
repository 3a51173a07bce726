"""WebDataset: shards of samples, a tracked frame each.

    <out>/<split>-000000.tar    <video id>_<frame index>.json, and .jpg with `--frames jpg`

The JSON has the video's key, the frame's index and time, the picture's height and width, and the objects that are seen: number,
object id, category, run lengths, box as x, y, width, height, predicted IoU. The same snapshot gives the same bytes.
"""

import io
import json
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from labeling.export.folder import Choice, Summary, exporting, summary_of
from labeling.export.selection import ObjectOnFrame, SelectedVideo

SAMPLES = 2_000  # of a shard


@dataclass(slots=True)
class _Shards:
    """The shards of one split; a new one is begun after `SAMPLES` samples."""

    folder: Path
    split: str
    open: ExitStack = field(default_factory=ExitStack)
    writer: tarfile.TarFile | None = None
    count: int = 0

    def add(self, name: str, parts: dict[str, bytes]) -> None:
        if self.writer is None or self.count % SAMPLES == 0:
            self.open.close()
            path = self.folder / f"{self.split}-{self.count // SAMPLES:06d}.tar"
            self.writer = self.open.enter_context(tarfile.TarFile(path, "w"))
        self.count += 1
        for suffix, body in parts.items():
            member = tarfile.TarInfo(f"{name}.{suffix}")
            member.size = len(body)
            self.writer.addfile(member, io.BytesIO(body))


def export_webdataset(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write shards into the folder `out`. Raises ValueError as `exporting` does."""
    shards: dict[str, _Shards] = {}
    with ExitStack() as stack, exporting(root, out, choice or Choice(), "webdataset", frames=("none", "jpg")) as export:
        for split, video in export.videos():
            if split not in shards:
                shards[split] = _Shards(export.folder, split)
                stack.callback(shards[split].open.close)
            with export.pictures(video) as pictures:
                for frame_idx, entries in export.frames(video):
                    parts = {"json": json.dumps(_sample(video, frame_idx, entries)).encode()}
                    picture = export.scratch / "frame.jpg"
                    pictures.save(frame_idx, picture)
                    if export.choice.frames == "jpg":
                        parts["jpg"] = picture.read_bytes()
                    shards[split].add(f"{video.video.ref.video_id}_{frame_idx:06d}", parts)
        for split_shards in shards.values():    # whole before the folder takes its place
            split_shards.open.close()
    return summary_of(export, out)


def _sample(video: SelectedVideo, frame_idx: int, entries: list[ObjectOnFrame]) -> dict[str, object]:
    height, width = video.video.size_hw
    objects = [
        {
            "number": entry.number, "object_id": entry.track.object_id, "category": entry.track.category,
            "segmentation": {"size": list(entry.mask.rle.size_hw), "counts": entry.mask.rle.counts},
            "bbox": entry.mask.box_xywh, "score": round(entry.mask.predicted_iou, 6),
        }
        for entry in entries if entry.mask.visible
    ]
    seconds = round(entries[0].mask.pts_seconds, 6)
    return {
        "video": video.video.ref.key, "frame": frame_idx, "seconds": seconds, "height": height, "width": width,
        "objects": objects,
    }
