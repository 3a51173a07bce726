"""A Hugging Face dataset: a Parquet file a split, a row a masklet, and the card that names the files.

    <out>/README.md              the card; `datasets.load_dataset("<out>")` reads by it
    <out>/data/<split>.parquet   video, object_id, category, verdict, risk, height, width, fps, and a list of frames
    <out>/videos/<video>         with `--frames video`; the column `file_name` names it

A frame has frame_idx, seconds, the mask's run lengths (`counts`, of COCO), its box as x, y, width, height, predicted IoU.
"""

import json
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.export.folder import Choice, Export, Summary, exporting, file_of, summary_of
from labeling.export.selection import SelectedTrack, SelectedVideo, masks_of
from labeling.types import TableRow

FRAME = pa.struct([
    ("frame_idx", pa.int64()), ("seconds", pa.float64()), ("counts", pa.string()), ("bbox", pa.list_(pa.float64())),
    ("score", pa.float64()),
])
SCHEMA = pa.schema([
    ("video", pa.string()), ("file_name", pa.string()), ("object_id", pa.int64()), ("category", pa.string()),
    ("verdict", pa.string()), ("risk", pa.float64()), ("label_version", pa.int64()), ("height", pa.int64()),
    ("width", pa.int64()), ("fps", pa.float64()), ("frames", pa.list_(FRAME)),
])


def export_hugging_face(root: str, out: Path, choice: Choice | None = None) -> Summary:
    """Write Parquet and a card into the folder `out`, a masklet at a time. Raises ValueError as `exporting` does."""
    writers: dict[str, pq.ParquetWriter] = {}
    with exporting(root, out, choice or Choice(), "hugging-face", frames=("none", "video")) as export, ExitStack() as stack:
        for split, video in export.videos():
            if split not in writers:
                writers[split] = stack.enter_context(pq.ParquetWriter(export.path("data", f"{split}.parquet"), SCHEMA))
            for track in video.tracks:
                writers[split].write_table(pa.Table.from_pylist([_row(export, video, track)], SCHEMA))
            with export.pictures(video) as pictures:
                pictures.save_video(export.folder / "videos" / file_of(video))
        export.path("README.md").write_text(_card(export, sorted(writers)), encoding="ascii")
    return summary_of(export, out)


def _row(export: Export, video: SelectedVideo, track: SelectedTrack) -> TableRow:
    frames = [
        {
            "frame_idx": mask.frame_idx, "seconds": mask.pts_seconds, "counts": mask.rle.counts,
            "bbox": mask.box_xywh, "score": mask.predicted_iou,
        }
        for mask in masks_of(export.masks, track)
    ]
    export.counts.update(masks=sum(frame["bbox"] is not None for frame in frames))
    height, width = video.video.size_hw
    return {
        "video": video.video.ref.key, "file_name": f"videos/{file_of(video)}", "object_id": track.object_id,
        "category": track.category, "verdict": track.verdict, "risk": track.risk, "label_version": track.label_version,
        "height": height, "width": width, "fps": float(video.video.frame_rate), "frames": frames,
    }


def _card(export: Export, splits: list[str]) -> str:
    chosen, lines = export.chosen, ["---", "pretty_name: Masklets by samurai-labeling"]
    if splits:
        lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}.parquet"]
    said: dict[str, object] = {"snapshot": chosen.snapshot.name, "verdicts": chosen.verdicts}
    said["categories"] = list(chosen.categories)
    if chosen.certificate is not None:
        said["certificate"] = chosen.certificate.in_short
    lines += ["---", "", "# Masklets", "", *(f"- {name}: {json.dumps(part)}" for name, part in said.items())]
    return "\n".join(lines) + "\n"
