"""What a line says in either style, and that no secret is in it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from labeling import logs
from labeling.config import LogFormat
from labeling.logs import held_out, redact, redacted


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


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn+FEMI0")
    monkeypatch.setenv("LABELING_REVIEW_URL", "postgresql://ann:word%2Fpassed@db/review")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/ann/.ray/auth_token")
    monkeypatch.setenv("SHORT_TOKEN", "cat")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key wJalr/XUtn+FEMI0 refused", "key *** refused"),
        ("https://s3/?k=wJalr%2FXUtn%2BFEMI0", "https://s3/?k=***"),
        ("no postgresql+psycopg://eve:p4ss@w0rd@db:5432/review now", "no postgresql+psycopg://eve:***@db:5432/review now"),
        ("the word word%2Fpassed alone", "the word *** alone"),
        ("GET /a.mp4?X-Amz-Signature=abc123&x=1", "GET /a.mp4?X-Amz-Signature=***&x=1"),
        ("host=db password=hunter2 user=ann", "host=db password=*** user=ann"),
    ],
    ids=["environment", "quoted", "url", "password of a URL", "signed", "dsn"],
)
def test_secrets_are_hidden(text: str, told: str) -> None:
    assert redact(text) == told


@pytest.mark.parametrize(
    "text",
    ["s3://bucket/a@b.mp4", "http://127.0.0.1:8765/metrics", "a cat in /home/ann/.ray/auth_token", "RAY_AUTH_MODE=token"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_plain_values_are_looked_through() -> None:
    said = {"url": "pg://a:bcd@h/x", "more": [1, None, ("pg://a:bcd@h/x",)], "deep": {"x": {"y": "wJalr/XUtn+FEMI0"}}}
    assert redacted(said) == {"url": "pg://a:***@h/x", "more": [1, None, ["pg://a:***@h/x"]], "deep": {"x": {"y": "***"}}}


def test_what_is_kept_names_places_without_their_passwords_and_nothing_else_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "customers")
    said = {"uri": "s3://customers-videos/a", "db": ["pg://ann:bcd@h/x"], "key": "clip?token=1.mp4", "n": 3}
    assert held_out(said) == {**said, "db": ["pg://ann@h/x"]}
    assert held_out("https://s3/a.mp4?X-Amz-Signature=abc123&x=1") == "https://s3/a.mp4?X-Amz-Signature=&x=1"
    assert redact("s3://customers-videos/a") == "s3://***-videos/a"
