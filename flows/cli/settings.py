"""`labeling config` and `labeling init`: the settings with their help, and a file of them to begin with."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, ConfigFile, with_file, with_root
from flows.cli.console import console, escape
from flows.cli.overrides import choices_in
from flows.configure import config_folder, load_config, shown_config
from labeling.errors import BadConfiguration

commands = typer.Typer(rich_markup_mode="markdown")
LINE = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>[^#]*)(?:#\s*(?P<help>.*))?")
STARTER = """\
# Settings for `labeling run --config {file}`; what is typed behind it wins. `labeling config --all` lists all settings.
source:
  uri: {source}
prompts:
  uri: {prompts}
store:
  root: {store}
model: {model}          # {models}
"""


@commands.command("config")
def show_config(
    overrides: Annotated[list[str] | None, typer.Argument(help="The store's root and settings, as `run` takes them")] = None,
    config_file: ConfigFile = None,
    everything: Annotated[bool, typer.Option("--all", help="Also settings that are as by default")] = False,
    as_json: AsJson = False,
) -> None:
    """List settings with their help: those that differ from the defaults, or `--all`.

    Secrets are shown as `***`. With `--json` each setting has its value, default and help.
    """
    values = _flat(shown_config(load_config(with_file(with_root(overrides or []), config_file))))
    usual, help_of = _flat(shown_config(load_config())), help_by_setting()
    rows = {name: value for name, value in values.items() if everything or value != usual.get(name)}
    if as_json:
        facts = {
            name: {"value": value, "default": usual.get(name), "help": help_of.get(name, "")} for name, value in rows.items()
        }
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table("setting", "value", "default", "help", box=None)
    for name, value in rows.items():
        table.add_row(escape(name), escape(_short(value)), escape(_short(usual.get(name))), escape(help_of.get(name, "")))
    console.print(table if rows else "every setting is as by default; --all lists them")


@commands.command()
def init(
    source: Annotated[str, typer.Option(prompt="Videos (a folder or s3://bucket/prefix)", help="Where the videos are")],
    prompts: Annotated[str, typer.Option(prompt="Prompt table (JSONL, CSV or Parquet)", help="The prompt table")],
    store: Annotated[str, typer.Option(prompt="Labels (a folder or s3://bucket/prefix)", help="Where labels go")],
    model: Annotated[str, typer.Option(prompt="Network", help="The network, as `nano` or `base_plus`")] = "nano",
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write")] = Path("labeling.yaml"),
) -> None:
    """Ask for the settings of a run and write them into a file for `run --config`."""
    models = choices_in(config_folder())["model"]
    if model not in models:
        raise BadConfiguration(f"--model is {model!r}; expected one of {', '.join(models)}")
    words = {"source": source, "prompts": prompts, "store": store}
    quoted = {name: json.dumps(word, ensure_ascii=False) for name, word in words.items()}     # a JSON string is one of YAML
    text = STARTER.format(file=out, model=model, models=" | ".join(models), **quoted)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BadConfiguration(f"{out} is there already; give another file by --out, or remove it") from error
    console.print(f"{escape(str(out))}; next: labeling plan --config {escape(str(out))}", soft_wrap=True)


@functools.cache
def help_by_setting() -> dict[str, str]:
    """Return the comment of each setting in `configs/label.yaml` and the files of its groups."""
    folder = config_folder()
    texts = dict(_comments(folder / "label.yaml", ""))
    for group in ("model", "precision", "tracker", "qc", "cluster"):
        for path in sorted((folder / group).glob("*.yaml")):
            texts = {**dict(_comments(path, f"{group}.")), **texts}
    return texts


def _comments(path: Path, above: str) -> Iterator[tuple[str, str]]:
    """Yield each setting of a file that has a comment on its line."""
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            continue
        indent = len(found["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        if found["help"]:
            yield above + ".".join([*(name for _, name in parents), found["name"]]), found["help"].strip()
        parents.append((indent, found["name"]))


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return settings by their whole names; a list is one value, and so is an empty table."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {f"{above}{name}": value}
    return flat


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 48 else f"{text[:45]}..."
