"""What a line of the log looks like: text or JSON, the names of run, chunk and video on each, and no secrets."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from labeling.config import LogFormat
from labeling.redact import redact

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
