"""The run's report: one HTML page that needs nothing beside it, its numbers as words and pictures."""

import base64
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from labeling.certify.page import html_template
from labeling.export.plots import PAGE, Bound, Floats, bounds_of, draw_histogram, draw_scores, figure_svg, leading_signals
from labeling.export.records import RunReport, TrackReport
from labeling.objects import Objects
from labeling.qc.reasons import REASONS
from labeling.types import Decision, FrameMask

log = logging.getLogger(__name__)

# A browser opens a page of this size at once; more pictures stay in previews/ beside it.
EMBED_MIB = 32
MAX_ROWS = 400
MIME = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a chart: a label, its count, its part of the whole in percent, and a word of explanation."""

    label: str
    count: float
    percent: float
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class SignalView:
    """A signal's histogram as SVG, with what it shows in words."""

    signal: str
    svg: str
    summary: str
    bounds: str


@dataclass(frozen=True, slots=True)
class TrackView:
    """A masklet's card: `scores_svg`, and data URIs of its pictures ('' where there is none)."""

    track: TrackReport
    scores_svg: str
    scores_summary: str
    filmstrip_uri: str
    filmstrip_summary: str
    preview_uri: str
    note: str


def write_report(
    objects: Objects, run: RunReport, tracks: Sequence[TrackReport], *, embed_mib: float = EMBED_MIB, num_worst: int = 12
) -> str:
    """Write `runs/<run_id>/report.html` and the previews that it shows; returns the page's URI. Repeatable.

    Pictures and videos are embedded, worst masklets first, until `embed_mib` is used up; all lie in `previews/` too.
    """
    folder = f"runs/{run.run_id}"
    for track in tracks:
        if track.evidence is None:
            continue
        for path in (track.evidence.filmstrip, track.evidence.preview):
            if path is not None:
                objects.put_file(f"{folder}/previews/{path.name}", path)
    page = render_report(run, tracks, embed_mib=embed_mib, num_worst=num_worst)
    objects.put(f"{folder}/report.html", page.encode("utf-8"))
    return objects.uri(f"{folder}/report.html")


def without_passwords(text: str) -> str:
    """Return text with the password of each URL in it (`scheme://user:password@host`) replaced by `***`."""
    return re.sub(r"(://[^/\s:@\"]*:)[^/\s@\"]+@", r"\1***@", text)


def _worst_views(ordered: Sequence[TrackReport], *, embed_mib: float, num_worst: int) -> list[TrackView]:
    left = int(embed_mib * 2**20)
    views = []
    for position, track in enumerate([t for t in ordered if t.evidence is not None][:num_worst]):
        view = track_view(track, position=position, embed_bytes=left)
        left -= len(view.filmstrip_uri) + len(view.preview_uri)
        views.append(view)
    return views


def render_report(
    run: RunReport, tracks: Sequence[TrackReport], *, embed_mib: float = EMBED_MIB, num_worst: int = 12
) -> str:
    """Render the page from plain records; the same records give the same text.

    `tracks` are all masklets that the run's snapshot holds; those with `evidence` are shown in full, worst first.
    """
    ordered = worst_first(tracks)
    template = html_template("labeling.export", "report.html", duration=duration, number=number)
    return template.render(
        run=run,
        style=files("labeling.export").joinpath("report.css").read_text(encoding="utf-8"),
        tracks=ordered[:MAX_ROWS],
        num_tracks=len(ordered),
        verdicts=verdict_shares(ordered),
        reasons=reason_shares(ordered),
        signals=signal_views(run, ordered),
        stages=shares(dict(sorted(run.seconds_by_stage.items(), key=lambda row: -row[1]))),
        worst=_worst_views(ordered, embed_mib=embed_mib, num_worst=num_worst),
        truth_mean=sum(row.mean for row in run.truth) / len(run.truth) if run.truth else None,
        config=without_passwords(json.dumps(run.config, indent=2, sort_keys=True, default=str)),
    )


def duration(seconds: float) -> str:
    """Say a length of time in the two units that matter: `2 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with thousands marks and at most `digits` significant decimals; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def worst_first(tracks: Iterable[TrackReport]) -> list[TrackReport]:
    """Order masklets by what is decided (reject, review, accept), then by falling risk."""
    rank = {Decision.REJECT: 0, Decision.REVIEW: 1, Decision.ACCEPT: 2}
    return sorted(tracks, key=lambda t: (rank[t.decision], -t.risk, t.video_key, t.track_id))


def shares(counts: Mapping[str, float], *, whole: float | None = None) -> tuple[Share, ...]:
    """Turn counts into rows with their part of `whole` (their sum, if not given), in the mapping's order."""
    total = sum(counts.values()) if whole is None else whole
    return tuple(Share(k, v, 100.0 * v / total if total else 0.0, _phrase(k)) for k, v in counts.items())


def _phrase(reason: str) -> str:
    return REASONS[reason].phrase if reason in REASONS else ""


def verdict_shares(tracks: Sequence[TrackReport]) -> tuple[Share, ...]:
    """Count masklets by verdict, all three in fixed order."""
    counts = Counter(track.decision for track in tracks)
    return shares({decision.value: counts[decision] for decision in Decision})


def reason_shares(tracks: Sequence[TrackReport]) -> tuple[Share, ...]:
    """Count the masklets that each reason flags, commonest first; a masklet may have several."""
    counts = Counter(reason for track in tracks for reason in {flag.reason for flag in track.flags})
    ordered = dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))
    return shares(ordered, whole=len(tracks))


def signal_views(run: RunReport, tracks: Sequence[TrackReport]) -> tuple[SignalView, ...]:
    """Draw the histogram of each leading signal that was measured, with the judge's bounds."""
    rows = [track.values for track in tracks]
    views = []
    for signal in leading_signals(run.qc, {name for row in rows for name in row}):
        values = finite_values(rows, signal)
        if len(values) == 0:
            continue
        bounds = bounds_of(run.qc, signal)
        svg, note = _drawn(partial(draw_histogram, values, bounds=bounds, palette=PAGE), f"signal-{signal}")
        low, middle, high = (float(q) for q in (values.min(), sorted(values)[len(values) // 2], values.max()))
        summary = f"{len(values):,} masklets, median {number(middle)}, from {number(low)} to {number(high)}"
        if bounds:
            summary += f"; {num_past(values, bounds):,} past a bound"
        views.append(SignalView(signal, svg, f"{summary} {note}".rstrip(), describe_bounds(bounds)))
    return tuple(views)


def _drawn(draw: Callable[[], Figure], name: str) -> tuple[str, str]:
    """Return a plot as SVG, or "" and a note: an error in pictures never ends a run."""
    try:
        return figure_svg(draw(), name=name), ""
    except Exception as error:
        log.warning("no plot %s: %s: %s", name, type(error).__name__, error)
        return "", f"No plot: {type(error).__name__}: {error}"


def data_uri(path: Path) -> str:
    """Return a picture or video as a `data:` URI."""
    return f"data:{MIME[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _scores_summary(frames: Sequence[FrameMask]) -> str:
    quality = [frame.predicted_iou for frame in frames]
    presence = [frame.object_score for frame in frames]
    empty = sum(not frame.visible for frame in frames)
    return (
        f"Scores over {len(frames):,} frames: predicted IoU {min(quality):.2f} to {max(quality):.2f}, "
        f"object score {min(presence):.1f} to {max(presence):.1f}, empty mask on {empty:,} frames"
    )


def track_view(track: TrackReport, *, position: int, embed_bytes: int) -> TrackView:
    """Prepare one masklet's card; a picture that does not fit into `embed_bytes` (int64) is left out, and the note says so."""
    evidence = track.evidence
    if evidence is None or not evidence.frames:
        return TrackView(track, "", "", "", "", "", evidence.note if evidence else "")
    draw = partial(
        draw_scores, evidence.frames, flags=track.flags, presence_threshold=evidence.presence_threshold, palette=PAGE,
        width_inches=6.4,
    )
    svg, note = _drawn(draw, f"scores-{position}")
    notes = [words for words in (evidence.note, note) if words]
    uris = {}
    for kind, path in (("filmstrip", evidence.filmstrip), ("preview", evidence.preview)):
        fits = path is not None and path.stat().st_size * 4 // 3 <= embed_bytes
        uris[kind] = data_uri(path) if path is not None and fits else ""
        embed_bytes -= len(uris[kind])
        if path is not None and not fits:
            notes.append(f"The {kind} is not embedded, to keep this page small: previews/{path.name}")
    first, last = evidence.frames[0], evidence.frames[-1]
    strip_summary = (
        f"Frames of object {track.track_id} in {track.video_key}, "
        f"tracked from {first.pts_seconds:.1f} s to {last.pts_seconds:.1f} s, its mask tinted"
    )
    return TrackView(
        track, svg, _scores_summary(evidence.frames),
        uris["filmstrip"], strip_summary, uris["preview"], " ".join(notes),
    )


def num_past(values: Floats, bounds: Sequence[Bound]) -> int:
    """Count the values (N,) that are on the wrong side of any bound."""
    past = np.zeros(len(values), dtype=bool)
    for _, bound, limit in bounds:
        past |= values < limit if bound == "at_least" else values > limit
    return int(past.sum())


def finite_values(rows: Iterable[Mapping[str, float | None]], signal: str) -> Floats:
    """Collect a signal's finite values (N,) from rows of signals; rows that lack it or hold null are left out."""
    values = np.array([row[signal] for row in rows if row.get(signal) is not None], dtype=np.float64)
    return values[np.isfinite(values)]


def describe_bounds(bounds: Sequence[Bound]) -> str:
    """Say bounds in words: `review below 0.7, reject below 0.4`."""
    side = {"at_least": "below", "at_most": "above"}
    return ", ".join(f"{decision} {side[bound]} {limit:g}" for decision, bound, limit in bounds)
