"""Who may review: tokens that a person is given once, and the sessions of browsers that signed in with them.

Both are secrets of 32 random bytes; the database stores only their SHA-256 and looks them up by it, so response times reveal
nothing. Tokens that do not work are limited by address and in all, which bounds the load of guessing; open sessions go on.
"""

import hashlib
import ipaddress
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session

from labeling.errors import BadInput
from labeling.review.db.database import Database
from labeling.review.db.rows import checked_name
from labeling.review.db.tables import SessionRow, TokenRow
from labeling.review.queue import Clock, ReviewQueue

SENIOR = "senior"
ROLES = ("reviewer", SENIOR)
SESSION_S = 14 * 24 * 3600.0
# Tokens that do not work, within `WINDOW_S` seconds: from one address, and in all.
WINDOW_S = 300.0
MOST_OF_ONE, MOST_IN_ALL = 10, 200
MOST_ADDRESSES = 4096

# Each request begins with this, so it is one statement.
_WHO = select(
    SessionRow.reviewer, SessionRow.role, SessionRow.csrf, SessionRow.expires_at,
    (SessionRow.token_sha256.is_(None) & exists(select(TokenRow.token_sha256))).label("outdated"),
).where(SessionRow.session_sha256 == bindparam("cookie"))


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who is signed in; `csrf` is what each write must bring back."""

    name: str
    role: str
    csrf: str


class Accounts:
    """Tokens and sessions in a queue's database; safe to share between threads."""

    def __init__(self, queue: ReviewQueue) -> None:
        self._database: Database = queue.database
        self._clock: Clock = queue.clock

    def make_token(self, name: str, *, role: str = "reviewer") -> str:
        """Make and return a reviewer's new token; it cannot be shown again. Older tokens go on working."""
        reviewer = checked_name(name)
        if role not in ROLES:
            raise BadInput(f"role is {role!r}; expected {' or '.join(ROLES)}", "bad_role")
        token = secrets.token_urlsafe(32)
        with self._database.write() as session:
            session.add(TokenRow(token_sha256=sha256(token), reviewer=reviewer, role=role, made_at=self._clock()))
        return token

    def revoke(self, name: str) -> int:
        """Make all tokens of a reviewer useless and sign them out; how many tokens that were."""
        reviewer, now = checked_name(name), self._clock()
        valid = (TokenRow.reviewer == reviewer) & TokenRow.revoked_at.is_(None)
        with self._database.write() as session:
            count = session.execute(select(func.count()).select_from(TokenRow).where(valid)).scalar_one()
            session.execute(update(TokenRow).where(valid).values(revoked_at=now))
            session.execute(delete(SessionRow).where(SessionRow.reviewer == reviewer))
        return int(count)

    def any_tokens(self) -> bool:
        """Whether signing in asks for a token: once one was ever made, a revoked one counts too."""
        with self._database.read() as session:
            return session.execute(select(TokenRow.token_sha256).limit(1)).first() is not None

    def holds(self, token: str) -> bool:
        """Whether a token is one that works."""
        with self._database.read() as session:
            row = session.get(TokenRow, sha256(token))
            return row is not None and row.revoked_at is None

    def sign_in(self, token: str, *, name: str = "") -> tuple[str, Reviewer] | None:
        """Begin a session with a token; returns the cookie and who it is.

        None for a token that is unknown or revoked, or of somebody else where a `name` is given.
        """
        if not self.holds(token):
            return None
        with self._database.write() as session:
            row = session.get(TokenRow, sha256(token))
            if row is None or row.revoked_at is not None or name not in ("", row.reviewer):
                return None
            return self._begin(session, row.reviewer, row.role, row.token_sha256)

    def sign_in_by_name(self, name: str, *, role: str = SENIOR) -> tuple[str, Reviewer]:
        """Begin a session without a token, for a machine's own user; BadInput for a name that is none."""
        reviewer = checked_name(name)
        with self._database.write() as session:
            return self._begin(session, reviewer, role, None)

    def who(self, cookie: str) -> Reviewer | None:
        """Whose session a cookie is, or None where it has ended; one without a token ends when the first token is made."""
        row = self._database.row(_WHO, {"cookie": sha256(cookie)})
        if row is None:
            return None
        name, role, csrf, expires_at, outdated = row
        ended = outdated or expires_at <= self._clock()
        return None if ended else Reviewer(name, role, csrf)

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        with self._database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.session_sha256 == sha256(cookie)))

    def _begin(self, session: Session, reviewer: str, role: str, token_sha256: str | None) -> tuple[str, Reviewer]:
        now: datetime = self._clock()
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
        session.add(SessionRow(
            session_sha256=sha256(cookie), token_sha256=token_sha256, reviewer=reviewer, role=role, csrf=csrf,
            expires_at=now + timedelta(seconds=SESSION_S),
        ))
        return cookie, Reviewer(reviewer, role, csrf)


def sha256(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class SignInLimit:
    """Counts tokens that did not work; safe to share between threads. `clock` gives monotonic seconds."""

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
            times = self._missed.get(network_of(address), deque())
            return max(self._left(times, self.of_one), self._left(self._all, self.in_all))

    def missed(self, address: str) -> None:
        """Note a token of an address that did not work."""
        with self._lock:
            network, now = network_of(address), self.clock()
            times = self._missed.setdefault(network, deque(maxlen=self.of_one))
            times.append(now)
            self._all.append(now)
            self._missed.move_to_end(network)
            while len(self._missed) > MOST_ADDRESSES:
                self._missed.popitem(last=False)

    def _left(self, times: deque[float], most: int) -> int:
        start = self.clock() - self.window_s
        while times and times[0] <= start:
            times.popleft()
        return math.ceil(times[-most] - start) if len(times) >= most else 0


def network_of(address: str) -> str:
    """The network that is counted as one client: an IPv4 address, or an IPv6 address's /64, which is what one customer gets."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:80]
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
