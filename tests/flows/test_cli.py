"""The command line's frame: what an error becomes, and its exit code."""

import pytest
import typer

from flows import cli
from labeling.errors import BadConfiguration, BadInput, StoreBusy, Unavailable
from labeling.pool.cluster import ClusterFailed


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "load_config", fail)
    return cli.run_command(["plan", "store.root=x"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadConfiguration("store.root is not set"), 2, "bad configuration: store.root is not set"),
        (BadInput("no such item"), 2, "refused: no such item"),
        (KeyboardInterrupt(), 3, "interrupted: what is done stays done"),
        (typer.Exit(143), 3, "interrupted"),
        (typer.Abort(), 3, "interrupted"),
        (Unavailable("S3 does not answer"), 4, "failed: S3 does not answer"),
        (Unavailable("no answer from pg://ann:hunter2@db"), 4, "failed: no answer from pg://ann:***@db"),
        (StoreBusy("held by run r"), 4, "failed: held by run r"),
        (ClusterFailed("no Ray"), 4, "failed: no Ray"),
        (typer.Exit(1), 1, ""),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_errors_become_messages_and_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert fails_with(monkeypatch, error) == code
    assert said in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        fails_with(monkeypatch, ZeroDivisionError())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "source.uri is not set"),
        (["run", "model=huge"], "huge"),
        (["trac"], "trac"),
        (["track", "clip.mp4", "--box", "1,2", "-o", "x", "model.allow_untrained=true"], "expected X0,Y0,X1,Y1"),
        (["track", "no.mp4", "--box", "1,2,3,4", "-o", "x", "model.allow_untrained=true"], "no.mp4 does not exist"),
        (["run", "source.uri=a", "prompts.uri=b", "store.root=c", "run.max_attempts=0"], "run.max_attempts is 0"),
        (["review", "list"], "Missing argument"), (["review", "list", "qc=off"], "store.root is not set"),
        (["checkpoints", "fetch", "huge"], "expected one of tiny"),
        (["checkpoints", "verify", "/no/such.pt"], "/no/such.pt does not exist"),
    ],
    ids=lambda v: " ".join(v[:2]) if isinstance(v, list) else "",
)
def test_bad_words_exit_with_two(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert cli.run_command(arguments) == 2
    assert said in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["run", "--help"]) == 0
    told = capsys.readouterr().out
    assert "labeling run source.uri=s3://videos/raw" in told
    assert "track.direction=both" in told
