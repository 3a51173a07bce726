"""What a line of the log looks like: text or JSON, the names of run, chunk and video on each, and no secrets.

`redact` keeps secrets out of what is written for people: logs, messages, reports. Hidden are the values of this process's
environment that its names call secret, passwords inside URLs, and the signatures of signed ones. What this project reads back
itself is never cut by the environment's values: one of them may be a part of a bucket's name. `held_out` takes passwords and
signatures out of it, so that it names the object alone.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar, cast
from urllib.parse import quote, urlsplit

from labeling.config import LogFormat

T = TypeVar("T")

# Control characters, those that turn text round and what is no text, as signs that stand for them: no name that somebody
# else chose writes to a terminal.
VISIBLE = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}, 0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)], 0xFFFD),
}
# What every JSON line has, null where there is none; `worker` and `job` come in an actor.
ALWAYS = ("run", "chunk", "video")
_NAMES = (*ALWAYS, "worker", "job")
_named: ContextVar[Mapping[str, object]] = ContextVar("labeling_log_names", default={})  # noqa: B039 - never changed in place

MASK = "***"
# A shorter value would be found inside ordinary words.
LEAST_LENGTH = 8

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|AUTH_STRING|ACCESS_KEY|API_KEY", re.IGNORECASE)
_PATH_NAME = re.compile(r"_(PATH|FILE|DIR|MODE)$", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^\s:/@\"'<>]*):[^\s/\"'<>]+@")
_IN_QUERY = re.compile(
    r"\b(X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|AWSAccessKeyId|Signature|password|token)=[^\s&\"'<>]+",
    re.IGNORECASE,
)


@contextmanager
def named(**names: object) -> Iterator[None]:
    """Put names on each line that is logged in the block, beside those that are there already."""
    token = _named.set({**_named.get(), **names})
    try:
        yield
    finally:
        _named.reset(token)


class Lines(logging.Formatter):
    """Formats records as text or as one JSON object a line."""

    def __init__(self, style: LogFormat = LogFormat.text) -> None:
        super().__init__()
        self.style = style

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line."""
        message, names = redact(record.getMessage()), _names_of(record)
        trace = redact(self.formatException(record.exc_info)) if record.exc_info else ""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if self.style is LogFormat.json:
            entry = {"at": at, "level": record.levelname, "logger": record.name, **dict.fromkeys(ALWAYS), **names}
            return json.dumps(entry | {"message": message} | ({"traceback": trace} if trace else {}), default=str)
        shown = "".join(f" {name}={value}" for name, value in names.items())
        line = f"{at} {record.levelname} {record.name}{shown} {message}" + (f"\n{trace}" if trace else "")
        return line.translate(VISIBLE)


def start(style: LogFormat = LogFormat.text) -> None:
    """Send this process's log to standard error: warnings of all, and what our own rooms have to say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(style))
    logging.getLogger().addHandler(handler)
    for name in ("flows", "labeling"):
        logging.getLogger(name).setLevel(logging.INFO)


def use(style: LogFormat) -> None:
    """Give the lines of this process another style; a process whose log is its host's is left alone unless JSON is asked."""
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler.formatter, Lines)]
    if not ours and style is LogFormat.json:
        start(style)
    hosts = [h for name, logger in _loggers() if name.split(".")[0] == "prefect" for h in logger.handlers]
    for handler in [*ours, *(h for h in hosts if isinstance(h, logging.StreamHandler) and style is LogFormat.json)]:
        handler.setFormatter(Lines(style))


def _loggers() -> list[tuple[str, logging.Logger]]:
    return [(name, entry) for name, entry in logging.root.manager.loggerDict.items() if isinstance(entry, logging.Logger)]


def _names_of(record: logging.LogRecord) -> dict[str, object]:
    """The names of a record: those of the block, and those that it brings itself."""
    brought = {name: record.__dict__[name] for name in _NAMES if record.__dict__.get(name) not in (None, "", "-")}
    names = {**_named.get(), **brought}
    if "video" not in names and "job" in names:
        names["video"] = str(names["job"]).partition("-")[0]      # a job is named by its video and batch
    return names


def redact(text: str) -> str:
    """Return a text with `***` in the place of every secret."""
    for secret in _known(os.environ):
        text = text.replace(secret, MASK)
    return _IN_QUERY.sub(rf"\1={MASK}", _IN_URL.sub(rf"\1:{MASK}@", text))


def redacted(value: T) -> T:
    """Return plain values with every text in them redacted; tuples come as lists."""
    return cast(T, _each_text(value, redact))


def held_out(value: T) -> T:
    """Return plain values without the passwords and signatures in their URLs, to be kept and read back."""
    return cast(T, _each_text(value, _without_secrets))


def _each_text(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _each_text(v, change) for name, v in value.items()}
    return [_each_text(v, change) for v in value] if isinstance(value, list | tuple) else value


def _without_secrets(text: str) -> str:
    return _IN_QUERY.sub(r"\1=", _IN_URL.sub(r"\1@", text)) if "://" in text else text


def _known(environment: Mapping[str, str]) -> set[str]:
    """The secrets of an environment, as they are and as a URL spells them."""
    secrets = {value for name, value in environment.items() if _SECRET.search(name) and not _PATH_NAME.search(name)}
    secrets |= {_password(value) for value in environment.values() if "://" in value}
    return {spelled for secret in secrets if len(secret) >= LEAST_LENGTH for spelled in (secret, quote(secret, safe=""))}


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
