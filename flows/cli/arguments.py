"""Where a command looks: a store's root as it is, or as an override, beside others."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from flows.configure import load_config, require_settings
from flows.run.review_queue import open_queue, queue_at_hand, queue_shown
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.review.queue import ReviewQueue

OVERRIDE = re.compile(r"[+~]{0,2}[\w.]+=")

Root = Annotated[
    list[str],
    typer.Argument(metavar="ROOT", help="The store's root, and `run.review_url=...` where its queue is elsewhere"),
]


def store_at(words: Sequence[str]) -> LabelConfig:
    """Return the configuration for a store that is there; BadConfiguration where none is."""
    config = load_config([word if OVERRIDE.match(word) else f"store.root={word}" for word in words])
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
    config = load_config(words)
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
