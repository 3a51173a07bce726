"""`labeling runs`: past runs, one of them, or two side by side."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at
from flows.cli.console import console, escape
from flows.cli.operate import clock
from flows.configure import as_configuration
from flows.run.comparison import RunFacts, differences, facts_of, how_it_went
from labeling.logs import redacted
from labeling.objects import Objects, open_objects
from labeling.store.run_state import RunState, recent_states

app = typer.Typer(no_args_is_help=True, help="Past runs: list them, show one, compare two.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or `latest`")]


@app.command("list")
def list_runs(
    where: Root, limit: Annotated[int, typer.Option(help="Runs to show", min=1)] = 20, as_json: AsJson = False
) -> None:
    """Show past runs, the newest first: `labeling runs list s3://labels/cars`."""
    objects = _opened(where)
    states = recent_states(objects, at_most=limit)
    if as_json:
        typer.echo(json.dumps([_plain(state, how_it_went(objects, state)) for state in states], indent=1))
        return
    columns = ("labelled", "dead", "frames/s", "workers", "variant", "snapshot")
    table = Table("run", "began", "what became of it", *columns, box=None)
    for state in states:
        dead, pace = state.num_failed + state.num_refused, f"{state.frames_per_second:.1f}"
        counts = (f"{state.num_labelled} of {state.num_due}", str(dead), pace, str(state.num_workers))
        table.add_row(
            escape(state.run_id), clock(state.started_at), how_it_went(objects, state), *counts, escape(state.variant),
            escape(state.snapshot),
        )
    console.print(table if states else "no runs")


@app.command()
def show(run: RunId, where: Root, as_json: AsJson = False) -> None:
    """Show one run: its figures, verdicts, dead letters and settings."""
    with as_configuration():
        facts = _facts_shown(_opened(where), run)
    if as_json:
        typer.echo(json.dumps(_facts(facts), indent=1))
        return
    table = Table(box=None, show_header=False)
    for name, told in figures(facts).items():
        table.add_row(f"[bold]{name}[/]", escape(told))
    for name, value in facts.config.items():
        table.add_row(escape(name), escape(_told(value)))
    console.print(table)


@app.command()
def compare(
    run: RunId, other: Annotated[str, typer.Argument(metavar="OTHER", help="The run to put beside it")], where: Root,
    as_json: AsJson = False,
) -> None:
    """Put two runs side by side: figures, verdicts, and the settings in which they differ."""
    objects = _opened(where)
    with as_configuration():
        a, b = _facts_shown(objects, run), _facts_shown(objects, other)
    changed = differences(a.config, b.config)
    if as_json:
        said = {"runs": [_facts(a), _facts(b)], "differences": {name: list(pair) for name, pair in changed.items()}}
        typer.echo(json.dumps(said, indent=1))
        return
    table = Table("", escape(a.state.run_id), escape(b.state.run_id), box=None)
    of_b = figures(b)
    for name, told in figures(a).items():
        table.add_row(f"[bold]{name}[/]", escape(told), escape(of_b[name]))
    for name, (one, two) in changed.items():
        table.add_row(escape(name), escape(_told(one)), escape(_told(two)))
    console.print(table)
    if not changed:
        console.print("the same settings")


def figures(facts: RunFacts) -> dict[str, str]:
    """A run's figures by name, the same names for every run."""
    state, busy = facts.state, sum(facts.seconds_by_stage.values())
    stages = (f"{name} {seconds / busy:.0%}" for name, seconds in facts.seconds_by_stage.items()) if busy else ()
    return {
        "what became of it": facts.how,
        "began": clock(state.started_at),
        "labelled for": f"{state.label_seconds:.0f} s",
        "videos": f"{state.num_labelled} labelled of {state.num_due} due, {state.num_videos} looked at",
        "dead": _counted(state.dead),
        "throughput": f"{state.frames_per_second:.1f} frames/s with {state.num_workers} workers",
        "stages": ", ".join(stages) or "none",
        "restarts": str(state.num_restarts),
        "masks": str(state.num_masks),
        "verdicts": _counted(facts.verdicts),
        "snapshot": state.snapshot or "none",
    }


def _counted(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    each: Iterator[str] = (f"{name} {count} ({count / total:.0%})" for name, count in sorted(counts.items()))
    return ", ".join(each) if total else "none"


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(state: RunState, how: str) -> dict[str, Any]:
    pace = {"frames_per_second": state.frames_per_second, "dead_letter_share": state.dead_letter_share}
    return {**dataclasses.asdict(state), **pace, "how": how}


def _facts(facts: RunFacts) -> dict[str, Any]:
    more = {"config": facts.config, "seconds_by_stage": facts.seconds_by_stage, "verdicts": facts.verdicts}
    return {**_plain(facts.state, facts.how), **more}


def _facts_shown(objects: Objects, run: str) -> RunFacts:
    facts = facts_of(objects, run)
    return dataclasses.replace(facts, config=redacted(facts.config))


def _opened(where: list[str]) -> Objects:
    return open_objects(store_at(where).store.root)
