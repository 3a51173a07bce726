"""What people said of a store's masklets, as tracks to calibrate a judge on."""

import numpy as np

from labeling.certify.audit import read_draws
from labeling.objects import Objects
from labeling.qc.fit import KnownTracks
from labeling.review.queue import ReviewQueue
from labeling.store.snapshots import Snapshot, read_tracks, read_verdicts
from labeling.store.verdicts import judged_values, overlaps_in, was_doubted
from labeling.types import Decision


def reviewed_tracks(objects: Objects, snapshot: Snapshot, queue: ReviewQueue | None) -> KnownTracks:
    """Return the current masklets that people judged: accepted ones are good, rejected and corrected ones bad.

    Each counts by the inverse of the probability that it was looked at: 1 where it was in doubt, an audit's where it was drawn
    for one. An accepted masklet that somebody looked at for another reason says nothing of the others, and is left out.
    """
    corrected = {tuple(c.key): True for c in queue.corrections(unapplied_only=False)} if queue is not None else {}
    inclusion = {tuple(drawn.key): one.inclusion for one in read_draws(objects) for drawn in one.masklets}
    verdicts = read_verdicts(objects, snapshot)
    overlaps, rows, outcomes, weights, clips = overlaps_in(verdicts), [], [], [], []
    tracks = read_tracks(objects, snapshot).to_pylist()
    for track, values, verdict in zip(tracks, judged_values(tracks, overlaps), verdicts.to_pylist(), strict=True):
        key = track["video_id"], track["track_id"], track["label_version"]
        decided = verdict["verdict"] != Decision.ACCEPT if verdict["decided_by"] is not None else None
        is_bad = corrected.get(key, decided)
        doubted = was_doubted(verdict)
        if is_bad is None or not (doubted or key in inclusion):
            continue
        rows.append(values)
        outcomes.append(0.0 if is_bad else 1.0)
        weights.append(1.0 if doubted else 1.0 / inclusion[key])
        clips.append(track["video_id"])
    return KnownTracks(rows, np.array(outcomes), [None] * len(rows), clips, np.array(weights))
