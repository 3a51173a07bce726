"""`labeling status`, `metrics` and `runs`: what goes on at a dataset, its figures for Prometheus, and its past runs."""

import dataclasses
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at
from flows.cli.console import console, escape
from flows.configure import as_configuration
from flows.run.outcome import RunFacts, differences, facts_of, how_it_went
from flows.run.status import Status, status_of
from labeling import logs, metrics
from labeling.certify.standing import Standing
from labeling.errors import BadConfiguration, DamagedStore
from labeling.logs import redacted
from labeling.objects import Objects, open_objects
from labeling.store.run_state import Doing, RunState, recent_states

commands = typer.Typer(rich_markup_mode="markdown")
figures = typer.Typer(no_args_is_help=True, help="Serve figures for Prometheus.")
commands.add_typer(figures, name="metrics")


@commands.command()
def status(where: Root, as_json: AsJson = False) -> None:
    """Show what runs, what is done, due and failed, what waits for review, and the last snapshot.

    `labeling status s3://labels/cars` says how long the rest takes too. Nothing is listed or downloaded, so it answers at once
    for large datasets.
    """
    found = status_of(store_at(where))
    if as_json:
        typer.echo(json.dumps(plain(found), indent=1))
        _raise_damage(found)
        return
    table = Table(box=None, show_header=False, title=f"[bold]{escape(found.root)}[/]", title_justify="left")
    for name, told in rows(found):
        table.add_row(f"[bold]{name}[/]", told)
    console.print(table)
    _raise_damage(found)


def _raise_damage(found: Status) -> None:
    if found.damaged:
        raise DamagedStore("; ".join(found.damaged))


def plain(found: Status) -> dict[str, Any]:
    """A status as plain values, with the counts that programs ask for first."""
    said = dataclasses.asdict(found)
    newest = found.newest
    left = newest.num_due - newest.num_labelled - newest.num_failed if newest else 0
    done = found.snapshot.counts["videos"] if found.snapshot else 0
    said |= {"done": done, "due": left, "dead": sum(found.open_letters.values()), "doing": doing(found)}
    return said


def doing(found: Status) -> str:
    """What goes on, in one word."""
    if found.holder is None:
        return "idle"
    return found.present.doing.value if found.present else "plan"


def rows(found: Status) -> Iterator[tuple[str, str]]:
    """A status line by line: a name and what is to be said of it."""
    yield "now", escape(_now(found))
    if found.present is not None:
        yield "progress", _progress(found.present, found.seconds_left)
    if found.last is not None:
        yield "last run", escape(_last(found.last))
    told = ", ".join(f"{count} {escape(reason)}" for reason, count in found.open_letters.items())
    yield "dead", f"[red]{told}[/]  (labeling dead-letters list)" if told else "none"
    if found.num_set_aside:
        yield "set aside", f"[red]{found.num_set_aside} done markers[/] that were not whole, in ledger/set-aside/"
    yield "snapshot", _snapshot(found)
    yield "review", _backlog(found)
    if found.standing is not None:
        yield "certificate", _certificate(found.standing)


def _now(found: Status) -> str:
    if found.holder is None:
        return "nothing runs"
    since, silent = clock(found.holder.since), found.at - found.holder.beaten_at
    told = {"plan": "is planning", "label": "labels", "publish": "publishes", "report": "writes its report"}
    return f"{found.holder.name} {told.get(doing(found), 'ends')} (since {since}, last sign of life {silent:.0f} s ago)"


def _progress(state: RunState, seconds_left: float | None) -> str:
    left = state.num_due - state.num_labelled - state.num_failed
    eta = f", about {timedelta(seconds=round(seconds_left))} left" if seconds_left is not None else ""
    return (
        f"{state.num_labelled} done, {left} due, {state.num_failed} dead of {state.num_due} videos; "
        f"{state.frames_per_second:.1f} frames/s with {state.num_workers} workers{eta}"
    )


def _last(state: RunState) -> str:
    how = {Doing.DONE: "came to its end", Doing.FAILED: "failed"}.get(state.doing, "was interrupted; run again for the rest")
    return (
        f"{state.run_id} {how} at {clock(state.at)}: {state.num_labelled} of {state.num_due} due videos labelled, "
        f"{state.num_failed + state.num_refused} dead, {state.frames_per_second:.1f} frames/s"
    )


def _snapshot(found: Status) -> str:
    if found.snapshot is None:
        return "none yet"
    counts = found.snapshot.counts
    told = ", ".join(f"{name} {counts[name]}" for name in ("accept", "review", "reject"))
    made = escape(found.snapshot.created_at)
    return f"{found.snapshot.name} of {made}: {counts['videos']} videos, {counts['tracks']} tracks; {told}"


def _backlog(found: Status) -> str:
    if found.queue_hidden:
        return f"[yellow]not known:[/] {escape(found.queue_hidden)}"
    if found.backlog is None:
        return f"no queue at {escape(found.queue)}: a run makes it, or name another with run.review_url=..."
    oldest = timedelta(seconds=round(found.backlog.oldest_seconds))
    waits = f", the oldest for {oldest}" if found.backlog.waiting else ""
    return f"{found.backlog.waiting} items wait{waits}; {found.backlog.leases} held by reviewers; queue {escape(found.queue)}"


def _certificate(standing: Standing) -> str:
    waiting = f"; {standing.waiting} audits wait for an answer" if standing.waiting else ""
    if not standing.sentence:
        return f"none yet{waiting}"
    if standing.alarm:
        evidence = f"evidence {standing.evidence:.3g}, limit {standing.limit:.3g}"
        return (
            f"[red]ALARM:[/] of {standing.audited} audits since {standing.snapshot} more are bad than promised ({evidence}); "
            f"certify anew. {escape(standing.sentence)}{waiting}"
        )
    if standing.void:
        return f"[yellow]void:[/] {escape(standing.void)} since {standing.snapshot}{waiting}"
    return f"{escape(standing.sentence)} ({standing.audited} audits since){waiting}"


def clock(at: float) -> str:
    """A time as people read it, in the zone of this machine."""
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")


@figures.command()
def serve(
    where: Root,
    host: Annotated[str, typer.Option(help="The address to listen at; who reaches it can read the figures")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one")] = 9465,
) -> None:
    """Serve a dataset's figures until stopped: its last run, pace, dead letters, snapshot and review backlog.

    `labeling metrics serve s3://labels/cars`; it reads the store alone, so alerts such as `no run since` hold while nothing
    runs. A run serves its own at `metrics.port`, the review page at `/metrics`.
    """
    config = store_at(where)
    logs.use(config.logging.format)
    from flows.run.metrics import StoreWatch

    try:
        with metrics.served(StoreWatch(config), host=host, port=port) as found:
            console.print(f"[bold]figures:[/] http://{host}:{found}/metrics   (stop with Ctrl+C)", soft_wrap=True)
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        raise BadConfiguration(f"cannot listen at {host} port {port} ({error}); give ones that are free") from error


runs = typer.Typer(no_args_is_help=True, help="List past runs, show one, compare two.")
commands.add_typer(runs, name="runs")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or `latest`")]


@runs.command("list")
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


@runs.command()
def show(run: RunId, where: Root, as_json: AsJson = False) -> None:
    """Show one run: its figures, verdicts, dead letters and settings."""
    with as_configuration():
        facts = _facts_shown(_opened(where), run)
    if as_json:
        typer.echo(json.dumps(_facts(facts), indent=1))
        return
    table = Table(box=None, show_header=False)
    for name, told in figures_by_name(facts).items():
        table.add_row(f"[bold]{name}[/]", escape(told))
    for name, value in facts.config.items():
        table.add_row(escape(name), escape(_told(value)))
    console.print(table)


@runs.command()
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
    of_b = figures_by_name(b)
    for name, told in figures_by_name(a).items():
        table.add_row(f"[bold]{name}[/]", escape(told), escape(of_b[name]))
    for name, (one, two) in changed.items():
        table.add_row(escape(name), escape(_told(one)), escape(_told(two)))
    console.print(table)
    if not changed:
        console.print("the same settings")


def figures_by_name(facts: RunFacts) -> dict[str, str]:
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
