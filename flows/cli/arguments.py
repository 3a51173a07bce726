"""The words of a command line: a store's root as it is, overrides, and items of the review queue."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.overrides import overrides_in, settings_in
from flows.configure import load_config, require_settings
from flows.run.review_queue import open_queue, queue_at_hand, queue_shown
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.review.queue import ReviewQueue

OVERRIDE = re.compile(r"[+~]{0,2}[\w.]+=|=")
ITEM = re.compile(r"[0-9]+|[^/]+/[^/]+@[0-9]+")

Root = Annotated[
    list[str],
    typer.Argument(metavar="ROOT", help="The store's root, and `run.review_url=...` where its queue is elsewhere"),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A YAML file of settings; what is typed wins", show_default=False)
]
Words = Annotated[
    list[str], typer.Argument(metavar="ITEMS... ROOT", help="Numbers or VIDEO_ID/TRACK_ID@VERSION, and the store's root")
]


def with_root(words: Sequence[str]) -> list[str]:
    """Return words as overrides: one without `=` that is no setting's name is the store's root, as `store.root=` is.

    Raises BadConfiguration where several name a root.
    """
    roots = [word for word in words if _is_root(word) or word.lstrip("+").startswith("store.root=")]
    if len(roots) > 1:
        raise BadConfiguration(f"given: {', '.join(map(repr, roots))}; expected one store's root, and settings as NAME=VALUE")
    return [f"store.root={word}" if _is_root(word) else word for word in words]


def with_file(overrides: Sequence[str], path: Path | None) -> list[str]:
    """Return the settings of a YAML file as overrides, and behind them those that were typed, which win.

    Raises BadConfiguration for a file that cannot be read as settings.
    """
    if path is None:
        return list(overrides)
    typed = {override.lstrip("+~").partition("=")[0] for override in overrides}
    # Hydra takes one choice of a group, not two of which the last wins.
    return [*(override for override in overrides_in(path) if override.partition("=")[0] not in typed), *overrides]


def _is_root(word: str) -> bool:
    if OVERRIDE.match(word):
        return False
    # `labeling run qc`, with its value forgotten; a folder may well be called `store`.
    return word.lstrip("+~") not in settings_in(LabelConfig) or os.path.isdir(word)


def split_items(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that name items of the review queue, and the rest."""
    return [word for word in words if ITEM.fullmatch(word)], [word for word in words if not ITEM.fullmatch(word)]


def store_at(words: Sequence[str]) -> LabelConfig:
    """Return the configuration for a store that is there; BadConfiguration where none is."""
    config = load_config(with_root(words))
    require_store(config)
    return config


def require_store(config: LabelConfig) -> None:
    """Refuse a configuration that names no store, or a folder that is not there or cannot be read."""
    require_settings(config, "store.root")
    root = open_objects(config.store.root).root
    if root.startswith("s3://"):
        return
    if not os.path.isdir(root):
        raise BadConfiguration(
            f"store.root is {config.store.root!r}, which is no folder; expected the root that `labeling run` wrote to"
        )
    os.listdir(root)


def require_written(config: LabelConfig) -> None:
    """Refuse a store's root that no run has written to, so that nothing is made at a mistyped one."""
    objects = open_objects(config.store.root)
    if not any(next(objects.list(prefix), None) for prefix in ("snapshots/", "ledger/", "runs/")):
        raise BadConfiguration(f"store.root is {config.store.root!r}, where no run has written; expected a run's store.root")


def settings_of(words: Sequence[str]) -> LabelConfig:
    """Return the configuration for a command on the review queue: of a store that is there, or of a queue by its URL."""
    config = load_config(with_root(words))
    if not config.run.review_url:
        require_store(config)
    return config


@contextmanager
def queue_of(config: LabelConfig, *, reading: bool = False) -> Iterator[ReviewQueue]:
    """Open a dataset's queue for the block, with `reading` as it is; BadConfiguration where nobody has made it yet."""
    with queue_at_hand(config) as queue:
        if queue is None:
            raise BadConfiguration(
                f"there is no review queue at {queue_shown(config)}, so nothing waits there. `labeling run` makes it; give "
                "run.review_url=... where it is elsewhere"
            )
        if reading:
            yield queue
            return
    with open_queue(config) as queue:
        yield queue
