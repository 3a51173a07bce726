"""Audits and certificates between a dataset's store and its queue: what is drawn, what is promised, what runs accept by it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from flows.run import review_queue as reviewing
from flows.run.plan import new_run_id
from labeling.certify.audit import Draw, basis_of, draw, read_draws, sample_for
from labeling.certify.bounds import Sensitivity
from labeling.certify.certificate import accepted_in, certificate_beside, why_void
from labeling.certify.examine import Examined, examine
from labeling.certify.page import carry_along, write_certificate
from labeling.certify.thresholds import Promise, Terms
from labeling.config import LabelConfig, QCConfig
from labeling.errors import BadConfiguration
from labeling.objects import Objects, open_objects
from labeling.review.audits import AuditCounts, Audits
from labeling.review.flow.opening import items_named
from labeling.review.gold import Gold
from labeling.review.queue import ReviewQueue
from labeling.store.lock import run_lock
from labeling.store.publish import publish, recompute
from labeling.store.snapshots import Snapshot, newest_snapshot, read_snapshot
from labeling.types import ReviewDecision

log = logging.getLogger(__name__)

# Doubtful items among a draw's, so that what is asked for a verdict is not told to be clear by that.
MIXED_IN = 4


def accepting(qc: QCConfig, objects: Objects) -> QCConfig:
    """The judge with the bound on risk of the newest snapshot's certificate; one that was configured stays."""
    snapshot = newest_snapshot(objects) if qc.accept_risk is None else None
    certificate = certificate_beside(objects, snapshot.version) if snapshot else None
    if certificate is None or certificate.promise == Promise.LOT:
        return qc
    return replace(qc, accept_risk=certificate.threshold)


def publish_accepting(
    objects: Objects, qc: QCConfig, *, run_id: str, decisions: Sequence[ReviewDecision], still_held: Callable[[], None],
    judging: Callable[..., Snapshot] = publish,
) -> Snapshot:
    """Publish, accepting by the certificate that stands, and carry it along; what a void one accepted is judged without it."""
    by_certificate = accepting(qc, objects)
    snapshot = judging(objects, by_certificate, run_id=run_id, decisions=decisions, still_held=still_held)
    if carry_along(objects, snapshot) and by_certificate != qc:
        snapshot = recompute(objects, qc, run_id=run_id, decisions=decisions, still_held=still_held)
    return snapshot


def draw_configured(config: LabelConfig, objects: Objects, queue: ReviewQueue, snapshot: Snapshot) -> Draw | None:
    """Draw what `qc.audit` asks for, once for each basis by count, of what is new by rate, and put it into the queue."""
    audit = config.qc.audit
    if audit.count is None and audit.rate is None:
        return None
    if audit.count is not None:
        basis = basis_of(objects, snapshot)
        if any(one.basis == basis and one.mode == "count" and not one.is_lot for one in read_draws(objects)):
            return None
    made = draw(objects, snapshot, count=audit.count, rate=audit.rate, seed=audit.seed)
    ask_for_verdicts(config, objects, queue, snapshot, made)
    return made


def draw_audit(config: LabelConfig, promise: Promise, count: int) -> tuple[Draw, AuditCounts]:
    """Draw masklets of the newest snapshot, of the accepted ones for a lot, and ask for verdicts on them."""
    objects = open_objects(config.store.root)
    snapshot = read_snapshot(objects)
    with reviewing.open_queue(config) as queue:
        made = draw(objects, snapshot, promise=promise, count=count, seed=config.qc.audit.seed)
        return made, ask_for_verdicts(config, objects, queue, snapshot, made)


def ask_for_verdicts(
    config: LabelConfig, objects: Objects, queue: ReviewQueue, snapshot: Snapshot, made: Draw
) -> AuditCounts:
    """Put a draw into the queue, verdict only, with some doubtful items and all gold among it."""
    keys = [masklet.key for masklet in made.masklets]
    items = items_named(objects, snapshot, keys, reviewers=config.run.reviewers)
    mixed_in = -(-len(keys) // MIXED_IN)
    return Audits(queue).open(items, draw=made.name, inclusion=made.inclusion, mixed_in=mixed_in)


def certify(config: LabelConfig, terms: Terms) -> tuple[Examined, str]:
    """Hold the answers to the audit against a promise; where they keep it, publish what it accepts with its certificate.

    Returns what was shown, and the certificate's page ("" without one). Raises BadConfiguration where nothing was published,
    StoreBusy while a run writes the root.
    """
    objects = open_objects(config.store.root)
    with reviewing.open_queue(config) as queue:
        found = _examined(objects, queue, terms)
        if found.certificate is None:
            return found, ""
        run_id = new_run_id()
        with run_lock(objects, f"certify {run_id}", config.run.lock_stale_s) as lock:
            return _published(config, objects, queue, found, run_id, lock.check)


def _examined(objects: Objects, queue: ReviewQueue, terms: Terms) -> Examined:
    snapshot = read_snapshot(objects)
    draws = sample_for(objects, terms.promise, basis_of(objects, snapshot))
    answers = Audits(queue).answers([masklet.key for one in draws for masklet in one.masklets])
    seen = sensitivity_of(queue, {answer.reviewer for answer in answers.values()})
    dataset = PurePosixPath(objects.root).name
    return examine(objects, snapshot, replace(terms, sensitivity=seen), answers, dataset=dataset)


def sensitivity_of(queue: ReviewQueue, reviewers: set[str]) -> Sensitivity:
    """How well reviewers see bad masklets, by their answers to gold that is bad, all of theirs together."""
    scores = [score for score in Gold(queue).scores() if score.reviewer in reviewers]
    return Sensitivity(sum(score.caught for score in scores), sum(score.known_bad for score in scores))


def _published(
    config: LabelConfig, objects: Objects, queue: ReviewQueue, found: Examined, run_id: str, still_held: Callable[[], None]
) -> tuple[Examined, str]:
    certificate = found.certificate
    assert certificate is not None, "what was not shown is not published"
    is_lot = certificate.promise == Promise.LOT
    qc = accepting(config.qc, objects) if is_lot else replace(config.qc, accept_risk=certificate.threshold)
    snapshot = recompute(objects, qc, run_id=run_id, decisions=queue.pending_decisions(), still_held=still_held)
    reviewing.open_items(objects, queue, snapshot, run_id, config.run)
    if not is_lot:
        certificate = replace(certificate, snapshot=snapshot.name, accepted=len(accepted_in(objects, snapshot)))
    if void := why_void(certificate, objects, snapshot, basis_of(objects, snapshot)):
        raise BadConfiguration(f"the audit speaks of other masklets than {snapshot.name} accepts: {void}; draw again")
    page = write_certificate(objects, snapshot, certificate)
    return replace(found, certificate=certificate), page
