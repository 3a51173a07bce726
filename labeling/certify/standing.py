"""How a dataset's promise stands now: which certificate, whether it holds for the newest snapshot, and the alarm since."""

from collections.abc import Iterator
from dataclasses import dataclass

from labeling.certify.audit import basis_of, read_draws
from labeling.certify.certificate import newest_certificate, why_void
from labeling.certify.examine import alarm_since
from labeling.metrics import Metric, gauge
from labeling.objects import Objects
from labeling.review.audits import Audits
from labeling.review.queue import ReviewQueue
from labeling.store.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest certificate, `sentence`, and its snapshot; "" where none was ever made.

    `void` says why it does not stand for the newest snapshot. `evidence` of a risen rate raises the alarm at `limit`;
    `audited` were answered since. `waiting` audits have no answer yet.
    """

    sentence: str = ""
    snapshot: str = ""
    void: str = ""
    bound: float = 1.0
    audited: int = 0
    evidence: float = 1.0
    limit: float = 20.0
    alarm: bool = False
    waiting: int = 0

    @property
    def holds(self) -> bool:
        """Whether something is promised of the newest snapshot, and nothing speaks against it."""
        return bool(self.sentence) and not self.void and not self.alarm

    def families(self) -> Iterator[Metric]:
        """The figures by name."""
        yield gauge("labeling_certificate_holds", "Whether a certificate holds for the newest snapshot", self.holds)
        yield gauge("labeling_certificate_void", "Whether the newest certificate is void", bool(self.void))
        yield gauge("labeling_certificate_bound", "The share of bad masklets at most, by the newest certificate", self.bound)
        yield gauge("labeling_certificate_alarm", "Whether audits since say that the rate has risen", self.alarm)
        yield gauge("labeling_certificate_evidence", "The e-value of audits since; the alarm is at 1 / delta", self.evidence)
        yield gauge("labeling_audits_waiting", "Audits that nobody has answered yet", self.waiting)


def standing_of(objects: Objects, snapshot: Snapshot, queue: ReviewQueue | None) -> Standing | None:
    """How a dataset's promise stands; None where nobody has drawn an audit or made a certificate."""
    newest, draws = newest_certificate(objects), list(read_draws(objects))
    if newest is None and not draws:
        return None
    waiting = Audits(queue).num_waiting() if queue is not None and draws else 0
    if newest is None:
        return Standing(waiting=waiting)
    certificate, version = newest
    later = [masklet.key for one in draws if one.name not in certificate.draws for masklet in one.masklets]
    alarm = alarm_since(objects, certificate, Audits(queue).answers(later) if queue is not None and later else {})
    void = "" if version == snapshot.version else why_void(certificate, objects, snapshot, basis_of(objects, snapshot))
    return Standing(
        certificate.sentence, certificate.snapshot, void, certificate.bound, alarm.num_audits, alarm.evidence, alarm.limit,
        alarm.is_raised, waiting,
    )
