"""The pictures of a report: filmstrip and overlay preview of the worst masklets, rendered from their source videos."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labeling.config import LabelConfig, default_scratch
from labeling.errors import LabelingError
from labeling.export.previews import Timeline, render_filmstrip, render_preview
from labeling.export.records import TrackEvidence, TrackReport
from labeling.export.report import worst_first
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.objects import Objects
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.snapshots import Snapshot
from labeling.types import Decision, Video

log = logging.getLogger(__name__)


def with_evidence(
    config: LabelConfig, objects: Objects, snapshot: Snapshot, tracks: Sequence[TrackReport], folder: Path
) -> list[TrackReport]:
    """Return the tracks, the worst `run.previews` of them with pictures in `folder`; a source that is gone is noted."""
    worst = [t for t in worst_first(tracks) if t.decision is not Decision.ACCEPT][: config.run.previews]
    by_video: dict[str, list[TrackReport]] = defaultdict(list)
    for track in worst:
        by_video[track.video_id].append(track)
    found: dict[str, TrackEvidence] = {}
    for video_id, own in by_video.items():
        wanted = {track.track_id: track for track in own}
        stored = [m for m in read_masklets(objects, video=video_id, snapshot=snapshot) if m.track_id in wanted]
        found |= _evidence_of_video(config, stored, wanted, folder)
    return [replace(track, evidence=found.get(track.name)) for track in tracks]


def _evidence_of_video(
    config: LabelConfig, stored: Sequence[StoredMasklet], wanted: dict[str, TrackReport], folder: Path
) -> dict[str, TrackEvidence]:
    scratch = Path(config.run.scratch or default_scratch())
    video = stored[0].video
    try:
        with fetch_video(video.ref, scratch, run_id="report") as path:
            return {wanted[m.track_id].name: _evidence(m, video, path, wanted[m.track_id], folder) for m in stored}
    except Exception as error:
        return {wanted[m.track_id].name: _without_pictures(m, _note(error, video.ref.key)) for m in stored}


def _note(error: Exception, what: str) -> str:
    """Log why there is no picture, and return what the report says of it: an error in pictures never ends a run."""
    message = str(error) if isinstance(error, LabelingError) else f"{type(error).__name__}: {error}"
    log.warning("no pictures of %s: %s", what, message)
    log.debug("the error in full", exc_info=error)
    return f"No pictures: {message}"


def _without_pictures(masklet: StoredMasklet, note: str) -> TrackEvidence:
    threshold = masklet.masklet.provenance.presence_threshold
    return TrackEvidence(frames=masklet.frames, presence_threshold=threshold, note=note)


def _evidence(masklet: StoredMasklet, video: Video, path: Path, track: TrackReport, folder: Path) -> TrackEvidence:
    if not masklet.frames:
        return _without_pictures(masklet, "The object has no frame.")
    timeline = Timeline([f.frame_idx for f in masklet.frames], [f.pts_seconds for f in masklet.frames])
    masks = {masklet.masklet.object_id: {f.frame_idx: f.rle for f in masklet.frames}}
    focus = track.flags[0].frame_span if track.flags else None
    pictures: dict[str, Path] = {}
    notes: list[str] = []
    with FrameReader(path, video, timeline.frame_indices) as frames:
        for kind, suffix, draw in (("filmstrip", "jpg", render_filmstrip), ("preview", "mp4", render_preview)):
            try:
                pictures[kind] = draw(frames, timeline, masks, folder / f"{track.name}.{suffix}", focus=focus)
            except Exception as error:
                notes.append(_note(error, f"{video.ref.key}, object {masklet.track_id}: its {kind}"))
    evidence = _without_pictures(masklet, " ".join(notes))
    return replace(evidence, filmstrip=pictures.get("filmstrip"), preview=pictures.get("preview"))
