"""`labeling stack`: the parts of a real installation as processes on this machine, up and down."""

import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.console import console, escape
from labeling.errors import BadConfiguration

if TYPE_CHECKING:
    from flows.stack.parts import StackPart
    from flows.stack.stack import Stack

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(
    no_args_is_help=True,
    help="Start and stop PostgreSQL, S3, Prefect, Ray, the review page and Prometheus on this machine.",
)
commands.add_typer(app, name="stack")

Folder = Annotated[Path, typer.Option(help="Where data, logs and what is running are kept")]
FOLDER = Path("outputs/stack")
STARTS_S = 1200.0
ENVIRONMENT = "env.sh"


@app.command()
def up(
    folder: Folder = FOLDER,
    cron: Annotated[str | None, typer.Option(help="When the nightly run is; cron in UTC, as `* * * * *`")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated")] = None,
) -> None:
    """Start what is not running yet, from the database to the review page; called again, it does no harm.

    Videos belong under s3://videos/raw, prompts in s3://videos/prompts.jsonl, labels go to s3://labels/main, all of it in
    memory. `. FOLDER/env.sh` lets a shell, and every `labeling` command in it, work with the stack.
    """
    from flows.stack.stack import open_stack

    stack = open_stack(folder)
    if cron is not None and cron != stack.cron:
        stack.cron = cron
        if "prefect" in stack.running:     # its deployments are brought up to date
            stack.running["prefect"] = replace(stack.running["prefect"], settled=False)
    raise_up(stack, only=only or (), console=console)


@app.command()
def down(
    folder: Folder = FOLDER,
    only: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated")] = None,
) -> None:
    """End what `up` started, and nothing else; databases and logs stay in the folder."""
    from flows.stack.stack import open_stack

    take_down(open_stack(folder), only=only or (), console=console)


@app.command()
def status(folder: Folder = FOLDER) -> None:
    """Show each part: whether it runs, where it answers, where its log is. Exit code 1: something that was started is gone."""
    from flows.stack.parts import parts_of
    from flows.stack.stack import open_stack

    stack = open_stack(folder)
    table = Table("part", "state", "pid", "address", "log", box=None)
    parts, missing = parts_of(stack)
    for part in parts:
        alive, known = stack.alive(part.name), stack.running.get(part.name)
        state = "up" if alive else "[red]gone[/]" if known else "down"
        pid, log = str(known.pid) if known else "", escape(str(stack.log(part.name)))
        table.add_row(part.name, state, pid, escape(part.address), log)
    console.print(table)
    for what in missing:
        console.print(f"[yellow]without[/] {escape(what)}", soft_wrap=True)
    raise typer.Exit(1 if any(not stack.alive(name) for name in stack.running) else 0)


def raise_up(stack: "Stack", *, only: "list[str] | tuple[str, ...]" = (), console: Console) -> None:
    """Start every part that is not running, one after another, and note each as soon as it runs.

    Raises:
        BadConfiguration: `only` names no part, or one does not start; those before it stay, and the next call goes on.
    """
    from flows.stack.parts import parts_of

    parts, missing = parts_of(stack)
    unknown = set(only) - {part.name for part in parts}
    if unknown:
        there = ", ".join(part.name for part in parts)
        raise BadConfiguration(f"--only is {', '.join(sorted(unknown))}; expected parts that there are: {there}")
    stack.folder.mkdir(parents=True, exist_ok=True)
    stack.save()
    write_environment(stack)
    for what in missing:
        console.print(f"[yellow]without[/] {escape(what)}", soft_wrap=True)
    for part in parts:
        if only and part.name not in only:
            continue
        if stack.alive(part.name) and stack.running[part.name].settled:
            console.print(f"{part.name} is up already")
            continue
        began = time.monotonic()
        begin(stack, part)
        console.print(f"{part.name} is up: {part.address}  ({time.monotonic() - began:.0f} s)", soft_wrap=True)
    console.print(f"a shell works with it after:  . {shlex.quote(str(stack.folder / ENVIRONMENT))}", soft_wrap=True)


def take_down(stack: "Stack", *, only: "list[str] | tuple[str, ...]" = (), console: Console) -> None:
    """End every part that was started, the last one first, and what they left outside the stack's folder."""
    from flows.stack.process import stop

    for name in [name for name in reversed(stack.running) if not only or name in only]:
        stop(stack.running.pop(name))
        console.print(f"{name} is down")
        stack.save()
    if not any(name.startswith("ray") for name in stack.running):
        shutil.rmtree(stack.ray_folder, ignore_errors=True)


def begin(stack: "Stack", part: "StackPart") -> None:
    """Start one part unless it runs, wait until it answers and do what comes after; a call that was killed is gone on with."""
    from flows.stack.process import start, wait_until

    log = stack.log(part.name)
    for left in reversed(range(part.tries)):
        if not stack.alive(part.name):
            part.before()
            log.unlink(missing_ok=True)     # an old log must not say that the new process is ready
            stack.running[part.name] = start(part.command, env=part.env, log=log, user=part.user, end_by=part.end_by)
            stack.save()
        try:
            wait_until(part.ready, stack.running[part.name], log=log, limit_s=STARTS_S)
            break
        except BadConfiguration:
            if not left or stack.alive(part.name):
                raise
    part.after()
    stack.running[part.name] = replace(stack.running[part.name], settled=True)
    stack.save()


def write_environment(stack: "Stack") -> None:
    """Write what a shell needs; readable by its owner alone."""
    from flows.stack.stack import environment

    shared = ("PREFECT_", "RAY_", "LABELING_", "AWS_")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(stack).items() if name.startswith(shared)]
    path = stack.folder / ENVIRONMENT
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
