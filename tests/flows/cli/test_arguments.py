"""The words of a command line: one store's root, however it is said, beside overrides and items."""

import os
from pathlib import Path
from typing import Any

import pytest

from flows.cli import app as cli
from flows.cli.arguments import split_items, with_root
from labeling.errors import BadConfiguration
from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        (["s3://labels/cars", "qc=strict"], ["store.root=s3://labels/cars", "qc=strict"]),
        (["model=tiny", "./labels"], ["model=tiny", "store.root=./labels"]),
        (["store.root=labels", "+run.id=a"], ["store.root=labels", "+run.id=a"]),
        (["s3://b/x?version=3"], ["store.root=s3://b/x?version=3"]),
        (["~/labels"], ["store.root=~/labels"]),
        (["qc"], ["qc"]), (["~run.id"], ["~run.id"]), (["=x"], ["=x"]), ([], []),
    ],
    ids=" ".join,
)
def test_a_word_without_a_name_is_the_root(words: list[str], overrides: list[str]) -> None:
    assert with_root(words) == overrides


@pytest.mark.parametrize("words", [["a", "b"], ["labels", "store.root=labels"]], ids=" ".join)
def test_two_roots_are_refused(words: list[str]) -> None:
    with pytest.raises(BadConfiguration, match=f"given: '{words[0]}', '{words[1]}'; expected one store's root"):
        with_root(words)


def test_a_folder_may_have_the_name_of_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path)
    assert with_root(["store"]) == ["store.root=store"]


def test_items_stand_before_the_root() -> None:
    words = ["7", "0123456789abcdef/1@2", "s3://labels/cars", "qc=off"]
    assert split_items(words) == (words[:2], words[2:])


def with_stores(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The commands whose last argument takes several words: a root and overrides."""
    below = getattr(command, "commands", {})
    if below:
        return [leaf for name, group in below.items() for leaf in with_stores(group, (*path, name))]
    words = [p for p in command.params if p.param_type_name == "argument" and p.nargs == -1]
    # These take overrides of networks, or files.
    no_store = path[0] in ("train", "evaluate", "bench", "track", "checkpoints")
    return [path] if words and not no_store else []


STORE_COMMANDS = [path for name in cli.COMMANDS for path in with_stores(cli.command_named(name), (name,))]


@pytest.mark.parametrize("path", STORE_COMMANDS, ids=" ".join)
def test_every_command_takes_a_root_as_it_is(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """It is looked for, and named where it is not there, by every command alike."""
    command: Any = cli.command_named(path[0])
    for name in path[1:]:
        command = command.commands[name]
    needed = [p for p in command.params if p.required and p.nargs != -1]
    fill = {"tool": "cvat", "out": "out.x", "action": "accept", "reviewers": "2"}
    words = [fill.get(p.name, "1") for p in needed if p.param_type_name == "argument"]
    options = [word for p in needed if p.param_type_name == "option" for word in (p.opts[-1], fill.get(p.name, "1"))]
    items = ["7"] if path in (("review", "export"), ("review", "gold", "add"), ("review", "gold", "remove")) else []
    assert cli.run_command([*path, *options, *words, *items, "no-such-store"]) == 2
    said = capsys.readouterr().err
    # What starts a run says first what it lacks beside the root; `import` reads its file first.
    assert "no-such-store" in said or "source.uri is not set" in said or path == ("review", "import")
    assert "store.root is not set" not in said
    assert not os.path.exists("no-such-store")


def test_a_queue_is_listed_by_its_stores_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ReviewQueue(str(tmp_path / "review.sqlite")):
        pass
    assert FolderObjects(tmp_path).root == str(tmp_path)
    assert cli.run_command(["review", "list", str(tmp_path), "--json"]) == 0
    as_it_is = capsys.readouterr().out
    assert cli.run_command(["review", "list", f"store.root={tmp_path}", "--json"]) == 0
    assert capsys.readouterr().out == as_it_is
