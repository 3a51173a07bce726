"""`labeling review gold`: items of known truth among the others, and how reviewers answer them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import Root, Words, queue_of, split_items, store_at
from flows.cli.console import console
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, BadInput, LabelingError
from labeling.objects import open_objects
from labeling.review.commands import render_gold, render_scores
from labeling.review.gold import Gold, truth_by_masks, truth_of_settled
from labeling.review.items import ItemStatus, QueuedItem, item_of
from labeling.review.queue import MAX_PAGE, ReviewQueue
from labeling.types import RLE

app = typer.Typer(no_args_is_help=True, help="Items of known truth, mixed in unmarked: they score reviewers.")


@app.command()
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


@app.command("list")
def list_gold(where: Root) -> None:
    """Show what is gold; not for reviewers' eyes."""
    with queue_of(store_at(where), reading=True) as queue:
        console.print(render_gold(Gold(queue).list()))


@app.command()
def scores(where: Root) -> None:
    """Show how reviewers answer: the share of right decisions, and J&F of the masks that they drew."""
    with queue_of(store_at(where), reading=True) as queue:
        console.print(render_scores(Gold(queue).scores()))


@app.command()
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
