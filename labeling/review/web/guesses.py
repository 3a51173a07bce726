"""A limit on tokens that do not work: so many from one address, and so many in all, within some minutes.

A token has 256 bits and is looked up by its SHA-256, so no answer's time tells of one, and nobody guesses one; the limit keeps
who tries from filling the log and the database's time. A session that is open goes on: only signing in is held up.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_S = 300.0
MOST_OF_ONE, MOST_IN_ALL = 10, 200
MOST_ADDRESSES = 4096


@dataclass(slots=True)
class Guesses:
    """Counts what did not work; safe to share between threads. `clock` gives seconds that only grow."""

    of_one: int = MOST_OF_ONE
    in_all: int = MOST_IN_ALL
    window_s: float = WINDOW_S
    clock: Callable[[], float] = time.monotonic
    _missed: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _all: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_s(self, address: str) -> int:
        """How many whole seconds an address has to wait before it may try; 0 for none."""
        with self._lock:
            own = self._missed.get(place_of(address), deque())
            return max(self._left(own, self.of_one), self._left(self._all, self.in_all))

    def missed(self, address: str) -> None:
        """Note a token of an address that did not work."""
        with self._lock:
            place, now = place_of(address), self.clock()
            own = self._missed.setdefault(place, deque(maxlen=self.of_one))
            own.append(now)
            self._all.append(now)
            self._missed.move_to_end(place)
            while len(self._missed) > MOST_ADDRESSES:
                self._missed.popitem(last=False)

    def _left(self, times: deque[float], most: int) -> int:
        start = self.clock() - self.window_s
        while times and times[0] <= start:
            times.popleft()
        return math.ceil(times[-most] - start) if len(times) >= most else 0


def place_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 network of an IPv6 one, which is what one customer gets."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:80]
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
