"""`labeling review`: the queue of doubtful masklets on the command line, and items of known truth among them."""

import getpass
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import review_apply
from flows.cli.arguments import AsJson, Root, Words, queue_of, settings_of, split_items, store_at, with_root
from flows.cli.console import console
from flows.configure import load_config
from flows.run.review_queue import open_queue, queue_shown
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, BadInput, LabelingError
from labeling.objects import open_objects
from labeling.review import commands as tables
from labeling.review.accounts import Accounts
from labeling.review.commands import render_gold, render_scores
from labeling.review.figures import throughput
from labeling.review.gold import Gold, truth_by_masks, truth_of_settled
from labeling.review.items import ItemStatus, QueuedItem, item_of
from labeling.review.queue import MAX_PAGE, ReviewQueue
from labeling.types import RLE

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(no_args_is_help=True, help="List, claim and decide masklets in doubt; serve the review page.")
commands.add_typer(app, name="review")
app.command("apply")(review_apply.apply)
app.command("audit")(review_apply.audit)
app.command("export")(review_apply.export_items)
app.command("import")(review_apply.import_items)

Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item's number, or VIDEO_ID/TRACK_ID@VERSION")]
Reviewer = Annotated[str, typer.Option(help="Who reviews", default_factory=getpass.getuser)]
Senior = Annotated[bool, typer.Option("--senior", help="Review as a senior, who settles what others disagree on")]


@app.command("list")
def list_items(
    where: Root,
    status: Annotated[str, typer.Option(help="open, claimed, decided, closed or any")] = "open",
    reason: Annotated[str | None, typer.Option(help="Only items with this reason")] = None,
    category: Annotated[str | None, typer.Option(help="Only items of this category")] = None,
    run: Annotated[str | None, typer.Option(help="Only items that this run opened")] = None,
    limit: Annotated[int, typer.Option(help="Rows to show", min=1, max=MAX_PAGE)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what waits, the riskiest first: `labeling review list labels`."""
    chosen = None if status == "any" else status
    if chosen is not None and chosen not in {known.value for known in ItemStatus}:
        raise BadConfiguration(f"--status is {status!r}; expected {', '.join(known.value for known in ItemStatus)} or any")
    config = settings_of(where)
    with queue_of(config, reading=True) as queue:
        if as_json:
            items = queue.list(chosen, reason=reason, category=category, run=run, limit=limit)
            typer.echo(json.dumps({"queue": queue_shown(config), "items": [_plain(item) for item in items]}, indent=1))
            return
        console.print(tables.render_list(queue, status=chosen, reason=reason, category=category, run=run, limit=limit))
    console.print(f"queue: {queue_shown(config)}", markup=False, soft_wrap=True)


def _plain(item: QueuedItem) -> dict[str, Any]:
    return {
        "item": item.item_id, "key": str(item.key), "video": item.video_key, "object": item.key.track_id,
        "version": item.key.label_version, "category": item.category, "risk": item.risk, "reasons": list(item.reasons),
        "frame_span": list(item.frame_span), "status": item.status.value, "run": item.run_id, "reviewer": item.reviewer,
    }


@app.command()
def show(item: Item, where: Root) -> None:
    """Show one item: its flags with their numbers, its history."""
    with queue_of(settings_of(where), reading=True) as queue:
        console.print(tables.render_item(queue, item))


@app.command()
def stats(where: Root) -> None:
    """Show what reviewing takes, by reviewer and kind of decision, and the backlog over time."""
    with queue_of(settings_of(where), reading=True) as queue:
        console.print(tables.render_throughput(throughput(queue)))


@app.command()
def claim(
    where: Root,
    reviewer: Reviewer,
    item: Annotated[str | None, typer.Option(help="A certain item, instead of the riskiest that is free")] = None,
    reason: Annotated[str | None, typer.Option(help="Only items with this reason")] = None,
    lease_s: Annotated[float, typer.Option(help="Seconds that the item is yours")] = 600.0,
    senior: Senior = False,
) -> None:
    """Take an item for a while; nobody else gets it until the lease runs out."""
    with queue_of(settings_of(where)) as queue:
        lease = tables.claim_item(queue, item, reviewer=reviewer, lease_s=lease_s, reason=reason, senior=senior)
        console.print(tables.render_claim(lease))


@app.command()
def decide(
    item: Item,
    action: Annotated[str, typer.Argument(help="accept, reject or correct")],
    where: Root,
    reviewer: Reviewer,
    prompts: Annotated[str | None, typer.Option(help="With correct: a prompt table with the corrections")] = None,
    token: Annotated[str | None, typer.Option(help="The lease's token, as claim printed it")] = None,
    note: Annotated[str, typer.Option(help="A word for whoever reads the history")] = "",
    senior: Senior = False,
) -> None:
    """Accept, reject or correct: `labeling review decide 7 correct --prompts fix.jsonl labels`."""
    with queue_of(settings_of(where)) as queue:
        decided = tables.decide_item(
            queue, item, action, reviewer=reviewer, token=token, prompts_uri=prompts, note=note, senior=senior
        )
        console.print(tables.render_decision(decided))
    if action == "correct":
        console.print("`labeling review apply`, or the next `labeling run`, tracks this object again from the correction")


@app.command()
def ask(
    item: Item,
    reviewers: Annotated[int, typer.Argument(help="How many are to agree on it")],
    where: Root,
) -> None:
    """Ask for several reviewers of one item: `labeling review ask 7 3 labels`; a senior settles a dispute."""
    with queue_of(settings_of(where)) as queue:
        queue.ask(item_of(item), reviewers)


@app.command()
def serve(
    where: Root,
    host: Annotated[str, typer.Option(help="The address to listen at; one that others reach demands tokens")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one")] = 8765,
    reviewer: Annotated[str | None, typer.Option(help="Sign whoever opens the page on this machine in by this name")] = None,
    lease_s: Annotated[float, typer.Option(help="Seconds that an item is held without a sign of life")] = 600.0,
    name: Annotated[list[str] | None, typer.Option(help="Another name that the server is reached by")] = None,
    root_path: Annotated[str, typer.Option(help="The path that a proxy has the page under, such as /labels")] = "",
    proxy: Annotated[
        list[str] | None, typer.Option(help="Address or network of a proxy whose X-Forwarded-For is believed")
    ] = None,
) -> None:
    """Open the review page: `labeling review serve labels`; `source.uri=...` where the videos have moved."""
    config = load_config(with_root(where))
    from flows.cli.serve import Place
    from flows.cli.serve import serve as serve_page

    place = Place(host, port, lease_s, reviewer, tuple(name or ()), root_path, tuple(proxy or ()))
    serve_page(config, place, console)


@app.command()
def token(
    reviewer: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is")],
    where: Root,
    role: Annotated[str, typer.Option(help="reviewer or senior")] = "reviewer",
    revoke: Annotated[bool, typer.Option("--revoke", help="Make this reviewer's tokens useless instead")] = False,
) -> None:
    """Make a token that a reviewer signs in with; it is shown once, and only its SHA-256 is kept."""
    with open_queue(settings_of(where)) as queue:     # before the first run too: a server of the network needs a token
        accounts = Accounts(queue)
        if revoke:
            console.print(f"{accounts.revoke(reviewer)} tokens of {reviewer} revoked", markup=False)
            return
        console.print(accounts.make_token(reviewer, role=role), markup=False, highlight=False, soft_wrap=True)


gold = typer.Typer(no_args_is_help=True, help="Items of known truth, mixed in unmarked: they score reviewers.")
app.add_typer(gold, name="gold")


@gold.command()
def add(
    words: Words,
    truth: Annotated[Path | None, typer.Option(help="A folder in the DAVIS layout, objects by number")] = None,
) -> None:
    """Make items gold: `labeling review gold add 7 8 labels`.

    A settled item's outcome is its truth: an accepted masklet is right, a rejected or corrected one wrong. With --truth, items
    that wait (all of them where none is named) are held to the true masks of their videos: J&F of 0.85 or more is right,
    0.6 or less wrong, and what lies between is left alone. Nothing tells reviewers which items are gold.
    """
    names, config = _split(words)
    if truth is None and not names:
        raise BadConfiguration("no item is named; expected numbers or VIDEO_ID/TRACK_ID@VERSION, or --truth FOLDER")
    with queue_of(config) as queue:
        told = _by_masks(queue, config, truth, names) if truth else _by_outcome(queue, config, names)
        for line in told:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


@gold.command("list")
def list_gold(where: Root) -> None:
    """Show what is gold; not for reviewers' eyes."""
    with queue_of(store_at(where), reading=True) as queue:
        console.print(render_gold(Gold(queue).list()))


@gold.command()
def scores(where: Root) -> None:
    """Show how reviewers answer: the share of right decisions, and J&F of the masks that they drew."""
    with queue_of(store_at(where), reading=True) as queue:
        console.print(render_scores(Gold(queue).scores()))


@gold.command()
def remove(words: Words) -> None:
    """Make gold an item like any other again."""
    names, config = _split(words)
    with queue_of(config) as queue:
        for name in names:
            Gold(queue).remove(item_of(name))


def _by_outcome(queue: ReviewQueue, config: LabelConfig, names: Sequence[str]) -> Iterator[str]:
    objects = open_objects(config.store.root)
    for item, truth in [truth_of_settled(queue, objects, name) for name in names]:
        Gold(queue).add(item.item_id, truth)
        yield f"{item.key}: gold, {truth.source}"


def _by_masks(queue: ReviewQueue, config: LabelConfig, folder: Path, names: Sequence[str]) -> Iterator[str]:
    objects = open_objects(config.store.root)
    items = [queue.get(item_of(name)) for name in names] or _waiting(queue)
    for item in items:
        true = _true_masks(folder, item)
        if true is None:
            if names:
                yield f"{item.key}: left, {folder} has no object {item.key.track_id} of {item.video_key}"
            continue
        try:
            truth, likeness = truth_by_masks(objects, item, true)
            if truth is not None:
                Gold(queue).add(item.item_id, truth)
            yield f"{item.key}: {'gold' if truth else 'left, neither right nor wrong'}, J&F {likeness:.3f}"
        except LabelingError as error:  # one item's trouble is not the others'
            yield f"{item.key}: left, {error}"


def _true_masks(folder: Path, item: QueuedItem) -> Mapping[int, RLE] | None:
    # Imported here, as it brings torch along.
    from flows.learn.davis import true_masks

    try:
        return true_masks(folder, item.video_key, int(item.key.track_id))
    except ValueError as error:
        raise BadInput(str(error), "bad_truth") from error


def _waiting(queue: ReviewQueue) -> Sequence[QueuedItem]:
    """The open items that are no gold yet."""
    found: list[QueuedItem] = []
    while page := queue.list(ItemStatus.OPEN, limit=MAX_PAGE, offset=len(found)):
        found += page
    known = {gold.item.item_id for gold in Gold(queue).list()}
    return [item for item in found if item.item_id not in known]


def _split(words: Sequence[str]) -> tuple[Sequence[str], LabelConfig]:
    names, where = split_items(words)
    return names, store_at(where)
