"""One run writes a root at a time: `locks/run.json`, taken by put-if-absent and kept by heartbeats.

A holder that died is found out by its silence, or at once when it was a process of this machine that is gone. Every change
is compare-and-set, so of two that take over one wins, and a holder that lost the lock is told by `check`.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from labeling import files
from labeling.errors import DamagedStore, StoreBusy
from labeling.objects import Objects
from labeling.store.documents import plain, read_document
from labeling.store.layout import LOCK
from labeling.types import JsonObject

log = logging.getLogger(__name__)

_BEATS_PER_STALE = 4  # a live holder may miss three heartbeats
_TRIES = 5
_LAST_S = 2.5e11  # the year 9892
_ADVICE = "make sure that no run writes this root, delete it, and run again"


class RunLock:
    """A held lock; a daemon thread writes its heartbeat until `release`."""

    def __init__(self, objects: Objects, holder: str, stale_s: float) -> None:
        if stale_s <= 0:
            raise ValueError(f"stale_s is {stale_s}; expected seconds above 0")
        self._objects, self._holder, self._stale_s = objects, holder, stale_s
        self._token = uuid.uuid4().hex
        self._etag = ""
        self._lost = ""
        self.taken_over = False  # from a holder that died: it may have left half of what it wrote
        self._since = time.time()
        self._beaten_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)

    def acquire(self) -> None:
        """Take the lock, or raise StoreBusy naming its holder."""
        # A lock that changes between the look and the write is looked at again, never taken by guess.
        for _ in range(_TRIES):
            if self._take():
                break
        else:
            raise StoreBusy(f"{self._objects.uri(LOCK)} keeps changing hands; try again in a moment")
        self._etag = self._held_etag()
        self._thread.start()

    def check(self) -> None:
        """Raise StoreBusy if another run took the lock over, or if heartbeats failed for so long that one may have."""
        # Who takes over waits at least this long (`_free_because`), so it cannot have begun before this is seen here.
        silent_s = time.monotonic() - self._beaten_at
        if not self._lost and silent_s > self._stale_s:
            self._lost = f"no heartbeat could be written for {silent_s:.0f} s"
        if self._lost:
            raise StoreBusy(
                f"{self._holder} no longer holds {self._objects.uri(LOCK)}: {self._lost}; "
                "what is done stays done, run again for the rest"
            )

    def release(self) -> None:
        """Stop the heartbeat and give the lock back, unless another holds it by now."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            # Written, not deleted: a delete could not tell whether the lock is still this holder's.
            self._objects.put_if_match(LOCK, self._body(released=True), self._held_etag())
        except StoreBusy as error:
            log.warning("the lock of %s was not given back: %s", self._objects.root, error)
        except Exception as error:  # what the block raised matters more, and the lock goes stale by itself
            log.warning("the lock of %s was not given back and will go stale by itself: %s", self._objects.root, error)

    def _take(self) -> bool:
        """Try to take the lock once; False where it changed meanwhile, StoreBusy where a live run holds it."""
        if self._objects.put_if_absent(LOCK, self._body()):
            return True
        # The etag is asked for before the body: where another writes in between, the conditional write below is refused.
        stat = self._objects.stat(LOCK)
        document = _read(self._objects) if stat else None
        if stat is None or document is None:
            return False
        why = _free_because(document, self._stale_s)
        if why is None:
            raise StoreBusy(self._busy(document))
        # Of several that find it free, one still meets the etag that all of them saw.
        if not self._objects.put_if_match(LOCK, self._body(), stat.etag):
            return False
        if why:
            self.taken_over = True
            log.warning("took over the lock of %s from %s: %s", self._objects.root, document["holder"], why)
        return True

    def _busy(self, document: JsonObject) -> str:
        age_s = max(0.0, time.time() - document["heartbeat_at"])
        return (
            f"{self._objects.root} is being written by {document['holder']} (since {_clock(document['acquired_at'])}, "
            f"last sign of life {age_s:.0f} s ago). Wait for it to end, or stop it; {self._stale_s:.0f} s after its last "
            "sign of life the next run takes over"
        )

    def _body(self, *, released: bool = False) -> bytes:
        now = time.time()
        document = {
            "holder": self._holder, "token": self._token, "acquired_at": self._since, "heartbeat_at": now,
            "stale_s": self._stale_s, "released": released, "process": files.process_identity(),
        }
        return json.dumps(document, indent=1, sort_keys=True).encode()

    def _beat(self) -> None:
        while not self._stopped.wait(self._stale_s / _BEATS_PER_STALE):
            try:
                # A beat whose answer got lost was written all the same: the etag is asked for anew, with whose lock it is.
                beaten = self._objects.put_if_match(LOCK, self._body(), self._etag)
                self._etag = self._held_etag()
            except (StoreBusy, DamagedStore) as error:
                self._lost = str(error)
                return
            except Exception as error:  # the store may answer at the next beat; `check` counts the silence
                log.warning("heartbeat of %s failed: %s", self._objects.uri(LOCK), error)
                continue
            if beaten:
                self._beaten_at = time.monotonic()

    def _held_etag(self) -> str:
        """Return the lock's etag after making sure that it is this holder's; StoreBusy names who holds it instead."""
        # Asked in this order, an etag that is another's comes with a body that is another's.
        stat = self._objects.stat(LOCK)
        document = _read(self._objects) if stat else None
        if stat is None or document is None or document.get("token") != self._token:
            raise StoreBusy(f"{(document or {}).get('holder', 'someone')} took it over")
        return stat.etag


@contextmanager
def run_lock(objects: Objects, holder: str, stale_s: float = 120.0) -> Iterator[RunLock]:
    """Hold a root's lock for a block; call `check()` on it before anything that only one run may do.

    Raises:
        StoreBusy: another live run holds it.
        DamagedStore: what lies there is no lock, so that nobody can tell whether a run holds it.
    """
    lock = RunLock(objects, holder, stale_s)
    lock.acquire()
    try:
        # Whoever died may have left half-written files; while it lived they were not to be touched.
        if lock.taken_over:
            objects.sweep()
        yield lock
    finally:
        lock.release()


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a root, since when, and the last sign of life; both times are seconds since the epoch."""

    name: str
    since: float
    beaten_at: float


def holder_of(objects: Objects) -> LockHolder | None:
    """Say which live run writes a root now, None where none does."""
    document = _read(objects)
    if document is None or _free_because(document, document.get("stale_s", 0.0)) is not None:
        return None
    return LockHolder(document["holder"], document["acquired_at"], document["heartbeat_at"])


def _read(objects: Objects) -> JsonObject | None:
    try:
        return read_document(objects, LOCK, _checked, advice=_ADVICE)
    except FileNotFoundError:
        return None


def _checked(document: object) -> JsonObject:
    lock = plain(document, dict, "the lock")
    for name, kind in (("holder", str), ("token", str), ("acquired_at", float), ("heartbeat_at", float)):
        plain(lock[name], kind, name)
        if kind is float and not 0 <= lock[name] < _LAST_S:
            raise ValueError(f"{name} is {lock[name]}; expected seconds since the epoch")
    plain(lock.get("stale_s", 0.0), float, "stale_s")
    holder = plain(lock["process"], dict, "process")
    plain(holder["machine"], str, "process.machine")
    plain(holder["pid"], int, "process.pid")
    return lock


def _free_because(document: JsonObject, stale_s: float) -> str | None:
    """Say why the lock may be taken: "" when it was given back, a sentence when its holder is gone, None when it is held."""
    if document.get("released"):
        return ""
    # Known at once for a process of this machine; of one elsewhere only its silence tells.
    if files.process_has_ended(document["process"]):
        return "its process is gone"
    age_s = time.time() - document["heartbeat_at"]
    # The longer of the two patiences: the holder beats at its own pace.
    if age_s > max(stale_s, document.get("stale_s", 0.0)):
        return f"no sign of life for {age_s:.0f} s"
    return None


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
