"""Gold: items of known truth in the queue, unmarked, whose answers score reviewers and never enter the dataset.

A gold item was opened because the judge doubted it, like any other, and shows nothing else. Its truth is what settled it, or
true masks compared with the masklet's own. Everybody answers it once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeling import rle
from labeling.errors import BadInput
from labeling.geometry import j_and_f
from labeling.objects import Objects
from labeling.review.db.decision_log import is_outcome, stands
from labeling.review.db.rows import as_corrections, find, key_of, move_one, note_event, prompts_to_json, queued_item
from labeling.review.db.tables import ChainHeadRow, DecisionRow, GoldRow, ItemRow, OpinionRow
from labeling.review.flow.consensus import is_gold, mask_likeness
from labeling.review.flow.leases import NO_LEASE, described, is_live
from labeling.review.items import AlreadySettled, ItemHeld, ItemKey, ItemStatus, QueuedItem, item_of
from labeling.review.queue import ReviewQueue
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.store.records import prompts_from_json
from labeling.types import RLE, Prompt

# Mean J&F with true masks: a masklet between the two is neither right nor wrong, and makes no gold.
GOOD_JF, BAD_JF = 0.85, 0.6


@dataclass(frozen=True, slots=True)
class GoldTruth:
    """What is known of an item: whether its masks are right, true masks by frame, and in words where that is known from."""

    good: bool
    masks: Mapping[int, RLE]
    source: str


@dataclass(frozen=True, slots=True)
class GoldItem:
    """An item of known truth with how many have answered it."""

    item: QueuedItem
    good: bool
    num_masks: int
    source: str
    added_at: datetime
    answers: int


@dataclass(frozen=True, slots=True)
class GoldScore:
    """A reviewer's answers to gold: how many, how many right, and mean J&F of what they drew, None where nothing compares.

    Of the answers `known_bad` were to items that are bad, of which `caught` were not accepted.
    """

    reviewer: str
    answers: int
    right: int
    mask_jf: float | None
    known_bad: int = 0
    caught: int = 0


class Gold:
    """Gold of a queue's database; each method is one short transaction."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database, self._clock = queue.database, queue.clock

    def outcome(self, item: int | ItemKey) -> tuple[str, Sequence[Prompt]] | None:
        """What settled an item, the action with its prompts; None where nothing did. UnknownItem where there is none."""
        with self._database.read() as session:
            row = find(session, item)
            settled = select(DecisionRow).where(DecisionRow.item_id == row.item_id, is_outcome())
            last = session.scalars(settled.order_by(DecisionRow.seq.desc()).limit(1)).first()
            return None if last is None else (last.action, prompts_from_json(last.prompts))

    def add(self, item: int | ItemKey, truth: GoldTruth) -> None:
        """Make an open or decided item gold, or say its truth anew; who has decided it does not get it again.

        Errors: UnknownItem, AlreadySettled (closed), ItemHeld.
        """
        now = self._clock()
        with self._database.write() as session:
            row = find(session, item, lock=True)
            masks = [Prompt(int(row.track_id), frame_idx, mask=mask) for frame_idx, mask in sorted(truth.masks.items())]
            columns = {
                "good": truth.good, "source": truth.source, "truth": prompts_to_json(as_corrections(masks, row.track_id)),
            }
            if is_gold(session, row.item_id):
                session.execute(update(GoldRow).where(GoldRow.item_id == row.item_id).values(columns))
                return
            _require_free(row, now)
            _open_again(session, row)
            head = session.get_one(ChainHeadRow, 1).num_decisions
            session.add(GoldRow(item_id=row.item_id, after_seq=head, added_at=now, **columns))
            note_event(session, "gold", row, now, detail=truth.source)

    def remove(self, item: int | ItemKey) -> None:
        """Make gold an item like any other: settled where it was, else open to whoever has not answered; BadInput for none."""
        with self._database.write() as session:
            row = find(session, item, lock=True)
            if not is_gold(session, row.item_id):
                raise BadInput(f"item {key_of(row)} is no gold; `labeling review gold list` names what is", "not_gold")
            session.delete(session.get_one(GoldRow, row.item_id))
            outcome = select(DecisionRow.seq).where(DecisionRow.item_id == row.item_id, is_outcome())
            if session.scalars(outcome).first() is not None:
                move_one(session, row, ItemStatus.DECIDED, **NO_LEASE)
            note_event(session, "ungold", row, self._clock())

    def list(self) -> Sequence[GoldItem]:
        """Every gold item, oldest first."""
        with self._database.read() as session:
            rows = session.execute(
                select(GoldRow, ItemRow).join(ItemRow, ItemRow.item_id == GoldRow.item_id).order_by(GoldRow.item_id)
            ).all()
            answers = _answers(session)
        return [
            GoldItem(
                queued_item(row), gold.good, len(prompts_from_json(gold.truth)), gold.source, gold.added_at,
                len(answers[gold.item_id]),
            )
            for gold, row in rows
        ]

    def scores(self) -> Sequence[GoldScore]:
        """How reviewers have answered, by name."""
        with self._database.read() as session:
            golds = {gold.item_id: gold for gold in session.scalars(select(GoldRow))}
            answers = [row for rows in _answers(session).values() for row in rows]
        by_reviewer: dict[str, list[DecisionRow]] = defaultdict(list)
        for row in answers:
            by_reviewer[row.reviewer].append(row)
        return [_score(name, by_reviewer[name], golds) for name in sorted(by_reviewer)]


def _require_free(row: ItemRow, now: datetime) -> None:
    if row.status == ItemStatus.CLOSED:
        raise AlreadySettled(f"item {key_of(row)} is {described(row)}; expected one that is open or decided")
    if is_live(row, now):
        raise ItemHeld(f"item {key_of(row)} is held by {row.lease_reviewer!r} until {row.lease_expires_at}; try later")


def _open_again(session: Session, row: ItemRow) -> None:
    """Put the item among the open ones; all that have decided it know it already."""
    reviewers = select(DecisionRow.reviewer).where(DecisionRow.item_id == row.item_id, stands()).distinct()
    for reviewer in session.scalars(reviewers).all():
        if session.get(OpinionRow, (row.item_id, reviewer)) is None:
            session.add(OpinionRow(item_id=row.item_id, reviewer=reviewer))
    move_one(session, row, ItemStatus.OPEN, **NO_LEASE)


def _answers(session: Session) -> Mapping[int, Sequence[DecisionRow]]:
    """The standing answers to each gold item, oldest first."""
    query = (
        select(DecisionRow)
        .join(OpinionRow, OpinionRow.seq == DecisionRow.seq)
        .join(GoldRow, GoldRow.item_id == DecisionRow.item_id)
        .where(DecisionRow.seq > GoldRow.after_seq).order_by(DecisionRow.seq)
    )
    answers: dict[int, list[DecisionRow]] = defaultdict(list)
    for row in session.scalars(query):
        answers[row.item_id].append(row)
    return answers


def _score(reviewer: str, answers: Sequence[DecisionRow], golds: Mapping[int, GoldRow]) -> GoldScore:
    right = sum((row.action == "accept") == golds[row.item_id].good for row in answers)
    drawn = [
        likeness for row in answers
        if (likeness := mask_likeness(prompts_from_json(row.prompts), prompts_from_json(golds[row.item_id].truth))) is not None
    ]
    to_bad = [row.action != "accept" for row in answers if not golds[row.item_id].good]
    return GoldScore(reviewer, len(answers), right, sum(drawn) / len(drawn) if drawn else None, len(to_bad), sum(to_bad))


def truth_of_settled(queue: ReviewQueue, objects: Objects, name: str) -> tuple[QueuedItem, GoldTruth]:
    """An item with the truth that its reviewers settled: an accepted masklet is right, what they drew is right.

    Raises BadInput for an item that nobody has settled, UnknownItem for one that is not there.
    """
    item = queue.get(item_of(name))
    outcome = Gold(queue).outcome(item.item_id)
    if outcome is None:
        problem = f"item {item.key} is {item.status} and nobody has settled it"
        raise BadInput(f"{problem}; expected a settled one, or true masks: --truth FOLDER", "no_truth")
    action, prompts = outcome
    if action == "accept":
        return item, GoldTruth(True, {f.frame_idx: f.rle for f in masklet_of(objects, item).frames}, "accepted")
    return item, GoldTruth(False, {p.frame_idx: p.mask for p in prompts if p.mask is not None}, f"{action}ed")


def truth_by_masks(objects: Objects, item: QueuedItem, true: Mapping[int, RLE]) -> tuple[GoldTruth | None, float]:
    """What true masks say of an item's masklet, with its mean J&F over the frames that both have; no truth in between.

    Raises BadInput where they have no frame in common, or masks of another size.
    """
    tracked = {f.frame_idx: f.rle for f in masklet_of(objects, item).frames}
    both = sorted(tracked.keys() & true.keys())
    if not both:
        raise BadInput(f"item {item.key} has no frame with a true mask; expected some of {sorted(tracked)[:5]}...", "no_truth")
    sizes = {mask.size_hw for frame_idx in both for mask in (tracked[frame_idx], true[frame_idx])}
    if len(sizes) > 1:
        raise BadInput(f"item {item.key}: masks are {sorted(sizes)} (h, w); expected truth of the video's size", "bad_mask")
    tracked_THW, true_THW = (np.stack([rle.decode(masks[f]) for f in both]) for masks in (tracked, true))
    likeness = j_and_f(tracked_THW, true_THW).j_and_f
    if BAD_JF < likeness < GOOD_JF:
        return None, likeness
    return GoldTruth(likeness >= GOOD_JF, {f: true[f] for f in both}, f"true masks, J&F {likeness:.3f}"), likeness


def masklet_of(objects: Objects, item: QueuedItem) -> StoredMasklet:
    """The masklet that an item is about, from the snapshot that it was opened from; BadInput where it is gone."""
    try:
        stored = next(
            read_masklets(objects, video=item.key.video_id, track=item.key.track_id, snapshot=item.snapshot), None
        )
    except ValueError as error:
        raise BadInput(f"item {item.key}: {error}", "no_truth") from error
    if stored is None or stored.masklet.label_version != item.key.label_version:
        raise BadInput(f"item {item.key} is not in snapshot {item.snapshot} of the store any more", "no_truth")
    return stored
