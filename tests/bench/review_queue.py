"""How fast the review page's queue answers with many open items: `python -m tests.bench.review_queue [ITEMS]`.

Prints the median and the slowest of several answers of each kind with the processor's time, counts made anew for each, and
the query plans.
"""

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from labeling.objects import FolderObjects
from labeling.review.accounts import Accounts
from labeling.review.flow.listing import ItemFilter
from labeling.review.items import ItemKey, ItemStatus, ReviewItem
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from labeling.review.web.corrections import Clicker
from labeling.review.web.frames import FrameCache, Prefetcher
from labeling.review.web.services import PageQueue, ServerSettings, Services
from labeling.review.web.store_view import StoreView
from labeling.types import QCFlag

REASONS = ("object_lost", "late_loss", "flicker", "swap", "leak", "area_jump", "low_predicted_iou", "boundary")
CATEGORIES = ("car", "person", "dog", "bicycle", None)
REPEATS = 15


def made_items(count: int) -> Iterator[ReviewItem]:
    """Items of as many videos, with one to three reasons each."""
    chance = np.random.default_rng(0)
    for number in range(count):
        reasons = chance.choice(REASONS, chance.integers(1, 4), replace=False)
        flags = tuple(QCFlag(str(reason), f"{reason}_share", 0.5, 0.1, (3, 9)) for reason in reasons)
        video_id = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        yield ReviewItem(
            ItemKey(video_id, "1", 1), f"clip-{number}.mp4", f"run-{number % 7}", "v000001", float(chance.random()), flags,
            (0, 48), CATEGORIES[number % len(CATEGORIES)],
        )


def main(count: int) -> None:
    """Fill a queue and ask it what a page asks."""
    console, folder = Console(), Path(tempfile.mkdtemp(prefix="review-bench-"))
    try:
        with ReviewQueue(str(folder / "queue.sqlite")) as queue:
            began = time.perf_counter()
            queue.open_items(made_items(count))
            console.print(f"{count} items opened in {time.perf_counter() - began:.1f} s")
            console.print(measured(queue, folder, count))
            console.print(plans(queue))
    finally:
        shutil.rmtree(folder)


def measured(queue: ReviewQueue, folder: Path, count: int) -> Table:
    """Times of whole requests, through the application."""
    frames = FrameCache(folder / "scratch")
    services = Services(
        queue=queue, page=PageQueue(queue), accounts=Accounts(queue), store=StoreView(FolderObjects(folder / "store")),
        frames=frames, prefetcher=Prefetcher(frames), clicker=Clicker(None), settings=ServerSettings(),
    )
    client = TestClient(create_app(services), base_url="http://127.0.0.1")
    csrf = client.post("/api/login", json={"reviewer": "bench"}).json()["csrf"]
    table = Table("request", "median, ms", "slowest, ms", "CPU, ms", title=f"the queue's page, {count} items")
    for query in (
        "", "limit=500", f"offset={count - 100}", "reason=swap", "category=dog", "run=run-3", "reason=swap&category=dog",
        "reason=leak&run=run-3&category=car", "status=any", "status=decided",
    ):
        def ask(query: str = query) -> None:
            services.counts.forget()
            assert client.get(f"/api/queue?{query}").status_code == 200

        table.add_row(f"GET /api/queue?{query}", *times(ask))
        table.add_row("   with counts of the last two seconds", *times(lambda q=query: client.get(f"/api/queue?{q}")))
    table.add_row("POST /api/claim", *times(lambda: client.post("/api/claim", json={}, headers={"X-CSRF-Token": csrf})))
    return table


def times(work: Callable[[], object]) -> tuple[str, str, str]:
    """Median and longest of several runs after one that does not count, and the median of what the processor spent."""
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    wall, cpu = 1000 * np.array(taken).T
    return f"{np.median(wall):.1f}", f"{wall.max():.1f}", f"{np.median(cpu):.1f}"


def plans(queue: ReviewQueue) -> Table:
    """How the database finds what a page of the queue asks for."""
    asked: list[tuple[str, object]] = []
    engine = queue.database.engine

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    wanted = ItemFilter(ItemStatus.OPEN, "swap", "dog", None)
    queue.list(reason="swap", category="dog", limit=50)
    queue.list(limit=50)
    PageQueue(queue).counts(wanted)
    event.remove(engine, "before_cursor_execute", note)
    table = Table("statement", "plan", title="query plans")
    with engine.connect() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            table.add_row(" ".join(statement.split())[-160:], "\n".join(row[3] for row in plan))
    return table


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
