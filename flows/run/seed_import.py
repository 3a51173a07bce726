"""`labeling seed import`: prompts from the labels of another tool."""

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from flows.configure import as_configuration
from flows.run.seed_table import say
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration, BadInput
from labeling.imports.labels import BAD_FILE, Size
from labeling.imports.seeds import grouped, match_videos, read_labels, seeds_of
from labeling.imports.yolo import SizeOf
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import list_videos
from labeling.ingest.probe import probe
from labeling.ingest.prompts import SCORED_COLUMNS, write_scored
from labeling.ingest.tables import require_like
from labeling.track.association import AssociationRule
from labeling.types import VideoRef


def import_prompts(
    config: LabelConfig, format_name: str, path: Path, *, out: str, size: str | None, console: Console
) -> None:
    """Read the file, write the table and say what is lost; BadInput names what cannot be read, and nothing is written."""
    require_like(out, SCORED_COLUMNS)
    refs = list(list_videos(config.source)) if config.source.uri or config.source.manifest else None
    read = read_labels(format_name, path, sizes(refs, size))
    imported = grouped(read, None if refs is None else [ref.key for ref in refs])
    seeds = seeds_of(imported, format_name, AssociationRule())
    rows = [(video, seed) for video in sorted(seeds) for seed in seeds[video]]
    if not rows:
        raise BadInput(f"{path} holds no object that can begin a track; expected boxes with scores of 0.7 or more", BAD_FILE)
    write_scored(out, rows)
    say(console, f"{out}: {len(rows)} objects of {len({video for video, _ in rows})} videos")
    say_lost(imported.lost, console)


def say_lost(lost: Counter[str], console: Console) -> None:
    """Print what the file says and the table or store does not."""
    for what, count in sorted(lost.items()):
        if count:
            say(console, f"not kept: {count} {what}")


def sizes(refs: Sequence[VideoRef] | None, size: str | None) -> SizeOf:
    """Return what gives a video's height and width: as told, or as its file says."""
    if size is not None:
        match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", size)
        if match is None:
            raise BadConfiguration(f"--size is {size!r}; expected WIDTHxHEIGHT in pixels, as 1920x1080")
        told = int(match[2]), int(match[1])
        return lambda _video: told
    known: dict[str, Size | None] = {}
    by_key = {ref.key: ref for ref in refs or ()}

    def of(video: str) -> Size | None:
        if video not in known:
            key = match_videos([video], list(by_key)).get(video)
            known[video] = _probed(by_key[key]) if key is not None else None
        return known[video]

    return of


def _probed(ref: VideoRef) -> Size:
    with as_configuration(), tempfile.TemporaryDirectory() as scratch, fetch_video(ref, Path(scratch)) as path:
        return probe(ref, path).size_hw
