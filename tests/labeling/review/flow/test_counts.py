"""The counts that the database keeps are those that counting gives, whatever happens to items."""

from collections import Counter
from collections.abc import Callable

from alembic import command
from sqlalchemy import select, text

from labeling.review.db.database import MIGRATION_LOCK, _alembic_config
from labeling.review.db.tables import ItemRow, ReasonRow
from labeling.review.flow.counts import item_counts
from labeling.review.items import ItemStatus
from labeling.review.quality.gold import Gold, Truth
from labeling.review.queue import ReviewQueue
from tests.labeling.review.samples import HandClock, item, video_id


def counted(queue: ReviewQueue) -> dict[tuple[str, str], dict[str, int]]:
    """What the tally should say, from the items themselves."""
    found: dict[tuple[str, str], Counter[str]] = {}
    with queue.database.read() as session:
        for row in session.scalars(select(ItemRow)):
            for facet, name in (("status", ""), ("category", row.category), ("run", row.run_id)):
                if name is not None:
                    found.setdefault((facet, row.status), Counter())[name] += 1
        for reason in session.scalars(select(ReasonRow)):
            found.setdefault(("reason", reason.status), Counter())[reason.reason] += 1
    return {key: dict(names) for key, names in found.items()}


def kept(queue: ReviewQueue) -> dict[tuple[str, str], dict[str, int]]:
    with queue.database.read() as session:
        return {key: dict(names) for key, names in item_counts(session).sums.items()}


def test_what_happens_to_items_is_counted(queue: ReviewQueue, clock: HandClock) -> None:
    mixed = [("car" if number % 2 else None, ("swap", "leak")[:number % 3]) for number in range(9)]
    queue.open_items(item(number, category=category, reasons=why) for number, (category, why) in enumerate(mixed))
    assert kept(queue) == counted(queue)
    assert kept(queue)["status", "open"] == {"": 9}
    for step in range(4):
        lease = queue.claim("ada", lease_s=60)
        assert lease is not None
        if step % 2:
            queue.decide(lease, "reject")
        assert kept(queue) == counted(queue)
    clock.pass_s(61)
    assert queue.claim("bob") is not None
    queue.open_items([item(8, category="bus", reasons=("flicker",)), item(7, version=2)])
    queue.withdraw([(video_id(6), "7", 1)], because="clear")
    Gold(queue).add(next(one.item_id for one in queue.list("decided")), Truth(True, {}, "known"))
    assert kept(queue) == counted(queue)
    assert queue.counts()[ItemStatus.CLOSED] > 0


def test_a_queue_of_before_is_counted_when_it_is_opened(queue: ReviewQueue, open_queue: Callable[[], ReviewQueue]) -> None:
    queue.open_items([item(1), item(2, category="car")])
    with queue.database.engine.connect().execution_options(begin_immediate=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        command.downgrade(_alembic_config(connection), "0003")
    again = open_queue()
    assert kept(again) == counted(again)
    again.claim("ada")
    assert kept(again) == counted(again)
