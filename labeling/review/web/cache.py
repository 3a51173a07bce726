"""Small caches: by bytes, by count, and by age; safe to share between threads."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_RECENT = 256


class LruCache(Generic[K, V]):
    """Keeps what was used last, while the sizes add up to at most `capacity`; by default each counts as one."""

    def __init__(self, capacity: int, size: Callable[[V], int] = lambda _: 1) -> None:
        self._capacity, self._size = capacity, size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Keep a value and let go of the least used that no longer fit; returns the value."""
        with self._lock:
            if key in self._values:
                self._total -= self._size(self._values.pop(key))
            self._values[key] = value
            self._total += self._size(value)
            while self._total > self._capacity and len(self._values) > 1:
                self._total -= self._size(self._values.popitem(last=False)[1])
        return value

    def of(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made where there is none; two threads may make it at once."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value


class TtlCache(Generic[K, V]):
    """Keeps answers for some seconds; while one thread makes an answer the others wait for it."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._values: dict[K, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def of(self, key: K, make: Callable[[], V]) -> V:
        """Return the answer for a key, made anew once it is too old."""
        with self._lock:
            made_at, answer = self._values.get(key, (float("-inf"), None))
            if answer is not None and self._clock() - made_at < self._seconds:
                return answer
            if len(self._values) >= MOST_RECENT:
                self._values.clear()
            answer = make()
            self._values[key] = (self._clock(), answer)
            return answer

    def forget(self) -> None:
        """Make every answer anew the next time."""
        with self._lock:
            self._values.clear()
