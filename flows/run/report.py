"""Gathers what a run's report shows, all of it from the store, and writes it."""

import logging
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact
from prefect.context import FlowRunContext

from flows.configure import as_configuration, config_from_dict, shown_config
from flows.run.review_queue import queue_at_hand
from labeling.certify.certificate import certificate_beside
from labeling.config import LabelConfig, default_scratch
from labeling.errors import BadConfiguration, BadInput, LabelingError
from labeling.export.previews import Timeline, render_filmstrip, render_preview
from labeling.export.records import DeadEntry, RunReport, TrackEvidence, TrackReport, TruthRow
from labeling.export.report import worst_first, write_report
from labeling.ingest.decode import FrameReader
from labeling.ingest.fetch import fetch_video
from labeling.objects import Objects, open_objects
from labeling.review.figures import throughput
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import read_dead_letters
from labeling.store.judges import judged_by
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.records import signals_from_row, verdict_from_row
from labeling.store.runs import list_runs, read_config, read_plan, read_summary
from labeling.store.snapshots import Snapshot, read_snapshot, read_tracks, read_verdicts, read_videos
from labeling.track.predictor import UNTRAINED, checkpoint_digest
from labeling.types import Decision, Video

log = logging.getLogger(__name__)


def write_run_report(
    config: LabelConfig, objects: Objects, run_id: str, snapshot: Snapshot, *, queue: ReviewQueue | None = None,
    truth: Sequence[TruthRow] = (),
) -> str:
    """Write `runs/<run_id>/report.html` and its previews, link it from Prefect, and return its URI.

    With a queue at hand the report shows what reviewing took.
    """
    tracks = track_reports(objects, snapshot)
    with tempfile.TemporaryDirectory() as folder:
        shown = with_evidence(config, objects, snapshot, tracks, Path(folder))
        run = run_facts(config, objects, run_id, snapshot, truth)
        if queue is not None:
            run = replace(run, review=throughput(queue))
        uri = write_report(objects, run, shown, num_worst=config.run.previews)
    if FlowRunContext.get() is not None:
        create_link_artifact(uri, link_text=f"Report of run {run_id}", key="report", description=f"Snapshot {snapshot.name}")
    return uri


def track_reports(objects: Objects, snapshot: Snapshot) -> list[TrackReport]:
    """Return every current masklet of a snapshot with its verdict and signals."""
    keys = {row["video_id"]: row["video_key"] for row in read_videos(objects, snapshot).to_pylist()}
    rows = zip(read_tracks(objects, snapshot).to_pylist(), read_verdicts(objects, snapshot).to_pylist(), strict=True)
    return [_track_report(track, said, keys[track["video_id"]]) for track, said in rows]


def _track_report(track: dict[str, Any], said: dict[str, Any], video_key: str) -> TrackReport:
    verdict = verdict_from_row(said)
    return TrackReport(
        video_id=verdict.video_id,
        video_key=video_key,
        track_id=verdict.track_id,
        label_version=verdict.label_version,
        category=track["category"],
        decision=verdict.decision,
        risk=verdict.risk,
        flags=verdict.flags,
        values={**signals_from_row(track).values, "containment": said["overlap"]},
    )


def run_facts(
    config: LabelConfig, objects: Objects, run_id: str, snapshot: Snapshot, truth: Sequence[TruthRow]
) -> RunReport:
    """Return a run in numbers, as its plan, summary and dead letters have them."""
    plan, done = read_plan(objects, run_id), read_summary(objects, run_id)
    finished = datetime.fromisoformat(snapshot.created_at)
    num_videos = sum(plan["reasons"].values())
    letters = read_dead_letters(objects, run_id)
    weights = _weights_of(config)
    untrained = ("The network ran with random weights: the masks mean nothing.",) if weights == UNTRAINED else ()
    return RunReport(
        run_id=run_id,
        store_root=objects.root,
        started_at=(finished - timedelta(seconds=done.wall_seconds)).isoformat(timespec="seconds"),
        finished_at=finished.isoformat(timespec="seconds"),
        wall_seconds=done.wall_seconds,
        num_videos=num_videos,
        num_labelled=done.num_jobs - done.num_failed,
        num_skipped=num_videos - done.num_jobs,
        num_masklets=done.num_objects,
        num_masks=done.num_masks,
        num_frames=done.num_frames,
        video_seconds=done.video_seconds,
        num_workers=done.num_workers,
        qc=config.qc,
        snapshot=snapshot.name,
        seconds_by_stage=done.seconds_by_stage,
        dead_letters=tuple(
            DeadEntry(letter.video, letter.error.reason, letter.error.message, letter.error.kind.value, letter.error.attempts)
            for letter in letters
        ),
        truth=tuple(truth),
        model=config.model.config,
        checkpoint_sha256=weights,
        tracker=config.tracker.name,
        config=shown_config(config),
        replay_command=f"labeling dead-letters replay store.root={objects.root} --run {run_id}",
        notes=(*untrained, f"{judged_by(objects, snapshot).capitalize()}.", *promised(objects, snapshot)),
    )


def promised(objects: Objects, snapshot: Snapshot) -> tuple[str, ...]:
    """Say in a note what is promised of the snapshot's accepted masklets; without a certificate nothing is."""
    certificate = certificate_beside(objects, snapshot.version)
    if certificate is None:
        return ()
    return (f"Certified: {certificate.sentence} At most {100 * certificate.bound:.2f} % by {certificate.audits} audits; "
            f"snapshots/{snapshot.name}/certificate.html says all of it.",)


def _weights_of(config: LabelConfig) -> str:
    """Return the digest of a run's weights; where they lie no longer, a report does without."""
    try:
        return checkpoint_digest(config.model)
    except (BadConfiguration, BadInput) as error:
        log.warning("the report does not say which weights the run had: %s", error)
        return "not at hand"


def report_again(config: LabelConfig, run_id: str) -> str:
    """Write a past run's report from what the store holds; `latest` names the newest run."""
    objects = open_objects(config.store.root)
    runs = list_runs(objects)
    if run_id == "latest" and runs:
        run_id = runs[-1]
    if run_id not in runs:
        raise BadConfiguration(f"run is {run_id!r}; expected one of those in {objects.root}: {', '.join(runs[-10:]) or 'none'}")
    with as_configuration():
        of_run = config_from_dict(read_config(objects, run_id))
        of_run.store.root = config.store.root
        of_run.run.review_url = config.run.review_url
        with queue_at_hand(of_run) as queue:
            return write_run_report(of_run, objects, run_id, read_snapshot(objects), queue=queue)


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
