"""What an audit's answers show: a certificate, or how many audits are missing; and whether the alarm has gone off since."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from labeling.certify.alarm import Alarm, watch
from labeling.certify.audit import Draw, Drawn, basis_of, read_draws, sample_for
from labeling.certify.bounds import most_bad_in_lot
from labeling.certify.certificate import Certificate, accepted_in, certificate_of
from labeling.certify.thresholds import Finding, Promise, Terms, find_threshold, judge_lot
from labeling.errors import BadConfiguration
from labeling.objects import Objects
from labeling.review.audits import AuditAnswer
from labeling.review.items import ItemKey
from labeling.store.snapshots import Snapshot, read_snapshot, read_verdicts

Answers = Mapping[ItemKey, AuditAnswer]


@dataclass(frozen=True, slots=True)
class Examined:
    """What answers show of a promise: `certificate` is None where they do not show it.

    `waiting` masklets of the draws have no answer, which counts as bad; `seconds_each` is the reviewers' pace, None where
    nobody has answered yet.
    """

    finding: Finding
    certificate: Certificate | None
    draws: tuple[str, ...]
    drawn: int
    waiting: int
    seconds_each: float | None

    @property
    def missing(self) -> int:
        """How many more answers it takes: those that wait, or where all came in, the audits that a next draw needs more."""
        return self.waiting or self.finding.missing


def examine(
    objects: Objects, snapshot: Snapshot, terms: Terms, answers: Answers, *, dataset: str
) -> Examined:
    """Hold the answers to the draws that speak for a promise against it."""
    basis = basis_of(objects, snapshot)
    draws = sample_for(objects, terms.promise, basis)
    drawn = [masklet for one in draws for masklet in one.masklets]
    given = [answers.get(masklet.key) for masklet in drawn]
    bad = [answer is None or answer.bad for answer in given]
    waiting = sum(answer is None for answer in given)
    answered = [answer for answer in given if answer is not None and answer.reviewer]
    pace = sum(answer.seconds for answer in answered) / len(answered) if answered else None
    names = tuple(one.name for one in draws)
    lot = _lot_of(objects, draws) if terms.promise is Promise.LOT else frozenset()
    finding = _finding(terms, draws, drawn, bad, len(lot))
    if finding.threshold is None:
        return Examined(finding, None, names, len(drawn), waiting, pace)
    most_bad = most_bad_in_lot(sum(bad), len(drawn), len(lot), terms.delta, terms.seen) if lot else 0
    spoken_of = lot or _accepted_at(objects, snapshot, finding.threshold)
    made_for = read_snapshot(objects, draws[-1].snapshot) if lot else snapshot
    certificate = certificate_of(
        terms, finding, snapshot=made_for, dataset=dataset, population=draws[-1].population, accepted=spoken_of,
        most_bad=most_bad, unanswered=waiting, reviewers=Counter(answer.reviewer for answer in answered),
        sighted=sum(not answer.blind for answer in answered), draws=names,
        seed=draws[-1].seed, basis=basis,
    )
    return Examined(finding, certificate, names, len(drawn), waiting, pace)


def _finding(terms: Terms, draws: Sequence[Draw], drawn: Sequence[Drawn], bad: Sequence[bool], lot: int) -> Finding:
    if terms.promise is Promise.LOT:
        return judge_lot(terms, sum(bad), len(drawn), lot)
    thresholds = draws[0].thresholds if draws else ()
    return find_threshold(terms, [m.risk for m in drawn], bad, thresholds, [m.video_id for m in drawn])


def _lot_of(objects: Objects, draws: Sequence[Draw]) -> frozenset[ItemKey]:
    if not draws:
        return frozenset()
    try:
        lot = accepted_in(objects, read_snapshot(objects, draws[-1].snapshot))
    except BadConfiguration as error:
        raise BadConfiguration(f"{draws[-1].name} was drawn of a snapshot that is gone ({error}); draw again") from error
    return lot


def _accepted_at(objects: Objects, snapshot: Snapshot, threshold: float) -> frozenset[ItemKey]:
    names = ["video_id", "track_id", "label_version", "risk"]
    rows = read_verdicts(objects, snapshot).select(names).to_pylist()
    return frozenset(ItemKey.of_row(row) for row in rows if row["risk"] <= threshold)


def alarm_since(objects: Objects, certificate: Certificate, answers: Answers) -> Alarm:
    """Follow the audits that were drawn and answered after a certificate, in the order of their answers."""
    made_at = datetime.fromisoformat(certificate.made_at)
    later = [
        (answers[masklet.key].decided_at, masklet) for one in read_draws(objects)
        if one.name not in certificate.draws and datetime.fromisoformat(one.drawn_at) >= made_at
        for masklet in one.masklets if masklet.key in answers
    ]
    ordered = [masklet for _, masklet in sorted(later, key=lambda pair: pair[0])]
    return watch(_outcomes(certificate, ordered, answers), certificate.error, certificate.confidence)


def _outcomes(certificate: Certificate, masklets: Iterable[Drawn], answers: Answers) -> list[bool]:
    """Whether each audit breaks what was promised; of masklets that are not accepted only the whole's promise speaks."""

    def accepted(masklet: Drawn) -> bool:
        return masklet.accepted if certificate.promise == Promise.LOT else masklet.risk <= certificate.threshold

    whole = certificate.promise == Promise.WHOLE
    return [answers[m.key].bad and accepted(m) for m in masklets if whole or accepted(m)]
