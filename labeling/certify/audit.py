"""The audit: a random sample of judged masklets, drawn once, recorded in the store, the same for everybody who draws again.

    audits/d000001.json

Each masklet has a number in [0, 1) that its identity and the draw's seed give by SHA-256. A draw of `count` takes those with
the smallest numbers, which is a simple random sample without replacement; a draw by `rate` takes those below it, so that
masklets that a later run adds are drawn with the same probability and join the sample. Thresholds, risks and what the sample
stands for are in the record, fixed before anybody answers.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from labeling.certify.thresholds import Promise, thresholds_of
from labeling.errors import BadConfiguration
from labeling.objects import Objects
from labeling.review.items import ItemKey
from labeling.store.documents import read_document, typed
from labeling.store.keys import canonical_json
from labeling.store.snapshots import Snapshot, read_tracks, read_verdicts, read_videos
from labeling.types import HELD, Decision

AUDITS = "audits/"
_DRAW = re.compile(rf"{AUDITS}d(\d{{6,}})\.json")
_MADE_BY = ("model", "tracker", "precision", "image_size", "direction", "semantics_version")


@dataclass(frozen=True, slots=True)
class Basis:
    """What a promise stands on: it is void for masklets of other weights, trackers or sources, or judged by another judge."""

    weights: tuple[str, ...]
    trackers: tuple[str, ...]
    sources: tuple[str, ...]
    judge: str

    def differs_from(self, other: "Basis") -> tuple[str, ...]:
        """The names of what is not the same, in words."""
        names = {"weights": "the weights", "trackers": "the tracker", "sources": "the source", "judge": "the judge"}
        return tuple(words for name, words in names.items() if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, slots=True)
class Drawn:
    """One masklet of a draw, with the risk that it had then, and whether it was accepted."""

    video_id: str
    track_id: str
    label_version: int
    risk: float
    accepted: bool

    @property
    def key(self) -> ItemKey:
        """Which version of which masklet it is."""
        return ItemKey(self.video_id, self.track_id, self.label_version)


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw: `masklets` of the `population` in a snapshot, each with the same probability, `inclusion`, to be in it.

    `of` is all (judged masklets) or lot (accepted ones); `mode` count or rate. `thresholds` are fixed here, ascending.
    """

    name: str
    of: str
    mode: str
    snapshot: str
    population: int
    population_sha256: str
    inclusion: float
    seed: int
    thresholds: tuple[float, ...]
    basis: Basis
    drawn_at: str
    masklets: tuple[Drawn, ...]

    def to_json(self) -> bytes:
        """The object that records it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @property
    def is_lot(self) -> bool:
        """Whether it was drawn of accepted masklets alone."""
        return self.of == "lot"


def basis_from(document: Mapping[str, Any]) -> Basis:
    """A basis as a record keeps it."""
    weights, trackers, sources = (tuple(map(str, document[name])) for name in ("weights", "trackers", "sources"))
    return Basis(weights, trackers, sources, str(document["judge"]))


def basis_of(objects: Objects, snapshot: Snapshot) -> Basis:
    """What a snapshot's masklets were made and judged by, and where their videos lie."""
    tracks, videos = read_tracks(objects, snapshot), read_videos(objects, snapshot)
    # What is held was made by no tracker.
    made = {tuple(row.values()) for row in tracks.select(list(_MADE_BY)).to_pylist() if row["direction"] != HELD}
    sources = {_source_of(row["uri"], row["video_key"]) for row in videos.select(["uri", "video_key"]).to_pylist()}
    return Basis(
        weights=tuple(sorted(set(tracks["checkpoint_sha256"].to_pylist()))),
        trackers=tuple(sorted(", ".join(map(str, one)) for one in made)), sources=tuple(sorted(sources)),
        judge=judge_of(read_verdicts(objects, snapshot), snapshot.qc),
    )


def _source_of(uri: str, key: str) -> str:
    return uri.removesuffix(key).rstrip("/") if uri.endswith(key) else uri.rpartition("/")[0]


def judge_of(verdicts: pa.Table, qc: Mapping[str, Any]) -> str:
    """The hash of what gave a snapshot's risks: the fitted judge's, and the rules' where those were asked."""
    fitted = set(verdicts["judge"].to_pylist()) if "judge" in verdicts.column_names else {None}
    rules = hashlib.sha256(canonical_json(qc.get("rules", [])).encode()).hexdigest()[:16]
    names = {f"rules-{rules}" if name in (None, "") else str(name) for name in fitted}
    return ", ".join(sorted(names))


def number_of(key: ItemKey, seed: int) -> float:
    """A masklet's number in [0, 1) under a seed."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def draw(
    objects: Objects, snapshot: Snapshot, *, promise: Promise = Promise.WHOLE, count: int | None = None,
    rate: float | None = None, seed: int | None = None,
) -> Draw:
    """Draw `count` masklets, or each with probability `rate`, of a snapshot's judged (for a lot: accepted) ones, and record it.

    By rate, masklets of earlier draws by rate on the same basis are left out and their seed is gone on with. A draw that finds
    no masklet is not recorded. Raises BadConfiguration for a count or rate that is none.
    """
    check_draw(count, rate)
    rows = read_verdicts(objects, snapshot).select(["video_id", "track_id", "label_version", "risk", "verdict"]).to_pylist()
    of = "lot" if promise is Promise.LOT else "all"
    pool = [row for row in rows if of == "all" or row["verdict"] == Decision.ACCEPT]
    basis, earlier = basis_of(objects, snapshot), list(read_draws(objects))
    if rate is not None:
        earlier = [one for one in earlier if one.mode == "rate" and one.of == of and one.basis == basis]
        seed = earlier[-1].seed if earlier else seed
    seed = secrets.randbits(32) if seed is None else seed
    numbered = sorted(((number_of(ItemKey.of_row(row), seed), _drawn(row)) for row in pool), key=lambda pair: pair[0])
    known = {drawn.key for one in earlier for drawn in one.masklets} if rate is not None else set()
    chosen = [d for number, d in numbered if number < rate and d.key not in known] if rate is not None else [
        d for _, d in numbered[:count]
    ]
    made = Draw(
        name="", of=of, mode="count" if rate is None else "rate", snapshot=snapshot.name, population=len(pool),
        population_sha256=keys_digest(ItemKey.of_row(row) for row in pool),
        inclusion=rate if rate is not None else len(chosen) / len(pool) if pool else 0.0, seed=seed,
        thresholds=_thresholds(pool, earlier if rate is not None else ()), basis=basis,
        drawn_at=datetime.now(UTC).isoformat(timespec="seconds"), masklets=tuple(chosen),
    )
    return _recorded(objects, made) if chosen else made


def check_draw(count: int | None, rate: float | None) -> None:
    """Refuse to draw by both, by neither, or by what is no count or share."""
    if (count is None) == (rate is None):
        raise BadConfiguration(f"qc.audit.count, qc.audit.rate are {count}, {rate}; expected one of them")
    if count is not None and count < 1:
        raise BadConfiguration(f"qc.audit.count is {count}; expected 1 or more")
    if rate is not None and not 0 < rate <= 1:
        raise BadConfiguration(f"qc.audit.rate is {rate}; expected a share above 0, at most 1")


def _thresholds(pool: Sequence[Mapping[str, Any]], earlier: Sequence[Draw]) -> tuple[float, ...]:
    # What was fixed for those that are answered already stays.
    return earlier[0].thresholds if earlier else thresholds_of([row["risk"] for row in pool])


def _drawn(row: Mapping[str, Any]) -> Drawn:
    return Drawn(*ItemKey.of_row(row), row["risk"], row["verdict"] == Decision.ACCEPT)


def keys_digest(keys: Iterator[ItemKey] | Collection[ItemKey]) -> str:
    """One SHA-256 for a set of masklets."""
    return hashlib.sha256("\n".join(sorted(map(str, keys))).encode()).hexdigest()


def _recorded(objects: Objects, made: Draw) -> Draw:
    number = max((int(match[1]) for match in _recorded_keys(objects)), default=0) + 1
    while True:
        named = replace(made, name=f"d{number:06d}")
        if objects.put_if_absent(f"{AUDITS}{named.name}.json", named.to_json()):
            return named
        number += 1


def read_draws(objects: Objects) -> Iterator[Draw]:
    """The draws of a dataset, oldest first; DamagedStore where one is not as it was written."""
    for match in _recorded_keys(objects):
        yield read_document(objects, match[0], _draw_of)


def _recorded_keys(objects: Objects) -> list[re.Match[str]]:
    matches = (_DRAW.fullmatch(stat.key) for stat in objects.list(AUDITS))
    return sorted((match for match in matches if match), key=lambda match: match[0])


def _draw_of(document: Any) -> Draw:
    fields = dict(document)
    return Draw(**{
        **fields, "basis": basis_from(fields["basis"]), "thresholds": tuple(fields["thresholds"]),
        "masklets": tuple(typed(Drawn, row) for row in fields["masklets"]),
    })


def sample_for(objects: Objects, promise: Promise, basis: Basis) -> list[Draw]:
    """The draws that answer for a promise on a basis: the newest by count, or all by rate.

    Draws by count are not mixed: one more draw is one more try, and says so by its name.
    """
    draws = [one for one in read_draws(objects) if one.basis == basis and one.is_lot == (promise is Promise.LOT)]
    if not draws:
        return []
    return [draws[-1]] if draws[-1].mode == "count" else [one for one in draws if one.mode == "rate"]
