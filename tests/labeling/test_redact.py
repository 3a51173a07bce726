"""What is hidden, and what is not."""

import pytest

from labeling.redact import held_out, redact, redacted


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
