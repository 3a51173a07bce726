"""`labeling versions`, `restore`, `card`, `compact` and `vacuum`: a dataset's snapshots, and what is made of them."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.arguments import AsJson, Root, store_at
from flows.cli.console import console, escape
from flows.configure import as_configuration
from flows.run.out_folder import written_over
from labeling.errors import BadConfiguration
from labeling.objects import Objects, open_objects
from labeling.store.snapshots import Snapshot, list_versions, read_snapshot
from labeling.store.versions.card import CARD, README, card_of, card_text, write_card
from labeling.store.versions.diff import ChangedTrack, Diff, TrackVersion, diff_snapshots

commands = typer.Typer(rich_markup_mode="markdown")
versions = typer.Typer(no_args_is_help=True, help="List snapshots, show one, compare two.")
commands.add_typer(versions, name="versions")

Version = Annotated[str, typer.Argument(metavar="VERSION", help="A snapshot's number or name, such as v000003")]
SHOWN = 40


def snapshot_at(objects: Objects, version: str | None = None) -> Snapshot:
    """Return a snapshot by number or name, the newest without one; BadConfiguration where there is none."""
    with as_configuration():
        return read_snapshot(objects, version)


@versions.command("list")
def list_snapshots(where: Root, as_json: AsJson = False) -> None:
    """Show the snapshots, the newest last: `labeling versions list labels`."""
    objects = open_objects(store_at(where).store.root)
    snapshots = [read_snapshot(objects, version) for version in list_versions(objects)]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(snapshot) for snapshot in snapshots], indent=1))
        return
    counted = ("videos", "tracks", "masks", "accept", "review", "reject", "decided")
    table = Table("version", "made", "by run", "rules", *counted, "note", box=None)
    for one in snapshots:
        counts = (str(one.counts.get(name, 0)) for name in counted)
        rules = escape(str(one.qc.get("name", "")))
        table.add_row(one.name, escape(one.created_at[:19]), escape(one.run_id), rules, *counts, escape(one.note))
    console.print(table if table.row_count else "no snapshots")


@versions.command()
def show(version: Version, where: Root) -> None:
    """Show what one snapshot holds, as its card says it."""
    objects = open_objects(store_at(where).store.root)
    snapshot = snapshot_at(objects, version)
    console.print_json(json.dumps(card_of(objects, snapshot)))


@versions.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="The snapshot to start from")],
    after: Annotated[str, typer.Argument(metavar="B", help="The snapshot to compare with it")],
    where: Root,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write all of it to this file, as JSON")] = None,
) -> None:
    """Show masklets added, removed and labelled again, with J between both, and verdicts that moved."""
    objects = open_objects(store_at(where).store.root)
    found = diff_snapshots(objects, snapshot_at(objects, before), snapshot_at(objects, after))
    if out is not None:
        with written_over(out, begins='{\n "before": "v') as writer:
            writer.write(json.dumps(dataclasses.asdict(found), indent=1) + "\n")
    print_diff(found)


def print_diff(found: Diff) -> None:
    """Print what changed: figures, then the first rows of each kind."""
    mean = "" if found.mean_j is None else f", J between both {found.mean_j:.3f}"
    console.print(
        f"{found.before} -> {found.after}: {len(found.added)} masklets added, {len(found.removed)} removed, "
        f"{len(found.changed)} labelled again{mean}, {found.same} the same; {len(found.moved)} verdicts moved"
    )
    for (was, now), count in found.moves().items():
        console.print(f"  {was} -> {now}: {count}")
    for name, own in (("added", found.added), ("removed", found.removed)):
        _print_table(Table("video", "object", "category", "version", "verdict", title=name, box=None), [_cells(n) for n in own])
    changed = Table("video", "object", "version", "J", "frames", "verdict", title="labelled again", box=None)
    _print_table(changed, [_changed(one) for one in found.changed])
    moved = Table("video", "object", "version", "verdict", title="verdicts moved", box=None)
    _print_table(moved, [(_name(m.after), escape(m.after.track_id), *_both(m.before, m.after)) for m in found.moved])


def _print_table(table: Table, rows: list[tuple[str, ...]]) -> None:
    for row in rows[:SHOWN]:
        table.add_row(*row)
    if rows:
        table.title_justify = "left"
        console.print(table)
    if len(rows) > SHOWN:
        console.print(f"... and {len(rows) - SHOWN} more")


def _cells(one: TrackVersion) -> tuple[str, ...]:
    return _name(one), escape(one.track_id), escape(one.category or ""), str(one.label_version), one.verdict


def _name(one: TrackVersion) -> str:
    return escape(one.video_key)


def _both(before: TrackVersion, after: TrackVersion) -> tuple[str, str]:
    return f"{before.label_version} -> {after.label_version}", f"{before.verdict} -> {after.verdict}"


def _changed(one: ChangedTrack) -> tuple[str, ...]:
    versions, verdicts = _both(one.before, one.after)
    j = "" if one.j is None else f"{one.j:.3f}"
    frames = f"{one.frames_shared} of {one.frames_before} and {one.frames_after}"
    return _name(one.after), escape(one.after.track_id), versions, j, frames, verdicts


@commands.command()
def restore(version: Version, where: Root) -> None:
    """Publish a new snapshot that is equal to an old one.

    Nothing is deleted; the next run labels what then differs.
    """
    from flows.run.upkeep_steps import restore_version

    config = store_at(where)
    snapshot_at(open_objects(config.store.root), version)       # before the root's lock is taken for nothing
    snapshot, opened = restore_version(config, version)
    counts = ", ".join(f"{name} {snapshot.counts[name]}" for name in ("tracks", "accept", "review", "reject"))
    note = escape(snapshot.note or "it was already")
    console.print(f"{snapshot.name} is the newest ({note}): {counts}; {opened} new review items")


@commands.command()
def upgrade(where: Root) -> None:
    """Bring a store to the newest storage version.

    One more snapshot with the same rows; those before it stay. Releases that know only the version before refuse it then.
    """
    from flows.run.upkeep_steps import upgrade_store

    config = store_at(where)
    snapshot_at(open_objects(config.store.root))
    snapshot, made = upgrade_store(config)
    how = "is the newest" if made else "was there already"
    console.print(f"{snapshot.name} {how}, in storage version {snapshot.storage_version}: {snapshot.counts['tracks']} masklets")


@commands.command()
def card(
    where: Root,
    version: Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write README.md and card.json into this folder")] = None,
) -> None:
    """Write a snapshot's card again: counts and checksums, as Markdown and JSON."""
    objects = open_objects(store_at(where).store.root)
    snapshot = snapshot_at(objects, version)
    said = write_card(objects, snapshot)
    if out is not None:
        with written_over(out / README, begins="---\npretty_name: ") as people, written_over(out / CARD, begins="{\n ") as code:
            people.write(card_text(said))
            code.write(json.dumps(said, indent=1, sort_keys=True))
    console.print(escape(objects.uri(f"snapshots/{snapshot.name}/{README}")), soft_wrap=True)


@commands.command()
def compact(where: Root) -> None:
    """Pack a snapshot's small files into large ones; the rows stay the same.

    The newest snapshot is packed, and a new one published. The bounds are `upkeep.target_mib`, `upkeep.min_files` and
    `upkeep.compact_gib`. `vacuum` frees the small files later.
    """
    from flows.run.upkeep_steps import compact_store, told_compacted

    config = store_at(where)
    snapshot_at(open_objects(config.store.root))
    console.print(told_compacted(compact_store(config)))


@commands.command()
def vacuum(
    where: Root,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without this it is only said")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name every object")] = False,
) -> None:
    """Delete old snapshots and the files that no other one needs; only with `--apply`.

    Without it nothing is deleted and the files are listed. What is kept: `upkeep.keep_last`, `upkeep.keep_days`, `upkeep.keep`
    by name, and all younger than `upkeep.min_age_hours`.
    """
    from flows.run.upkeep_steps import told_vacuum, vacuum_store

    config = store_at(where)
    if next(open_objects(config.store.root).list(), None) is None:
        raise BadConfiguration(f"{config.store.root} is empty; expected the root that `labeling run` wrote to")
    done = vacuum_store(config, apply)
    for stat in done.objects if listed else ():
        console.print(stat.key, markup=False, highlight=False, soft_wrap=True)
    console.print(told_vacuum(done, applied=apply))
    if done.dropped:
        console.print(f"{'dropped' if apply else 'would drop'} {', '.join(done.dropped)}", soft_wrap=True)
