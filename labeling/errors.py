"""Errors that name a reason, how a caught exception becomes a record, and how a bad value is shown.

Reasons a user meets in dead letters: `missing_video`, `not_a_video`, `decode_error`, `empty_video`, `bad_prompt`,
`unknown_video` (a prompt for a video that the listing lacks), `no_prompts`, `deadline`, `worker_died`, `out_of_memory`,
`store_unavailable`, `store_damaged`, `source_unavailable`, `scratch_full`, `bad_checkpoint`, `bad_configuration`,
`results_missing` (what a worker wrote is not in the store), `unexpected`.
`credentials_expired`, `credentials_refused` and `store_not_shared` are no single video's: they end the run.
"""

import reprlib
import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labeling.jobs import Job

CREDENTIALS_EXPIRED = "credentials_expired"
CREDENTIALS_REFUSED = "credentials_refused"
STORE_NOT_SHARED = "store_not_shared"
ENDS_THE_RUN = frozenset({CREDENTIALS_EXPIRED, CREDENTIALS_REFUSED, STORE_NOT_SHARED})
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12
_SHOWN_AT_MOST = 240


class ErrorKind(StrEnum):
    """What a retry can do about an error: `transient` may pass, `poison` never will, `device` needs a fresh worker."""

    TRANSIENT = "transient"
    POISON = "poison"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a job failed, as a value: `reason` from a short vocabulary, the rest for people."""

    kind: ErrorKind
    reason: str
    message: str
    traceback: str = ""
    attempts: int = 1


def shown(value: object) -> str:
    """Show a value in a message: as `repr` does, but never longer than a person reads."""
    text = _SHORT.repr(value)
    return text if len(text) <= _SHOWN_AT_MOST else f"{text[:_SHOWN_AT_MOST]}..."


def require(condition: bool, name: str, value: object, expectation: str) -> None:
    """Raise a ValueError that shows name, value (shortened) and expectation unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name} is {shown(value)}; expected {expectation}")


def is_storable(text: str) -> bool:
    """Whether JSON, Parquet and databases can all keep a text: no NUL, no half of a pair of surrogates."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


class LabelingError(Exception):
    """An error with a reason; `kind` says what a retry can do about it."""

    kind = ErrorKind.POISON

    def __init__(self, message: str, reason: str = "unexpected") -> None:
        super().__init__(message, reason)
        self.message, self.reason = message, reason

    def __str__(self) -> str:
        return self.message


class BadInput(LabelingError, ValueError):
    """Input that no retry will mend: a broken file, a prompt outside the frame."""


class BadPrompt(BadInput):
    """A prompt that does not fit its video; it costs its own object."""

    def __init__(self, message: str, reason: str = "bad_prompt") -> None:
        super().__init__(message, reason)


class Unavailable(LabelingError):
    """A server or disk that may answer next time."""

    kind = ErrorKind.TRANSIENT


class Denied(Unavailable, PermissionError):
    """A place that this user may not read or write."""


class DeadlineExceeded(LabelingError):
    """A job that ran past its time limit; it is not tried again."""

    def __init__(self, message: str, reason: str = "deadline") -> None:
        super().__init__(message, reason)


class DamagedStore(LabelingError):
    """An object of a store that is not as it was written, or gone; the message names it and says what to do."""

    def __init__(self, message: str, reason: str = "store_damaged") -> None:
        super().__init__(message, reason)


class BadConfiguration(ValueError):
    """A configuration that cannot run; the command line exits with 2."""


class BadCredentials(BadConfiguration):
    """Credentials that a server refuses whatever they ask for, or none at all."""


class StoreBusy(RuntimeError):
    """Another live run holds the root's lock."""


class ClusterFailed(RuntimeError):
    """Ray did not start, did not answer, or cannot hold one actor."""


class ClusterGone(ClusterFailed):
    """Ray was there and is no more: what would be asked of it now only waits."""


class NoWorkersLeft(ClusterFailed):
    """Every worker's place was given up: `record` says why the last was, `not_done` which jobs have no receipt.

    `not_done` holds the rest of a list or other sized collection, and of another iterable what was pulled from it.
    """

    def __init__(self, message: str, record: ErrorRecord | None = None, not_done: "tuple[Job, ...]" = ()) -> None:
        super().__init__(message)
        self.record, self.not_done = record, not_done


class PoolStopped(RuntimeError):
    """The caller's `stop` was set; the actors are killed."""


def record_of(error: BaseException) -> ErrorRecord:
    """Turn a caught exception into the record that a receipt or dead letter carries."""
    text = "".join(traceback.format_exception(error))[-8000:]
    if isinstance(error, LabelingError):
        return ErrorRecord(error.kind, error.reason, str(error), text)
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in message.lower():
        return ErrorRecord(ErrorKind.DEVICE, "out_of_memory", message, text)
    # By its text: a device that fails shows itself in plain RuntimeErrors.
    if "CUDA" in message or "cuDNN" in message:
        return ErrorRecord(ErrorKind.DEVICE, "device_error", message, text)
    if isinstance(error, BadCredentials):
        return ErrorRecord(ErrorKind.POISON, CREDENTIALS_REFUSED, str(error), text)
    if isinstance(error, BadConfiguration):
        return ErrorRecord(ErrorKind.POISON, "bad_configuration", str(error), text)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return ErrorRecord(ErrorKind.TRANSIENT, "source_unavailable", message, text)
    return ErrorRecord(ErrorKind.POISON, "unexpected", message, text)
