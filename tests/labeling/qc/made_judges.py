"""Tables of tracks drawn at random, with signals that go where their signs say when a track is worse, and judges of them."""

from functools import cache

import numpy as np

from labeling.qc.fit import SIGNS, Boost, KnownTracks, fit_judge
from labeling.qc.judge import Judge
from labeling.qc.judge_json import judge_from_json, to_json

NAMES = [name for name, sign in SIGNS.items() if sign][:12]
KINDS = ("object_lost", "swap", "drift")
QUICK = Boost(rounds=8)


def known_tracks(seed: int, num_tracks: int = 600) -> KnownTracks:
    """Tracks of clips of three; each kind of failure shows in another third of the signals."""
    rng = np.random.default_rng(seed)
    quality, kind = rng.normal(size=num_tracks), rng.integers(0, len(KINDS), num_tracks)
    j = 1 / (1 + np.exp(-(1.5 * quality + 1.2)))
    rows = []
    for r in range(num_tracks):
        shows = [0.9 if n % len(KINDS) == kind[r] else 0.2 for n in range(len(NAMES))]
        values = {name: float(rng.normal(0, 0.7) - SIGNS[name] * quality[r] * s) for name, s in zip(NAMES, shows, strict=True)}
        rows.append({name: None if rng.random() < 0.05 else value for name, value in values.items()})
    failures = [None if j[r] >= 0.75 else KINDS[kind[r]] for r in range(num_tracks)]
    return KnownTracks(rows, j, failures, [f"clip-{r // 3}" for r in range(num_tracks)], np.ones(num_tracks))


@cache
def fitted():
    return fit_judge(known_tracks(0), name="made", model="sam2.1_nano", weights=["f" * 64], facts={"made": True}, boost=QUICK)


@cache
def made_judge() -> Judge:
    return judge_from_json(to_json(fitted().document), "the made judge")
