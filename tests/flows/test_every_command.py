"""Every command there is, with arguments that nobody should give it: a named error in a few lines, its exit code, in time."""

import contextlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.cli import app as cli

# They start servers, processes or downloads whatever they are given.
NOT_TRIED = {
    ("stack", "up"), ("stack", "down"), ("demo",), ("checkpoints", "fetch"), ("metrics", "serve"), ("review", "serve"),
    ("quality", "make"), ("seed", "train-detector"),
    ("init",),      # writes a file whatever it is told; see cli/test_settings.py
}
ODD = (
    "../..", "a/b", "", "x" * 5000, "\u00e9\u4e2d", "\x1b[31mred\x07", "\udcff", "nan", "inf", "-1", "9" * 30, "0",
    "[bold]x[/]", "file", "empty", "missing/deep", "pipe", "~nobody/x", "null", "'", "\\", "${x}", "s3://", "http://x/y",
    "\u00b2",
)
STORES = (
    "store.root=missing", "store.root=file", "store.root=pipe", "store.root=empty", "store.root=", "sore.root=empty",
    "run.timeout_s=nan", "run.review_url=mysql://x", "run.review_url=file/below", "run.review_url=empty", "http://x/y",
    "\x1b]0;x",
)
EXIT_CODES = {0, 1, 2, 3, 4}
# A part of them, by chance that a command's name decides; LABELING_TEST_TRIES=1000 tries all.
TRIES = int(os.environ.get("LABELING_TEST_TRIES", "5"))


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command with the words that lead to it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, lower in below.items():
        yield from leaves(lower, (*path, name))


ALL = [leaf for name in cli.COMMANDS for leaf in leaves(cli.command_named(name), (name,))]
COMMANDS = {path: command for path, command in ALL if path not in NOT_TRIED}


@pytest.fixture
def odd_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an empty folder, a file and a pipe; what is kept for this user goes below it."""
    for name in ("LABELING_REVIEW_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache"}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    work = tmp_path / "work"
    (work / "empty").mkdir(parents=True)
    (work / "file").write_text("x")
    os.mkfifo(work / "pipe")
    monkeypatch.chdir(work)
    return work


def tries(path: Sequence[str], command: Any, rng: random.Random) -> Iterator[list[str]]:
    """Yield argument lists: each kind of store, something odd for each positional, then for each option."""
    positional = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]

    def line(fill: str, stores: Sequence[str] = ("store.root=empty",)) -> list[str]:
        words = [*path, *("cvat" if p.name == "tool" else fill for p in positional if p.nargs != -1)]
        for option in (option for option in options if option.required):
            words += [option.opts[-1], {"out": "out.x", "box": "1,1,5,5"}.get(option.name, fill)]
        return [*words, *(stores if any(p.nargs == -1 for p in positional) else ())]

    for store in STORES:
        yield line("1", [store] if store.startswith(("store", "sore", "http", "\x1b")) else ["store.root=empty", store])
    for odd in rng.sample(ODD, 6):
        yield line(odd)
    for option in options:
        if option.name not in ("device",):
            values = () if getattr(option, "is_flag", False) else (rng.choice(ODD),)
            yield [*line("1"), option.opts[-1], *values]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_names_what_it_cannot_use(
    odd_places: Path, path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(" ".join(path))
    every = list(tries(path, COMMANDS[path], rng))
    for arguments in rng.sample(every, min(len(every), TRIES if path != ("doctor",) else 1)):
        began = time.process_time()
        with contextlib.suppress(SystemExit):
            assert cli.run_command(arguments) in EXIT_CODES, arguments
        said = capsys.readouterr().err
        assert "foreseen" not in said, (arguments, said)
        assert "Traceback" not in said, (arguments, said)
        assert not any(sign in said for sign in "\x1b\x07"), (arguments, said)
        assert len(said.strip().splitlines()) <= 3, (arguments, said)
        assert time.process_time() - began < 5, arguments
    assert sorted(p.name for p in odd_places.iterdir()) == ["empty", "file", "pipe"], "a refused command leaves nothing"
    # A token may be made before the first run.
    made = {"review.sqlite"} if path == ("review", "token") else set()
    assert {p.name for p in (odd_places / "empty").iterdir()} <= made
    assert (odd_places / "file").read_text() == "x"


def test_the_commands_are_all_there() -> None:
    assert len(COMMANDS) > 35
