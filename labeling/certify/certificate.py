"""A certificate: what is promised of a snapshot's accepted masklets, what it stands on, and when it is void.

    snapshots/v000004/certificate.json, certificate.html

It stands for the snapshot that it was made for, and for those after it that were made by the same weights, tracker and judge
from the same source: there it is carried along. A lot's certificate stands as long as nothing joins the accepted masklets but
what people accepted one by one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from labeling.certify.audit import Basis, basis_from, keys_digest
from labeling.certify.bounds import Sensitivity
from labeling.certify.thresholds import Finding, Promise, Terms
from labeling.errors import BadConfiguration
from labeling.objects import Objects
from labeling.review.items import ItemKey
from labeling.store import layout
from labeling.store.documents import read_document
from labeling.store.keys import canonical_json
from labeling.store.schemas import code_version
from labeling.store.snapshots import Snapshot, read_snapshot, read_verdicts
from labeling.types import Decision, TableRow


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was shown, by whom, of what, and on what it stands.

    n `audits` were drawn of a `population`, m of them have a risk up to the `threshold`, k `bad` ones are among those. A draw's
    masklet that nobody answered is `unanswered` and counts as bad. `bound` is the share that is bad at most; `most_bad` the
    number in a lot. `accepted` masklets are spoken of. `reviewers` maps names to answers, of which
    `sighted` were given before the draw, with risk and flags in sight.
    """

    promise: str
    error: float
    confidence: float
    snapshot: str
    dataset: str
    audits: int
    below: int
    bad: int
    unanswered: int
    threshold: float
    bound: float
    most_bad: int
    design_effect: float
    population: int
    accepted: int
    lot_sha256: str
    sensitivity: Mapping[str, float]
    reviewers: Mapping[str, int]
    sighted: int
    draws: tuple[str, ...]
    seed: int
    basis: Basis
    made_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    carried_to: str = ""
    written_by: str = field(default_factory=lambda: f"samurai-labeling {code_version()}")

    @property
    def sentence(self) -> str:
        """The promise in one sentence."""
        share, sure = f"{100 * self.error:g} %", f"with confidence {100 * self.confidence:g} %"
        if self.promise == Promise.LOT:
            return f"At most {share} of the {self.accepted:,} accepted masklets of {self.snapshot} are bad, {sure}."
        rule = f"at a risk of {self.threshold:.3g} or less"
        if self.promise == Promise.ACCEPTED:
            return f"Of the masklets that are accepted {rule}, at most {share} are bad, {sure}."
        return f"Of all masklets, at most {share} are bad and accepted {rule}, {sure}."

    @property
    def in_short(self) -> dict[str, object]:
        """What an export says of it."""
        return {"sentence": self.sentence, "bound": self.bound, "snapshot": self.snapshot, "sha256": self.digest}

    @property
    def digest(self) -> str:
        """What names it: the SHA-256 of what it says, wherever it is carried to."""
        said = {name: value for name, value in asdict(self).items() if name not in ("carried_to",)}
        return hashlib.sha256(canonical_json(said).encode()).hexdigest()

    def to_json(self) -> bytes:
        """The object that keeps it, canonical: equal certificates have equal bytes."""
        return canonical_json({**asdict(self), "sentence": self.sentence, "sha256": self.digest}).encode()


def certificate_from(document: Any) -> Certificate:
    """Read one; ValueError where it is not as it was written."""
    fields = {name: value for name, value in document.items() if name not in ("sentence", "sha256")}
    made = Certificate(**{**fields, "basis": basis_from(fields["basis"]), "draws": tuple(fields["draws"])})
    if made.digest != document["sha256"]:
        raise ValueError("sha256 is not that of what it says")
    return made


def certificate_of(
    terms: Terms, finding: Finding, *, snapshot: Snapshot, dataset: str, population: int, accepted: frozenset[ItemKey],
    most_bad: int, unanswered: int, reviewers: Mapping[str, int], sighted: int, draws: tuple[str, ...], seed: int, basis: Basis,
) -> Certificate:
    """Make the certificate of what audits have shown; BadConfiguration where they did not show it."""
    if finding.threshold is None:
        raise BadConfiguration("the audits do not show what is promised, so there is no certificate")
    seen: Sensitivity = terms.sensitivity
    return Certificate(
        promise=terms.promise.value, error=terms.error, confidence=terms.confidence, snapshot=snapshot.name, dataset=dataset,
        audits=finding.num_audits, below=finding.num_below, bad=finding.num_bad, unanswered=unanswered,
        threshold=finding.threshold, bound=round(finding.bound, 6), most_bad=most_bad,
        design_effect=round(finding.effect, 6), population=population, accepted=len(accepted),
        lot_sha256=keys_digest(accepted) if terms.promise is Promise.LOT else "",
        sensitivity={"caught": seen.caught, "known_bad": seen.known_bad, "lower": round(terms.seen, 6)},
        reviewers=dict(sorted(reviewers.items())), sighted=sighted, draws=draws, seed=seed, basis=basis,
    )


def accepted_in(objects: Objects, snapshot: Snapshot) -> frozenset[ItemKey]:
    """The masklets that a snapshot accepts."""
    return _keys_of(_verdicts(objects, snapshot), Decision.ACCEPT)


def _verdicts(objects: Objects, snapshot: Snapshot) -> list[TableRow]:
    names = ["video_id", "track_id", "label_version", "verdict", "decided_by"]
    rows: list[TableRow] = read_verdicts(objects, snapshot).select(names).to_pylist()
    return rows


def _keys_of(rows: Sequence[TableRow], verdict: Decision, *, by_people: bool = False) -> frozenset[ItemKey]:
    """Return the masklets with a verdict, or of those the ones that people gave it."""
    chosen = (row for row in rows if row["verdict"] == verdict and (not by_people or row["decided_by"] is not None))
    return frozenset(map(ItemKey.of_row, chosen))


def why_void(certificate: Certificate, objects: Objects, snapshot: Snapshot, basis: Basis) -> str:
    """Why a certificate does not stand for a snapshot that stands on `basis`; "" where it does."""
    changed = certificate.basis.differs_from(basis)
    if changed:
        return f"{', '.join(changed)} changed"
    if certificate.promise != Promise.LOT:
        bound = snapshot.qc.get("accept_risk")
        return "" if bound == certificate.threshold else f"masklets are accepted up to another risk ({bound})"
    if certificate.snapshot == snapshot.name:
        return ""
    try:
        lot = accepted_in(objects, read_snapshot(objects, certificate.snapshot))
    except BadConfiguration:
        return f"{certificate.snapshot}, whose masklets were audited, is gone"
    rows = _verdicts(objects, snapshot)
    # What people accepted one by one since stands beside the lot.
    now = _keys_of(rows, Decision.ACCEPT) - (_keys_of(rows, Decision.ACCEPT, by_people=True) - lot)
    if keys_digest(lot) != certificate.lot_sha256 or not now <= lot:
        return f"masklets were accepted that are not of the lot of {certificate.snapshot}"
    # What people have thrown out since is bad no more.
    if certificate.most_bad - len(lot & _keys_of(rows, Decision.REJECT, by_people=True)) > certificate.error * len(now):
        return f"{len(lot) - len(now)} masklets left the lot, and what it may hold is more than was promised of the rest"
    return ""


def certificate_beside(objects: Objects, version: int) -> Certificate | None:
    """The certificate of a snapshot; DamagedStore where it is not as it was written."""
    key = layout.certificate(version)
    try:
        return read_document(objects, key, certificate_from)
    except FileNotFoundError:
        return None


def newest_certificate(objects: Objects) -> tuple[Certificate, int] | None:
    """The certificate of the newest snapshot that has one, with that snapshot's version."""
    # One listing, however many snapshots have none: every publish and every scrape of the metrics asks.
    keys = {stat.key for stat in objects.list(f"{layout.SNAPSHOTS}v")}
    certified = [version for key in keys if (version := layout.snapshot_version(key)) and layout.certificate(version) in keys]
    found = certificate_beside(objects, max(certified)) if certified else None
    return (found, max(certified)) if found is not None else None


def carried(certificate: Certificate, snapshot: Snapshot) -> Certificate:
    """The same certificate, as it lies beside a later snapshot that it stands for."""
    return certificate if certificate.snapshot == snapshot.name else replace(certificate, carried_to=snapshot.name)
