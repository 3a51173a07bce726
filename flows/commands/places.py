"""Where a command looks: a store's root as it is, or as an override, beside others."""

import os
import re
from collections.abc import Sequence
from typing import Annotated

import typer

from flows.configure import load_config, require_settings
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration

OVERRIDE = re.compile(r"[+~]{0,2}[\w.]+=")

Root = Annotated[
    list[str],
    typer.Argument(metavar="ROOT", help="The store's root, and `run.review_url=...` where its queue is elsewhere"),
]


def store_at(words: Sequence[str]) -> LabelConfig:
    """Return the configuration for a store that is there; BadConfiguration where none is."""
    config = load_config([word if OVERRIDE.match(word) else f"store.root={word}" for word in words])
    require_settings(config, "store.root")
    root = config.store.root
    if "://" not in root and not os.path.isdir(os.path.expanduser(root)):
        raise BadConfiguration(f"store.root is {root!r}, which is no folder; expected the root that `labeling run` wrote to")
    return config
