"""Tracks with truth as a judge reads them: signals and pair columns by name, quality, kind of failure, clip."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flows.quality.truth import Truth, tracks_of
from flows.quality.values import measured
from labeling.qc.fit import KnownTracks

WRONG_SEED = "wrong_seed"
# A failure of the truth as the reasons name it; a bad track that is nowhere quite wrong has a poor outline.
REASON_OF: Mapping[str | None, str] = {
    "loss": "object_lost", "swap": "swap", "ghost": "ghost", "leak": "leak", "part": "fragment", "drift": "drift",
    None: "boundary",
}


def known_tracks(truth: Truth) -> KnownTracks:
    """Return every track of a truth, in the order of `tracks`."""
    rights = tracks_of(truth)
    failures = [REASON_OF[right.failure] if right.bad else None for right in rights]
    return KnownTracks(
        rows=measured(truth).values(), j_R=np.array([right.mean_j for right in rights]), failures=failures,
        clips=truth.clips["clip"].to_pylist(), weight_R=np.ones(len(rights)),
    )


def rightly_prompted(truth: Truth) -> npt.NDArray[np.bool_]:
    """Mark tracks (R,) whose prompt was on the object: of the others nothing can be told afterwards."""
    return np.array([not variant.startswith(WRONG_SEED) for variant in truth.clips["variant"].to_pylist()])


def chosen(known: KnownTracks, among_R: npt.NDArray[np.bool_]) -> KnownTracks:
    """Return the marked tracks."""
    at: list[int] = np.flatnonzero(among_R).tolist()
    return replace(
        known, rows=[known.rows[r] for r in at], j_R=known.j_R[at], failures=[known.failures[r] for r in at],
        clips=[known.clips[r] for r in at], weight_R=known.weight_R[at],
    )
