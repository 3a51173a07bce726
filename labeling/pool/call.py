"""What an actor is asked in one go: one job, or several that are short beside what asking costs; and how many those are."""

import math
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from labeling.pool.backlog import Flight
from labeling.types import Receipt

# An answer is held back for at most CALL_S and one job, and that much is done again when the actor dies before it.
CALL_S = 0.25
MAX_JOBS = 64
NUM_SEEN = 32


@dataclass(frozen=True, slots=True)
class Haul:
    """What comes back from one call: receipts of its first jobs, in order, and the seconds that they took."""

    receipts: tuple[Receipt, ...]
    seconds: float


@dataclass(slots=True, eq=False)
class Call:
    """Flights that an actor does one after another, and the answer to come.

    `began_at` (monotonic seconds) is when the call came to the head of its worker's queue, as the driver saw it. A call
    that is not `sent` waits here until the one before it is over, to be sent with the name of the flight behind it: `ahead`,
    which the actor prepares meanwhile.
    """

    flights: tuple[Flight, ...]
    answer: "Future[Haul]"
    began_at: float
    sent: bool = True
    ahead: Flight | None = None

    @property
    def lonely(self) -> bool:
        """Whether it is one job that nobody suspects of anything: such ones may prepare each other."""
        return len(self.flights) == 1 and not self.flights[0].apart

    @property
    def longest_s(self) -> float:
        """How long it may take: of several jobs, the last one that begins has its whole time limit still."""
        slack_s = CALL_S if len(self.flights) > 1 else 0.0
        return slack_s + max(flight.timeout_s for flight in self.flights)


@dataclass(slots=True)
class Pace:
    """How much one call may hold, in the jobs' own measure of work, by the slowest of the last answers.

    It is nothing until enough answers came, so jobs of seconds or more always go one by one.
    """

    seen: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_SEEN))
    room: float = 0.0

    def learn(self, cost: float, seconds: float) -> None:
        """Note that jobs of this cost together took so long."""
        self.seen.append(seconds / cost)
        slowest = max(self.seen)
        if len(self.seen) == NUM_SEEN:
            self.room = CALL_S / slowest if slowest > 0 else math.inf
