"""The run's report: one HTML page that needs nothing beside it."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from labeling.export.records import DeadEntry, RunSummary, TrackEvidence, TrackReport, TruthRow
from labeling.export.report_view import (
    TrackView,
    duration,
    number,
    reason_shares,
    shares,
    signal_views,
    track_view,
    verdict_shares,
    worst_first,
)
from labeling.objects import Objects

__all__ = ["DeadEntry", "RunSummary", "TrackEvidence", "TrackReport", "TruthRow", "render_report", "write_report"]

# A browser opens a page of this size at once; more pictures stay in previews/ beside it.
EMBED_MIB = 32
MAX_ROWS = 400


def write_report(
    objects: Objects, run: RunSummary, tracks: Sequence[TrackReport], *, embed_mib: float = EMBED_MIB, num_worst: int = 12
) -> str:
    """Write `runs/<run_id>/report.html` and the previews it shows, and return the page's URI; repeatable.

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
    run: RunSummary, tracks: Sequence[TrackReport], *, embed_mib: float = EMBED_MIB, num_worst: int = 12
) -> str:
    """Render the page from plain records; the same records give the same text.

    `tracks` are all masklets that the run's snapshot holds; those with `evidence` are shown in full, worst first.
    """
    ordered = worst_first(tracks)
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(duration=duration, number=number)
    template = files("labeling.export").joinpath("report.html").read_text(encoding="utf-8")
    return page.from_string(template).render(
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
