"""`labeling review export|import|audit`: items to another annotation tool and back, and the decision log for an auditor."""

import getpass
import json
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import Root, Words, queue_of, split_items, store_at
from flows.cli.console import console
from flows.configure import as_configuration
from flows.run.out_folder import written_over
from labeling.config import LabelConfig, default_scratch
from labeling.errors import BadConfiguration
from labeling.export.outputs import require_ours
from labeling.objects import open_objects
from labeling.review.commands import render_audit
from labeling.review.cvat import cvat_xml, label_setup, read_cvat
from labeling.review.db.decision_log import audit_log
from labeling.review.exchange import LentItem, ReturnedItem, lend, take_back
from labeling.review.label_studio import TO_NAME, label_config, read_label_studio, tasks_of, write_pictures


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
