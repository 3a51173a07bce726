"""`labeling review`: the queue of doubtful masklets on the command line."""

import getpass
import json
from typing import Annotated, Any

import typer

from flows.cli import review_apply, review_exchange, review_gold
from flows.cli.arguments import AsJson, Root, queue_of, settings_of, with_root
from flows.cli.console import console
from flows.configure import load_config
from flows.run.review_queue import open_queue, queue_shown
from labeling.errors import BadConfiguration
from labeling.review import commands
from labeling.review.accounts import Accounts
from labeling.review.figures import throughput
from labeling.review.items import ItemStatus, QueuedItem, item_of
from labeling.review.queue import MAX_PAGE

app = typer.Typer(no_args_is_help=True, help="Settle what the judge doubts: list, claim, decide.")
app.command("apply")(review_apply.apply)
app.command("audit")(review_exchange.audit)
app.command("export")(review_exchange.export_items)
app.command("import")(review_exchange.import_items)
app.add_typer(review_gold.app, name="gold")

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
        console.print(commands.render_list(queue, status=chosen, reason=reason, category=category, run=run, limit=limit))
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
        console.print(commands.render_item(queue, item))


@app.command()
def stats(where: Root) -> None:
    """Show what reviewing takes, by reviewer and kind of decision, and the backlog over time."""
    with queue_of(settings_of(where), reading=True) as queue:
        console.print(commands.render_throughput(throughput(queue)))


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
        lease = commands.claim_item(queue, item, reviewer=reviewer, lease_s=lease_s, reason=reason, senior=senior)
        console.print(commands.render_claim(lease))


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
        decided = commands.decide_item(
            queue, item, action, reviewer=reviewer, token=token, prompts_uri=prompts, note=note, senior=senior
        )
        console.print(commands.render_decision(decided))
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
