"""The command line's frame: what an error becomes, and its exit code."""

import logging
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from flows.cli import app as cli
from flows.cli import label
from labeling.errors import BadConfiguration, BadInput, ClusterFailed, StoreBusy, Unavailable
from labeling.store.schemas import NewerStore


def test_the_help_is_printed_without_loading_what_commands_need() -> None:
    slow = "('numpy', 'pyarrow', 'hydra', 'sqlalchemy', 'scipy', 'prefect', 'ray', 'torch')"
    script = f"import sys; from flows.cli.app import *; run_command(['--help']); print(set({slow}) & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_says_of_each_command_what_the_command_says_first(name: str) -> None:
    first = (cli.command_named(name).help or "").split("\n\n")[0]
    assert " ".join(first.split()) == cli.COMMANDS[name].help


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(label, "load_config", fail)
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


def test_what_nobody_foresaw_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert fails_with(monkeypatch, ZeroDivisionError("by none, at pg://ann:hunter22@db")) == 4
    said = capsys.readouterr().err
    (trace,) = (tmp_path / "samurai-labeling" / "errors").iterdir()
    assert said.startswith("failed: ZeroDivisionError: by none, at pg://ann:***@db\n")
    assert str(trace) in said.replace("\n", "")
    assert "Traceback" not in said
    assert "Traceback" in trace.read_text()
    assert "hunter22" not in trace.read_text()
    assert trace.stat().st_mode & 0o077 == 0


def test_a_trace_that_cannot_be_kept_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert fails_with(monkeypatch, ZeroDivisionError()) == 4
    assert "no traceback could be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "/etc/out"), 2, "refused: /etc/out: Permission denied; give a path"),
        (IsADirectoryError(21, "Is a directory", b"out"), 2, "refused: out: Is a directory"),
        (OSError(28, "No space left on device", "/data/x"), 4, "failed: /data/x: No space left on device; free"),
        (NewerStore("written by a newer version"), 2, "refused: written by a newer version"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_files_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert fails_with(monkeypatch, error) == code
    assert said in capsys.readouterr().err


def test_no_control_character_and_no_markup_of_others_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, BadConfiguration("a \x1b[31mred\x9b [bold]name[/] :car: \u202etxt"))
    said = capsys.readouterr().err
    assert "a \u241b[31mred\ufffd [bold]name[/] :car: \ufffdtxt" in said


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"samurai-labeling {version('samurai-labeling')}\n"


@pytest.mark.parametrize(("word", "level"), [("-v", logging.DEBUG), ("--quiet", logging.WARNING)])
def test_how_much_is_logged_may_be_said_anywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, level: int
) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
    ours = logging.getLogger("labeling")
    before = ours.level
    try:
        for arguments in ([word, "runs", "list", str(tmp_path)], ["runs", "list", str(tmp_path), word]):
            assert cli.run_command(arguments) == 0
            assert ours.level == level
            assert os.environ["PREFECT_LOGGING_LEVEL"] == logging.getLevelName(level)
            assert cli.run_command(["runs", "list", str(tmp_path)]) == 0
            assert ours.level == logging.INFO
    finally:
        for name in ("labeling", "flows"):
            logging.getLogger(name).setLevel(before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "source.uri is not set"),
        (["run", "model=huge"], "model is 'huge'; expected one of base_plus, large, nano"),
        (["run", "sourc.uri=clips"], "sourc.uri is no setting; did you mean source.uri?"),
        (["track", "clip.mp4", "--box", "0,0,inf,5", "-o", "x"], "--box is '0,0,inf,5'; expected finite numbers"),
        (["track", "clip.mp4", "--box", "0,0,5,5", "--frame", "-1", "-o", "x"], "--frame is -1; expected a frame's number"),
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
