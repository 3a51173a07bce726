"""Every format that is written as a folder, with its line of the help and the frames that can go along."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labeling.export.folder import Choice, Summary
from labeling.export.hugging_face import export_hugging_face
from labeling.export.mots import export_mot, export_mots
from labeling.export.sav import export_sav, export_sav_png
from labeling.export.semantic import export_semantic
from labeling.export.webdataset import export_webdataset
from labeling.export.yolo import export_yolo
from labeling.export.youtube_vis import export_youtube_vis


@dataclass(frozen=True, slots=True)
class Format:
    """A format of `labeling export`: `write` takes a store's root, a folder to write and what is asked of it."""

    write: Callable[[str, Path, Choice], Summary]
    says: str
    frames: tuple[str, ...] = ("none",)


PICTURES = ("none", "jpg")
FOLDERS = {
    "yolo": Format(export_yolo, "YOLO segment labels, an object as one polygon", PICTURES),
    "yolo-detect": Format(partial(export_yolo, boxes=True), "YOLO detect labels, an object as its box", PICTURES),
    "youtube-vis": Format(export_youtube_vis, "YouTube-VIS JSON, a file a split", PICTURES),
    "mots-txt": Format(export_mots, "MOTS text files, each pixel one object's", PICTURES),
    "mots-png": Format(partial(export_mots, pictures=True), "MOTS as 16-bit PNG", PICTURES),
    "mot": Format(export_mot, "MOTChallenge boxes with seqinfo.ini", PICTURES),
    "sav": Format(export_sav, "SA-V's JSON, a file for each video", ("none", "video")),
    "sav-png": Format(export_sav_png, "SA-V's layout of val and test, a PNG for each object and frame", PICTURES),
    "semantic": Format(export_semantic, "images of categories, a PNG for each frame", PICTURES),
    "webdataset": Format(export_webdataset, "WebDataset's shards, a sample for each tracked frame", PICTURES),
    "hugging-face": Format(export_hugging_face, "a Hugging Face dataset, Parquet with a card", ("none", "video")),
}
