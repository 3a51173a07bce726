"""`labeling review apply`, `export`, `import` and `audit`: corrected objects tracked again, items lent to other tools."""

import getpass
import json
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli.arguments import Root, Words, queue_of, require_store, split_items, store_at, with_root
from flows.cli.console import console, escape
from flows.cli.dead_letters import config_of_run
from flows.cli.label import end_with
from flows.configure import as_configuration, load_config, require_settings
from flows.run.out_folder import written_over
from flows.run.plan import check_inputs
from flows.run.review_queue import queue_at_hand
from labeling.config import LabelConfig, QCConfig, RuleConfig, default_scratch
from labeling.errors import BadConfiguration
from labeling.export.outputs import require_ours
from labeling.objects import open_objects
from labeling.review.commands import render_audit
from labeling.review.cvat import cvat_xml, label_setup, read_cvat
from labeling.review.db.decision_log import audit_log
from labeling.review.exchange import LentItem, ReturnedItem, lend, take_back
from labeling.review.label_studio import TO_NAME, label_config, read_label_studio, tasks_of, write_pictures
from labeling.store.judges import choice_of
from labeling.store.runs import list_runs
from labeling.store.snapshots import newest_snapshot

if TYPE_CHECKING:
    from flows.apply_reviews import Applied, AppliedItem

# Settings that say where things are and not how objects are tracked.
PLACES = frozenset({"store.root", "run.review_url"})

Overrides = Annotated[
    list[str],
    typer.Argument(
        metavar="ROOT",
        help="A root alone takes the newest run's settings; any other override asks for all that `run` asks for",
    ),
]


def apply(overrides: Overrides) -> None:
    """Track corrected objects again, and nothing else that is due: `labeling review apply labels`.

    Each gets its next version, which is judged and, where it is in doubt, waits in the queue to be verified. Called again it
    finishes what a killed call began. Exit code 1: a correction could not be tracked.
    """
    config = config_for(overrides)
    with queue_at_hand(config) as queue:
        waits = queue is not None and bool(queue.corrections())
    if not waits:       # so no server is started
        console.print("no correction waits: nothing to do")
        return
    check_inputs(config)
    from flows.apply_reviews import apply_reviews

    applied = apply_reviews(config)
    print_applied(applied)
    if applied.outcome is not None:
        raise end_with(applied.outcome, config)


def config_for(overrides: Sequence[str]) -> LabelConfig:
    """Return the given configuration or, where only places are given, the newest run's, judged as the newest snapshot was.

    Raises BadConfiguration when something is missing, or the store has no run to take settings from.
    """
    overrides = with_root(overrides)
    config = load_config(overrides)
    require_store(config)
    if any(override.partition("=")[0] not in PLACES for override in overrides):
        require_settings(config, "source.uri", "prompts.uri")
        return config
    objects = open_objects(config.store.root)
    runs, snapshot = list_runs(objects), newest_snapshot(objects)
    if not runs or snapshot is None:
        raise BadConfiguration(f"{objects.root} has no run to take settings from; expected a root that `labeling run` wrote")
    of_run = config_of_run(objects, runs[-1], config)
    # `labeling qc` may have judged by other rules since.
    rules = [RuleConfig(**rule) for rule in snapshot.qc["rules"]]
    judge = choice_of(objects, snapshot.qc.get("judges", {}))
    of_run.qc = QCConfig(
        snapshot.qc["name"], rules, judge, seeds=of_run.qc.seeds, accept_risk=snapshot.qc.get("accept_risk")
    )
    return of_run


def print_applied(applied: "Applied") -> None:
    """Print what was tracked again, from what, and the figures of the review."""
    if applied.outcome is None:
        console.print("no correction waits: nothing to do")
        return
    table = Table("video", "object", "version", "from", "clicks", "masks", "review s", "verdict", box=None)
    for item in applied.items:
        version = f"{item.key.label_version} -> {item.label_version}" if item.tracked else f"{item.key.label_version}"
        table.add_row(
            escape(item.video_key), item.key.track_id, version, _made_of(item), str(item.clicks), str(item.masks),
            f"{item.review_seconds:.1f}", item.verdict,
        )
    console.print(table)
    console.print(figures_of(applied.items))


def figures_of(items: "Sequence[AppliedItem]") -> str:
    """Return what the reviewing cost, in a line: means over items and over corrected frames."""
    done = [item for item in items if item.tracked]
    edited, frames = sum(len(item.corrected_frames) for item in done), sum(item.num_frames for item in done)
    told = f"{len(done)} of {len(items)} corrected objects tracked again"
    if not edited:
        return told
    seconds, clicks = sum(item.review_seconds for item in done), sum(item.clicks for item in done)
    return (
        f"{told}: {seconds / len(done):.1f} s and {clicks / len(done):.1f} clicks each; {edited / frames:.1%} of frames "
        f"corrected, {seconds / edited:.1f} s and {clicks / edited:.2f} clicks for each"
    )


def _made_of(item: "AppliedItem") -> str:
    if not item.tracked:
        return "not tracked"
    frames = ", ".join(map(str, item.corrected_frames[:6])) + (", ..." if len(item.corrected_frames) > 6 else "")
    plural = "" if item.num_seeds == 1 else "s"
    return f"{item.num_seeds} seed{plural}, corrections on {len(item.corrected_frames)} frames ({frames})"


class Tool(Enum):
    """An annotation tool to review in."""

    cvat = "cvat"
    label_studio = "label-studio"


# What a file of ours begins with, and one that came back from the tool does not.
CVAT_BEGINS, STUDIO_BEGINS = "<?xml version='1.0' encoding='utf-8'?>\n<annotations>\n  <version>1.1", '[{"data": {"image": '
CONFIG_BEGINS = f'<View>\n  <Image name="{TO_NAME}" value="$image"'

ToolArgument = Annotated[Tool, typer.Argument(help="cvat: CVAT for video 1.1; label-studio: JSON, with frames as pictures")]


def export_items(
    tool: ToolArgument,
    words: Words,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write; pictures go to a folder beside it")],
    every: Annotated[int, typer.Option(help="label-studio: lend every n-th frame", min=1)] = 1,
    images: Annotated[str | None, typer.Option(help="label-studio: the URL that the pictures' names follow")] = None,
) -> None:
    """Give items to a team that reviews elsewhere: `labeling review export cvat 7 8 labels -o labels.xml`.

    CVAT: make a task of the same video with the labels that are printed, upload the file to it as CVAT for video 1.1.
    Label Studio: serve the folder of pictures, set the project up with the .xml beside the file, import the file.
    """
    names, where = split_items(words)
    config = store_at(where)
    if not names:
        raise BadConfiguration("no item is named; expected numbers or VIDEO_ID/TRACK_ID@VERSION: see `labeling review list`")
    with as_configuration():        # before pictures are made for nothing
        require_ours(out, CVAT_BEGINS if tool is Tool.cvat else STUDIO_BEGINS)
    with queue_of(config) as queue:
        lent = lend(queue, open_objects(config.store.root), names)
    if tool is Tool.cvat:
        _write(out, cvat_xml(lent).decode(), begins=CVAT_BEGINS)
        masks = sum(len(one.masks) for one in lent)
        console.print(f"{out}: {len(lent)} items, {masks} masks of {lent[0].item.video_key}", markup=False, soft_wrap=True)
        console.print(f"labels for CVAT's raw editor: {json.dumps(label_setup(lent))}", soft_wrap=True, markup=False)
    else:
        _write_label_studio(config, lent, out, every, images)


def import_items(
    tool: ToolArgument,
    file: Annotated[Path, typer.Argument(help="CVAT's XML or ZIP; Label Studio's JSON")],
    where: Root,
    reviewer: Annotated[str, typer.Option(help="Who reviewed", default_factory=getpass.getuser)],
    accept_unchanged: Annotated[bool, typer.Option(help="cvat: items of which no mask changed are accepted")] = False,
) -> None:
    """Take back what a team reviewed elsewhere: `labeling review import cvat labels.zip labels`.

    Items with changed masks are corrected. Unchanged ones are accepted where somebody said so: in CVAT by the attribute
    `accepted` or --accept-unchanged here, in Label Studio by submitting all tasks of the item. The rest goes on waiting.
    """
    if accept_unchanged and tool is not Tool.cvat:
        raise BadConfiguration("--accept-unchanged is for cvat; in Label Studio an item is accepted by submitting its tasks")
    returned: Sequence[ReturnedItem] = read_cvat(file) if tool is Tool.cvat else read_label_studio(file)
    config = store_at(where)
    if accept_unchanged:
        returned = [replace(one, accepted=True) for one in returned]
    with queue_of(config) as queue:
        note = f"from {tool.value}: {file.name}"
        for taken in take_back(queue, open_objects(config.store.root), returned, reviewer=reviewer, note=note):
            console.print(f"{taken.name}: {taken.action}: {taken.detail}", soft_wrap=True, markup=False)


def audit(
    where: Root,
    out: Annotated[str | None, typer.Option(help="Where the log goes: .jsonl, .csv or .parquet")] = None,
    expected_head: Annotated[str | None, typer.Option(help="A head's hash that was kept elsewhere")] = None,
) -> None:
    """Verify the decision log's hash chain and write the log out: `labeling review audit labels --out log.jsonl`.

    Exit code 1: the chain is broken; the first row that does not fit is named.
    """
    with queue_of(store_at(where), reading=True) as queue:
        report = audit_log(queue.database, out=out, expected_head=expected_head)
    for line in render_audit(report, out=out):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    raise typer.Exit(0 if report.ok else 1)


def _write_label_studio(config: LabelConfig, lent: Sequence[LentItem], out: Path, every: int, images: str | None) -> None:
    folder = out.with_name(f"{out.stem}_frames")
    with as_configuration():
        require_ours(out.with_suffix(".xml"), CONFIG_BEGINS)
    scratch = Path(config.run.scratch or default_scratch())
    num_pictures = write_pictures(lent, folder, scratch=scratch, every=every)
    url = images if images is not None else f"/data/local-files/?d={folder.name}/"
    tasks = list(tasks_of(lent, image_url=url, every=every))
    _write(out.with_suffix(".xml"), label_config(lent), begins=CONFIG_BEGINS)
    _write(out, json.dumps(tasks), begins=STUDIO_BEGINS)
    told = f"{len(lent)} items, {len(tasks)} tasks; {num_pictures} pictures in {folder}, addressed as {url}..."
    console.print(f"{out}: {told}", markup=False, soft_wrap=True)


def _write(out: Path, text: str, *, begins: str) -> None:
    with written_over(out, begins=begins) as writer:
        writer.write(text)
