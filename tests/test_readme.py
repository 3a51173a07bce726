"""What README and the other pages say can be typed is there: commands, options, overrides and paths."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import COMMANDS as NAMES
from flows.cli.app import app, command_named
from flows.configure import load_config, load_evaluation, load_training

TOP = Path(__file__).resolve().parent.parent
README = (TOP / "README.md").read_text()
NAMED = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = "\n".join(page.read_text() for page in (*(TOP / name for name in NAMED), *sorted(TOP.glob("docs/*.md"))))
BLOCKS = re.findall(r"```(?:\w+)?\n(.*?)```", PAGES, re.DOTALL)
LINES = "\n".join(BLOCKS).replace("\\\n", " ").splitlines() + re.findall(r"`((?:labeling|make) [^`]+)`", PAGES)
COMMANDS = sorted({line.split("#")[0].strip() for line in LINES if line.startswith("labeling ")})
GROUPS = {name for name in NAMES if hasattr(command_named(name), "commands")}


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_exist(command: str) -> None:
    words = shlex.split(command)[1:]
    names = [word for word in words[: 2 if words[0] in GROUPS else 1] if not word.startswith("-")]
    told = CliRunner().invoke(app, [*names, "--help"])
    assert told.exit_code == 0, told.output
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told.output)
    assert all(option in plain for option in options), f"{options} in {plain}"


@pytest.mark.parametrize("command", COMMANDS)
def test_overrides_of_the_readme_compose(command: str) -> None:
    overrides = [word for word in shlex.split(command) if "=" in word and "..." not in word and not word.startswith("--")]
    load = {"train": load_training, "evaluate": load_evaluation}.get(shlex.split(command)[1], load_config)
    load(overrides)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (TOP / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGES, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_paths_of_the_readme_exist() -> None:
    named = set(re.findall(r"`((?:flows|sam2|labeling|configs|tests|infra)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\(((?!http)[^)]+)\)", README))
    assert named
    missing = [path for path in named if not (TOP / path).exists()]
    assert not missing


def test_settings_named_in_the_readme_exist() -> None:
    for setting in set(re.findall(r"`((?:source|prompts|store|run|model|track|cluster)\.\w+)", README)):
        node, name = setting.split(".")
        assert hasattr(getattr(load_config(), node), name), setting


def test_choices_of_the_readme_are_those_there_are() -> None:
    for row in re.findall(r"^\| `(model|tracker|precision|qc|cluster)` \| (.+) \|$", README, re.MULTILINE):
        group, told = row
        there = {path.stem for path in (TOP / "configs" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", told)) == there, group
