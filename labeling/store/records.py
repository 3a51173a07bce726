"""Records as rows of the store's tables: how a mask, a prompt, a video or a track is written and read back as it was."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from typing import TypeVar

from labeling.config import PromptScope
from labeling.errors import DamagedStore, require
from labeling.qc.signals import COLUMNS as SIGNAL_COLUMNS
from labeling.types import (
    LATER_SCORES,
    LOOKS,
    RLE,
    Cell,
    Decision,
    FrameMask,
    JsonObject,
    MaskSource,
    Prompt,
    PromptSource,
    Provenance,
    QCFlag,
    Signals,
    TableRow,
    Verdict,
    Video,
    VideoRef,
)

R = TypeVar("R")

_SCORES = ("predicted_iou", "object_score", "motion_iou", "stability", "candidate_gap", "pointer_similarity")
_LATER = (*LOOKS, *LATER_SCORES)
_PROVENANCE = tuple(f.name for f in fields(Provenance))


def _named(table: str) -> Callable[[Callable[[TableRow], R]], Callable[[TableRow], R]]:
    """Make a function that reads a row back say which row of `table` it cannot read, as DamagedStore."""

    def of(read: Callable[[TableRow], R]) -> Callable[[TableRow], R]:
        @wraps(read)
        def named(row: TableRow) -> R:
            # A value of the right type may still be nonsense; a person is told which row holds it.
            try:
                return read(row)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
                which = ", ".join(f"{name} {row[name]!r}" for name in ("video_id", "track_id", "frame_idx") if name in row)
                raise DamagedStore(
                    f"the row of `{table}` with {which} is damaged ({error!r}); go back to a version that is whole "
                    "(`labeling restore`), or label the video again"
                ) from error

        return named

    return of


@dataclass(frozen=True, slots=True)
class TrackRow:
    """What a job knows of one finished track beside its masks; `key` and `label_version` are the job's."""

    object_id: int
    label_version: int
    key: str
    category: str | None
    prompts: tuple[Prompt, ...]
    signals: Signals
    provenance: Provenance

    def __post_init__(self) -> None:
        require(self.label_version >= 1, "label_version", self.label_version, "a version from 1 on")
        require({p.object_id for p in self.prompts} <= {self.object_id}, "prompts", self.prompts, f"object {self.object_id}'s")


def prompt_to_dict(prompt: Prompt) -> JsonObject:
    """Return a prompt as plain values; parts that it lacks are left out."""
    # What a prompt lacks is left out: most are a click or a box, and the text lies in every row of `tracks`.
    parts: dict[str, Cell] = {"object_id": prompt.object_id, "frame_idx": prompt.frame_idx}
    if prompt.points_xy:
        parts |= {"points_xy": [list(p) for p in prompt.points_xy], "labels": list(prompt.labels)}
    if prompt.box_xyxy is not None:
        parts["box_xyxy"] = list(prompt.box_xyxy)
    if prompt.mask is not None:
        parts["mask"] = {"size": list(prompt.mask.size_hw), "counts": prompt.mask.counts}
    if prompt.category is not None:
        parts["category"] = prompt.category
    if prompt.span is not None:
        parts["span"] = list(prompt.span)
    if prompt.scope is not None:
        parts["scope"] = prompt.scope.value
    return parts | {"source": prompt.source.value}


def prompt_from_dict(parts: JsonObject) -> Prompt:
    """Read back what `prompt_to_dict` wrote."""
    box, mask, span = (parts.get(name) for name in ("box_xyxy", "mask", "span"))
    return Prompt(
        object_id=parts["object_id"],
        frame_idx=parts["frame_idx"],
        points_xy=tuple((x, y) for x, y in parts.get("points_xy", ())),
        labels=tuple(parts.get("labels", ())),
        box_xyxy=(box[0], box[1], box[2], box[3]) if box else None,
        mask=RLE((mask["size"][0], mask["size"][1]), mask["counts"]) if mask else None,
        category=parts.get("category"),
        source=PromptSource(parts.get("source", "seed")),
        span=(span[0], span[1]) if span else None,
        scope=PromptScope(parts["scope"]) if "scope" in parts else None,
    )


def prompts_to_json(prompts: Iterable[Prompt]) -> str:
    """Return prompts as one line of JSON."""
    return json.dumps([prompt_to_dict(p) for p in prompts], separators=(",", ":"))


def prompts_from_json(text: str) -> tuple[Prompt, ...]:
    """Read back what `prompts_to_json` wrote."""
    return tuple(prompt_from_dict(parts) for parts in json.loads(text))


def mask_to_row(mask: FrameMask) -> tuple[Cell, ...]:
    """Return a mask's cells, in the order of `MASK_CELLS`."""
    return (
        mask.frame_idx, mask.pts_seconds, *mask.rle.size_hw, mask.rle.counts, mask.area, mask.box_xywh,
        *(getattr(mask, name) for name in _SCORES), mask.visible, mask.source.value,
        *(getattr(mask, name) for name in _LATER),
    )


MASK_CELLS = ("frame_idx", "pts_seconds", "height", "width", "rle", "area", "box_xywh", *_SCORES, "visible", "source", *_LATER)


@_named("masks")
def mask_from_row(row: TableRow) -> FrameMask:
    """Read back a row of `masks`; scores have the precision of 32-bit floats."""
    box = row["box_xywh"]
    # Files of older releases lack what came later.
    scores = {name: row[name] for name in _SCORES} | {name: row.get(name) for name in _LATER}
    return FrameMask(
        frame_idx=row["frame_idx"],
        pts_seconds=row["pts_seconds"],
        rle=RLE((row["height"], row["width"]), row["rle"]),
        area=row["area"],
        box_xywh=(box[0], box[1], box[2], box[3]) if box is not None else None,
        source=MaskSource(row["source"]),
        **scores,
    )


def video_to_row(video: Video, *, batch: str, run_id: str, created_at: str) -> TableRow:
    """Return a video's row of `videos`."""
    ref, rate = video.ref, video.frame_rate
    return {
        "video_id": ref.video_id, "video_key": ref.key, "uri": ref.uri, "content_id": ref.content_id,
        "num_bytes": ref.num_bytes, "height": video.size_hw[0], "width": video.size_hw[1],
        "frame_rate": float(rate), "frame_rate_numerator": rate.numerator, "frame_rate_denominator": rate.denominator,
        "num_frames": video.num_frames, "duration_seconds": video.duration_seconds, "codec": video.codec,
        "rotation_degrees": video.rotation_degrees, "batch": batch, "run_id": run_id, "created_at": created_at,
    }


@_named("videos")
def video_from_row(row: TableRow) -> Video:
    """Read back a row of `videos`."""
    return Video(
        ref=VideoRef(row["video_id"], row["video_key"], row["uri"], row["content_id"], row["num_bytes"]),
        size_hw=(row["height"], row["width"]),
        frame_rate=Fraction(row["frame_rate_numerator"], row["frame_rate_denominator"]),
        num_frames=row["num_frames"],
        duration_seconds=row["duration_seconds"],
        codec=row["codec"],
        rotation_degrees=row["rotation_degrees"],
    )


def track_to_row(track: TrackRow) -> dict[str, Cell]:
    """Return what a track's row of `tracks` says apart from its masks; ValueError for a signal that has no column."""
    # A signal without a column would be measured and lost in silence.
    unknown = sorted(set(track.signals.values) - set(SIGNAL_COLUMNS))
    require(not unknown, "signals", unknown, f"names among {', '.join(SIGNAL_COLUMNS)}")
    spans = {name: list(span) for name, span in track.signals.spans.items()}
    return {
        "track_id": str(track.object_id), "object_id": track.object_id, "label_version": track.label_version,
        "key": track.key, "category": track.category, "prompts": prompts_to_json(track.prompts),
        **{name: track.signals.values.get(name) for name in SIGNAL_COLUMNS},
        "signal_spans": json.dumps(spans, separators=(",", ":")),
        **{name: getattr(track.provenance, name) for name in _PROVENANCE},
    }


@_named("tracks")
def signals_from_row(row: TableRow) -> Signals:
    """Read a track's signals back; a signal that an older version did not measure is None."""
    spans = {name: (span[0], span[1]) for name, span in json.loads(row["signal_spans"]).items()}
    return Signals({name: row.get(name) for name in SIGNAL_COLUMNS}, spans)


@_named("tracks")
def provenance_from_row(row: TableRow) -> Provenance:
    """Read a track's provenance back."""
    return Provenance(**{name: row[name] for name in _PROVENANCE})


def flags_to_cells(flags: Sequence[QCFlag]) -> list[TableRow]:
    """Return flags as cells of `verdicts`, in their order: the worst first."""
    return [
        {
            "reason": f.reason, "signal": f.signal, "value": f.value, "threshold": f.threshold,
            "first_frame_idx": f.frame_span[0], "stop_frame_idx": f.frame_span[1], "decision": f.decision.value,
        }
        for f in flags
    ]


@_named("verdicts")
def verdict_from_row(row: TableRow) -> Verdict:
    """Read back a row of `verdicts`."""
    flags = tuple(
        QCFlag(
            f["reason"], f["signal"], f["value"], f["threshold"],
            (f["first_frame_idx"], f["stop_frame_idx"]), Decision(f["decision"]),
        )
        for f in row["flags"]
    )
    ids = row["video_id"], row["track_id"], row["label_version"]
    return Verdict(*ids, Decision(row["verdict"]), row["risk"], flags, row.get("judge"), row.get("novelty"))
