"""Twenty reviewers, and a server that is killed on the way: `python -m tests.bench.review_claims sqlite|postgres [ITEMS]`.

Reviewers are threads that claim and decide over HTTP on loopback, or give an item back now and then; the server is
`labeling review serve` in a process of its own, ended by SIGKILL and started again. Afterwards the log of events says whether
an item was ever held twice and whether claims went by risk, the log of decisions whether one that was answered is lost.
"""

import bisect
import hashlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import select

from labeling.review.db.decision_log import audit_log
from labeling.review.db.tables import EventRow, ItemRow
from labeling.review.items import ItemKey, ReviewItem
from labeling.review.queue import ReviewQueue
from labeling.types import QCFlag
from tests.labeling.review.postgres import missing, postgres_server, url_of

REVIEWERS = 20
KILLS = 3
GIVEN_BACK = 11  # one item in so many
HOPELESS_S = 3600.0


@dataclass
class Tally:
    """What the reviewers were answered: (number of the item, row of the log), and seconds by kind of request."""

    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    claim_s: list[float] = field(default_factory=list)
    decide_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    server_cpu_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Findings:
    """What the logs say afterwards; `most_overtaken` is how many free items of a higher rank a claim left waiting, at most."""

    decisions: int
    held_twice: int
    lost_decisions: int
    most_overtaken: int
    chain: str


class Server:
    """`labeling review serve` in a process of its own, to be killed and started again on the same port."""

    def __init__(self, url: str, folder: Path) -> None:
        self._log = folder / "server.log"
        (folder / "store").mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._command = [
            sys.executable, "-c", "from flows.cli.review import app; app()", "serve", f"store.root={folder / 'store'}",
            f"run.review_url={url}", "--port", str(self._port),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._cpu_before_s = 0.0
        self.cpu_s = 0.0
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            # In a session of its own, as a server is: Linux shares the processor between sessions.
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=Path(__file__).parents[2], start_new_session=True
            )
        give_up_at = time.monotonic() + HOPELESS_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
                httpx.get(f"{self.address}/api/me", timeout=HOPELESS_S)
                self._cpu_before_s = self._spent_s()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"the server did not start: {self._log.read_text()[-2000:]}") from None
                time.sleep(0.1)

    def kill(self) -> None:
        """End it by SIGKILL, and add up what the processor spent on requests."""
        assert self._process is not None
        if self._process.poll() is None:
            self.cpu_s += self._spent_s() - self._cpu_before_s
        self._process.kill()
        self._process.wait(timeout=60)

    def _spent_s(self) -> float:
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)


class Reviewer:
    """One reviewer's browser: every request is sent again until it is answered."""

    def __init__(self, client: httpx.Client, name: str, tally: Tally) -> None:
        self._client, self._name, self._tally, self._give_up_at = client, name, tally, time.monotonic() + HOPELESS_S
        self._client.headers["X-CSRF-Token"] = self._ask("/api/login", {"reviewer": name}).json()["csrf"]

    def review_all(self) -> None:
        """Settle items until none is left, not even in another's hands."""
        while True:
            began = time.perf_counter()
            claimed = self._ask("/api/claim", {}).json()
            if claimed["lease"] is not None:
                with self._tally.lock:
                    self._tally.claim_s.append(time.perf_counter() - began)
                    given_back = len(self._tally.claim_s) % GIVEN_BACK == 0
                self._settle(claimed, given_back=given_back)
                continue
            held = self._ask("/api/queue?status=claimed&limit=500").json()
            for item in held["items"]:
                # Mine although I hold nothing: the claim's answer was lost with the server.
                if item["reviewer"] == self._name:
                    self._settle(self._ask("/api/claim", {"item_id": item["item_id"]}).json(), given_back=False)
            if not held["items"] and not held["counts"]["open"]:
                return
            time.sleep(0.1)

    def _settle(self, claimed: dict[str, Any], *, given_back: bool) -> None:
        token, item_id, began = claimed["lease"]["token"], claimed["item"]["item_id"], time.perf_counter()
        if given_back:
            self._ask("/api/release", {"token": token})
            return
        body = {"token": token, "action": "accept", "note": f"item {item_id}", "seconds": 1.0}
        answer = self._ask(f"/api/items/{item_id}/decision", body)
        assert answer.status_code == 200, answer.text
        with self._tally.lock:
            self._tally.acknowledged.append((item_id, answer.json()["seq"]))
            self._tally.decide_s.append(time.perf_counter() - began)

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        while True:
            try:
                return self._client.request("GET" if body is None else "POST", path, json=body)
            except httpx.TransportError:
                if time.monotonic() > self._give_up_at:
                    raise
                with self._tally.lock:
                    self._tally.unanswered += 1
                time.sleep(0.1)


def made_items(count: int) -> Iterator[ReviewItem]:
    """Items of as many videos, in an order that is not that of their risk."""
    for number in range(count):
        digest = hashlib.sha256(str(number).encode())
        flag = QCFlag("swap", "swap_share", 0.5, 0.1, (3, 9))
        risk = int.from_bytes(digest.digest()[:4], "big") / 2**32
        yield ReviewItem(
            ItemKey(digest.hexdigest()[:16], "1", 1), f"clip-{number}.mp4", "run-1", "v000001", risk, (flag,), (0, 48)
        )


def race(url: str, folder: Path, *, items: int, reviewers: int, kills: int) -> tuple[Tally, float]:
    """Let reviewers settle all items while the server is killed at even shares of them; the tally, and the seconds it took."""
    with ReviewQueue(url) as queue:
        queue.open_items(made_items(items))
    server, tally = Server(url, folder), Tally()
    try:
        server.start()
        began = time.perf_counter()
        with ThreadPoolExecutor(reviewers) as threads:
            names = [f"reviewer-{number}" for number in range(reviewers)]
            running = [threads.submit(review_all, server.address, name, tally) for name in names]
            for number in range(kills):
                _wait_until(lambda due=items * (number + 1) // (kills + 1): len(tally.acknowledged) >= due, running)
                server.kill()
                server.start()
            for one in running:
                one.result()
        return tally, time.perf_counter() - began
    finally:
        server.kill()
        tally.server_cpu_s = server.cpu_s


def review_all(address: str, name: str, tally: Tally) -> None:
    """Review as one reviewer until nothing is left."""
    with httpx.Client(base_url=address, timeout=120) as client:
        Reviewer(client, name, tally).review_all()


def _wait_until(holds: Callable[[], bool], running: list[Any]) -> None:
    while not holds() and not any(one.done() for one in running):
        time.sleep(0.02)


def findings(url: str, tally: Tally) -> Findings:
    """Read in the logs what became of items and decisions."""
    with ReviewQueue(url) as queue:
        logged = {decision.seq: decision for decision in queue.decisions_since()}
        numbers = {queue_item.item_id: queue_item.key for queue_item in _all_items(queue)}
        lost = [seq for item_id, seq in tally.acknowledged if seq not in logged or logged[seq].key != numbers[item_id]]
        with queue.database.read() as session:
            events = session.execute(select(EventRow.item_id, EventRow.kind).order_by(EventRow.event_id)).all()
            ranks = {row.item_id: (-row.risk, row.item_id) for row in session.execute(select(ItemRow.item_id, ItemRow.risk))}
        twice, overtaken = replay([(item_id, kind) for item_id, kind in events], ranks)
        report = audit_log(queue.database)
        return Findings(len(logged), twice, len(lost), overtaken, report.problem or "whole")


def _all_items(queue: ReviewQueue) -> Iterator[Any]:
    offset = 0
    while page := queue.list(None, limit=10_000, offset=offset):
        yield from page
        offset += len(page)


def replay(events: list[tuple[int, str]], ranks: dict[int, tuple[float, int]]) -> tuple[int, int]:
    """Follow the events: how often an item was given away while somebody held it, and how many better ones a claim left."""
    free: list[tuple[float, int]] = []
    held: set[int] = set()
    twice = overtaken = 0
    for item_id, kind in events:
        if kind == "claimed":
            twice += item_id in held
            held.add(item_id)
            place = bisect.bisect_left(free, ranks[item_id])
            overtaken = max(overtaken, place)
            if free[place:place + 1] == [ranks[item_id]]:
                del free[place]
        elif kind in ("opened", "released", "expired"):
            held.discard(item_id)
            bisect.insort(free, ranks[item_id])
        elif kind == "decided":
            held.discard(item_id)
    return twice, overtaken


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of a kind, durable as in earnest."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'queue.sqlite'}"
        return
    if missing():
        raise SystemExit(missing())
    with postgres_server(durable=True) as place:
        yield url_of(place, "postgres")


def main(kind: str, items: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="review-claims-") as name, database(kind, Path(name)) as url:
        tally, seconds = race(url, Path(name), items=items, reviewers=REVIEWERS, kills=KILLS)
        claims, decisions = sorted(tally.claim_s), sorted(tally.decide_s)
        print(f"{kind}: {len(claims)} claims by {REVIEWERS} reviewers in {seconds:.0f} s, {len(claims) / seconds:.1f} claims/s")
        for what, taken in (("claim", claims), ("decision", decisions)):
            median, slow = (1000 * taken[len(taken) * share // 100] for share in (50, 95))
            print(f"{what}: median {median:.0f} ms, 95 % within {slow:.0f}")
        print(f"the server's processor time: {1000 * tally.server_cpu_s / len(claims):.1f} ms for a claim with its decision")
        print(f"{KILLS} times SIGKILL, {tally.unanswered} requests without an answer")
        print(findings(url, tally))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
