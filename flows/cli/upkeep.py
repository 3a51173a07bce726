"""`labeling restore`, `card`, `compact` and `vacuum`: what keeps a dataset in order."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import Root, store_at
from flows.cli.console import console, escape
from flows.cli.versions import Version, snapshot_at
from flows.run.out_folder import written_over
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.snapshots import read_contents
from labeling.store.versions.card import CARD, README, card_text, write_card


def restore(version: Version, where: Root) -> None:
    """Go back: make a new snapshot that is equal to an old one. Nothing is deleted; the next run labels what then differs."""
    from flows.run.upkeep_steps import restore_version

    config = store_at(where)
    snapshot_at(open_objects(config.store.root), version)       # before the root's lock is taken for nothing
    snapshot, opened = restore_version(config, version)
    counts = ", ".join(f"{name} {snapshot.counts[name]}" for name in ("tracks", "accept", "review", "reject"))
    note = escape(snapshot.note or "it was already")
    console.print(f"{snapshot.name} is the newest ({note}): {counts}; {opened} new review items")


def card(
    where: Root,
    version: Annotated[str | None, typer.Option(help="A version such as v000003; the newest without")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write README.md and card.json into this folder")] = None,
) -> None:
    """Write a snapshot's card again, counts and checksums as Markdown and JSON, and say where it lies."""
    objects = open_objects(store_at(where).store.root)
    snapshot = snapshot_at(objects, version)
    said = write_card(objects, snapshot, read_contents(objects, snapshot))
    if out is not None:
        with written_over(out / README, begins="---\npretty_name: ") as people, written_over(out / CARD, begins="{\n ") as code:
            people.write(card_text(said))
            code.write(json.dumps(said, indent=1, sort_keys=True))
    console.print(escape(objects.uri(f"snapshots/{snapshot.name}/{README}")), soft_wrap=True)


def compact(where: Root) -> None:
    """Pack the newest snapshot's small files into large ones, in a new snapshot with the same rows.

    The bounds are `upkeep.target_mib`, `upkeep.min_files` and `upkeep.compact_gib`. `vacuum` frees the small files later.
    """
    from flows.run.upkeep_steps import compact_store, told_compacted

    config = store_at(where)
    snapshot_at(open_objects(config.store.root))
    console.print(told_compacted(compact_store(config)))


def vacuum(
    where: Root,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without this it is only said")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name every object")] = False,
) -> None:
    """Remove old snapshots, and the files that no kept one needs; a dry run without --apply.

    What is kept: `upkeep.keep_last`, `upkeep.keep_days`, `upkeep.keep` by name, and all younger than `upkeep.min_age_hours`.
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
