"""What a line says in either style."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from labeling import logs
from labeling.config import LogFormat


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the root's handler of ours writes, in JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines(LogFormat.json))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_a_json_line_has_the_names_of_its_block_and_its_own(written: io.StringIO) -> None:
    log = logging.getLogger("elsewhere")
    with logs.named(run="r1"):
        with logs.named(chunk=3):
            log.warning("lost %s", "a.mp4", extra={"video": "ab12"})
        log.warning("after")
    log.warning("outside")
    lost, after, outside = map(json.loads, written.getvalue().splitlines())
    assert (lost["run"], lost["chunk"], lost["video"], lost["message"]) == ("r1", 3, "ab12", "lost a.mp4")
    assert (after["run"], after["chunk"], after["video"]) == ("r1", None, None)
    assert {name: outside[name] for name in logs.ALWAYS} == dict.fromkeys(logs.ALWAYS)
    assert (lost["level"], lost["logger"]) == ("WARNING", "elsewhere")


def test_an_actors_job_names_its_video(written: io.StringIO) -> None:
    extra = {"worker": "worker-0.1", "run": "r1", "job": "0123456789abcdef-fedcba9876543210"}
    logging.getLogger("elsewhere").warning("failed", extra=extra)
    said = json.loads(written.getvalue())
    assert (said["worker"], said["run"], said["video"]) == ("worker-0.1", "r1", "0123456789abcdef")


def test_neither_message_nor_traceback_tells_a_secret(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    for style in LogFormat:
        logs.use(style)
        try:
            raise ValueError("planted-secret")
        except ValueError:
            logging.getLogger("elsewhere").exception("no answer from pg://ann:hunter2@db/x with planted-secret")
    told = written.getvalue()
    assert "ValueError" in told
    assert "pg://ann:***@db/x" in told
    assert "planted" not in told
    assert "hunter2" not in told


def test_text_is_for_people(written: io.StringIO) -> None:
    logs.use(LogFormat.text)
    with logs.named(run="r1"):
        logging.getLogger("elsewhere").warning("slow")
    assert written.getvalue().endswith("WARNING elsewhere run=r1 slow\n")
