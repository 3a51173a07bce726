"""Verdicts at publish: stored signals go through the rules; containment is measured from stored masks where it must be.

A video's containment is measured only when it has two objects or more and its current rows changed; else what the parent
snapshot has is taken over. What a person decided of a version stands until that object has a newer one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.objects import Objects, map_objects
from labeling.qc.containment import Overlap, containment
from labeling.qc.rules import judge
from labeling.store import schemas
from labeling.store.mask_rows import read_mask_rows
from labeling.store.records import flags_to_cells, signals_from_row
from labeling.types import RLE, Decision, ReviewDecision

Track = tuple[str, str, int]  # video_id, track_id, label_version


@dataclass(frozen=True, slots=True)
class Word:
    """What a person said of one version: it stands above the rules."""

    verdict: str
    decided_by: str
    decided_at: str


def words_of(decisions: Iterable[ReviewDecision]) -> dict[Track, Word]:
    """Return accepts and rejects by track, the latest for each; a correction says nothing until it is tracked."""
    spoken = sorted((d for d in decisions if d.action != "correct"), key=lambda d: d.decided_at)
    return {(d.video_id, d.track_id, d.label_version): Word(Decision(d.action), d.reviewer, d.decided_at) for d in spoken}


def words_in(verdicts: Any) -> dict[Track, Word]:
    """Return what people said by the rows of `verdicts`."""
    rows = verdicts.filter(pc.is_valid(verdicts["decided_by"])).to_pylist()
    return {_track(r): Word(r["verdict"], r["decided_by"], r["decided_at"]) for r in rows}


def with_words(verdicts: Any, words: Mapping[Track, Word]) -> Any:
    """Return rows of `verdicts` with what people said put above what the rules, or people before, did."""
    rows = verdicts.select(["video_id", "track_id", "label_version", "verdict", "decided_by", "decided_at"]).to_pylist()
    if not any(_track(row) in words for row in rows):
        return verdicts
    for row in rows:
        word = words.get(_track(row))
        row |= asdict(word) if word else {}
    for name in ("verdict", "decided_by", "decided_at"):
        field = schemas.VERDICTS.field(name)
        place = verdicts.schema.get_field_index(name)
        verdicts = verdicts.set_column(place, field, pa.array([row[name] for row in rows], field.type))
    return verdicts


def overlaps_in(verdicts: Any) -> dict[Track, Overlap]:
    """Return the containment that rows of `verdicts` hold."""
    measured = verdicts.filter(pc.is_valid(verdicts["overlap"]))
    names = ("video_id", "track_id", "label_version", "overlap", "overlap_track_id")
    spans = ("overlap_first_frame_idx", "overlap_stop_frame_idx")
    columns = (measured[name].to_pylist() for name in (*names, *spans))
    return {
        (video_id, track_id, version): Overlap(value, other, None if first is None else (first, stop))
        for video_id, track_id, version, value, other, first, stop in zip(*columns, strict=True)
    }


def measure_overlaps(objects: Objects, tracks: Sequence[Mapping[str, Any]]) -> dict[Track, Overlap]:
    """Measure containment among the current tracks of each video that has two or more, from their stored masks."""
    by_video: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in tracks:
        by_video[row["video_id"]].append(row)
    shared = [rows for rows in by_video.values() if len(rows) > 1]
    found: dict[Track, Overlap] = {}
    for one in map_objects(objects, lambda rows: _overlaps_of_video(objects, rows), shared):
        found |= one
    return found


def judge_tracks(
    tracks: Iterable[Mapping[str, Any]],
    overlaps: Mapping[Track, Overlap],
    words: Mapping[Track, Word],
    qc: QCConfig,
) -> Any:
    """Judge rows of `tracks` by their stored signals; returns rows of `verdicts` in the same order."""
    rows = [_row(t, overlaps.get(_track(t)), words.get(_track(t)), qc) for t in tracks]
    return pa.Table.from_pylist(rows, schema=schemas.VERDICTS)


def _overlaps_of_video(objects: Objects, rows: Sequence[Mapping[str, Any]]) -> dict[Track, Overlap]:
    masks = {row["track_id"]: _rles(read_mask_rows(objects, row)) for row in rows}
    found = containment(masks)
    tracks = {row["track_id"]: _track(row) for row in rows}
    return {tracks[track_id]: overlap for track_id, overlap in found.items()}


def _rles(masks: Any) -> dict[int, RLE]:
    columns = (masks[name].to_pylist() for name in ("frame_idx", "height", "width", "rle"))
    return {frame_idx: RLE((height, width), counts) for frame_idx, height, width, counts in zip(*columns, strict=True)}


def _row(track: Mapping[str, Any], overlap: Overlap | None, word: Word | None, qc: QCConfig) -> dict[str, Any]:
    signals = signals_from_row(track)
    span = overlap.frame_span if overlap else None
    verdict = judge(
        track["video_id"],
        track["track_id"],
        track["label_version"],
        {**signals.values, "containment": overlap.value if overlap else None},
        {**signals.spans, **({"containment": span} if span else {})},
        (track["first_frame_idx"] or 0, (track["last_frame_idx"] or 0) + 1),
        qc,
    )
    same = {name: track[name] for name in ("video_id", "track_id", "object_id", "label_version", "batch")}
    return same | {
        "verdict": word.verdict if word else verdict.decision.value, "risk": verdict.risk,
        "flags": flags_to_cells(verdict.flags),
        "overlap": overlap.value if overlap else None, "overlap_track_id": overlap.other if overlap else None,
        "overlap_first_frame_idx": span[0] if span else None, "overlap_stop_frame_idx": span[1] if span else None,
        "decided_by": word.decided_by if word else None, "decided_at": word.decided_at if word else None,
    }


def _track(row: Mapping[str, Any]) -> Track:
    return row["video_id"], row["track_id"], row["label_version"]
