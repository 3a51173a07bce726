"""From labels of other tools to prompts of this project's videos: names and numbers are matched, and what is lost is said."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.coco import read_coco, read_youtube_vis
from labeling.imports.cvat import read_cvat_labels
from labeling.imports.label_studio import read_label_studio_labels
from labeling.imports.labels import BAD_FILE, ForeignLabel, LabelFile
from labeling.imports.mot import read_mot, read_mots
from labeling.imports.pictures import read_davis
from labeling.imports.sav import read_sav
from labeling.imports.yolo import SizeOf, read_yolo
from labeling.ingest.prompts import ScoredPrompt
from labeling.track.association import AssociationRule, Detection, link
from labeling.types import RLE, Prompt

FORMATS: Mapping[str, Callable[[Path, SizeOf], LabelFile]] = {
    "coco": lambda path, _: read_coco(path),
    "youtube-vis": lambda path, _: read_youtube_vis(path),
    "mot": lambda path, _: read_mot(path),
    "mots": lambda path, _: read_mots(path),
    "yolo": read_yolo,
    "sav": lambda path, _: read_sav(path),
    "davis": lambda path, _: read_davis(path),
    "cvat": lambda path, _: read_cvat_labels(path),
    "label-studio": read_label_studio_labels,
}
_LINKED = "boxes without identities, joined to tracks by overlap"


@dataclass(slots=True)
class ImportedLabels:
    """The labels by video, as the source names it, and object; `lost` counts what was not taken, in words."""

    by_video: dict[str, dict[int, list[ForeignLabel]]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)


def read_labels(name: str, path: Path, size_of: SizeOf) -> LabelFile:
    """Read a file or folder in the format of that name; BadInput names the file and the place that cannot be read."""
    if name not in FORMATS:
        raise BadInput(f"the format is {name!r}; expected {', '.join(FORMATS)}", BAD_FILE)
    if not path.exists():
        raise BadInput(f"{path} does not exist; expected labels in the format {name}", BAD_FILE)
    read = FORMATS[name](path, size_of)
    if not read.labels:
        raise BadInput(f"{path} holds no box and no mask; expected labels in the format {name}", BAD_FILE)
    return read


def match_videos(names: Iterable[str], keys: Sequence[str]) -> dict[str, str]:
    """Return the source's key of each name of a file: the key itself, or the one that it is without suffix or folders."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        path = PurePosixPath(key)
        for spelling in (key, path.name, path.stem, str(path.with_suffix("")), _folded(key)):
            spellings[spelling].add(key)
    matched = {}
    for name in names:
        path = PurePosixPath(name)
        for spelling in (name, str(path.with_suffix("")), path.name, path.stem, _folded(name)):
            if name in keys or len(spellings.get(spelling, ())) == 1:
                matched[name] = name if name in keys else next(iter(spellings[spelling]))
                break
    return matched


def grouped(read: LabelFile, keys: Sequence[str] | None) -> ImportedLabels:
    """Group labels by video and object; numbers that the file gives its tracks stay where they can.

    `keys` are the source's videos, None where the file's names are to be taken as they are.
    """
    names = dict.fromkeys(label.video for label in read.labels)
    matched = {name: name for name in names} if keys is None else match_videos(names, keys)
    by_video: dict[str, list[ForeignLabel]] = defaultdict(list)
    imported = ImportedLabels(lost=Counter({what: n for what, n in read.lost.items() if n}))
    for label in read.labels:
        if label.video in matched:
            by_video[matched[label.video]].append(label)
        else:
            imported.lost["labels of videos that the source does not hold"] += 1
    if not by_video:
        shown = ", ".join(list(names)[:5])
        raise BadInput(f"none of the videos {shown} is in the source; see source.uri and its names", BAD_FILE)
    for video, labels in by_video.items():
        imported.by_video[video] = _by_object(labels, imported.lost)
    return imported


def seeds_of(imported: ImportedLabels, found_by: str, rule: AssociationRule) -> dict[str, list[ScoredPrompt]]:
    """Return each object's first label as a prompt; boxes without identities are joined first, and ghosts among them go."""
    seeds = {}
    for video, objects in imported.by_video.items():
        first = [min(labels, key=lambda label: label.frame_idx) for object_id, labels in objects.items() if object_id]
        ids = [object_id for object_id in objects if object_id]
        seeds[video] = [
            ScoredPrompt(_prompt(object_id, label), label.score, found_by) for object_id, label in zip(ids, first, strict=True)
        ]
        loose = objects.get(0, [])
        if loose:
            imported.lost[_LINKED] += len(loose)
            seeds[video] += _linked(loose, max(ids, default=0), found_by, rule)
    return seeds


def _linked(loose: Sequence[ForeignLabel], above: int, found_by: str, rule: AssociationRule) -> list[ScoredPrompt]:
    by_frame: dict[int, dict[Detection, ForeignLabel]] = defaultdict(dict)
    for label in loose:
        if label.box is not None:
            score = 1.0 if label.score is None else min(max(label.score, 0.0), 1.0)
            by_frame[label.frame_idx][Detection(label.box, score, label.category)] = label
    tracks = link(((frame_idx, list(by_frame[frame_idx])) for frame_idx in sorted(by_frame)), rule)
    return [
        ScoredPrompt(_prompt(above + number, by_frame[t.frame_idx][t.detection]), t.detection.score, found_by)
        for number, t in enumerate(tracks, start=1)
    ]


def _by_object(labels: Sequence[ForeignLabel], lost: Counter[str]) -> dict[int, list[ForeignLabel]]:
    """Number the tracks of a video; what has no identity is 0."""
    tracks = dict.fromkeys(label.track for label in labels if label.track is not None)
    plain = all(track.isascii() and track.isdecimal() and int(track[-18:]) > 0 and len(track) < 19 for track in tracks)
    numbers = {track: int(track) if plain else number for number, track in enumerate(tracks, start=1)}
    if not plain:
        lost["names of tracks, numbered anew"] += len(tracks)
    objects: dict[int, list[ForeignLabel]] = defaultdict(list)
    for label in labels:
        objects[numbers[label.track] if label.track is not None else 0].append(label)
    for object_id, group in objects.items():
        if object_id:
            objects[object_id] = _joined(group, lost)
    return dict(objects)


def _joined(labels: Sequence[ForeignLabel], lost: Counter[str]) -> list[ForeignLabel]:
    """Sort an object's labels by frame; masks of one frame are parts of one, of boxes the first stays."""
    by_frame: dict[int, list[ForeignLabel]] = defaultdict(list)
    for label in labels:
        by_frame[label.frame_idx].append(label)
    joined = []
    for _, parts in sorted(by_frame.items()):
        masks = [part.mask for part in parts if part.mask is not None]
        first = next((part for part in parts if part.mask is not None), parts[0])
        if len(masks) > 1 and len({mask.size_hw for mask in masks}) > 1:
            raise BadInput(f"{parts[1].where}: masks of one frame have several sizes; expected one", BAD_FILE)
        lost["boxes of a track that has more than one on a frame"] += len(parts) - max(1, len(masks))
        joined.append(_with_mask(first, masks) if len(masks) > 1 else first)
    return joined


def _with_mask(label: ForeignLabel, masks: Sequence[RLE]) -> ForeignLabel:
    return ForeignLabel(
        label.video, label.frame_idx, label.track, label.category, label.where, mask=rle.joined(masks), score=label.score
    )


def _prompt(object_id: int, label: ForeignLabel) -> Prompt:
    if label.mask is not None:
        return Prompt(object_id, label.frame_idx, mask=label.mask, category=label.category)
    return Prompt(object_id, label.frame_idx, box_xyxy=label.box_xyxy, category=label.category)


def _folded(name: str) -> str:
    """A name as an export's folders are called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)).strip(".")
