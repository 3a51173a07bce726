"""The command line's functions: what is printed, and prompts that come from a table."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from labeling.errors import BadInput
from labeling.ingest.prompts import write_prompts
from labeling.review import commands
from labeling.review.db.decision_log import audit_log
from labeling.review.figures import throughput
from labeling.review.items import ItemKey
from labeling.review.queue import ReviewQueue
from labeling.types import Prompt, PromptSource
from tests.labeling.review.samples import HandClock, item, video_id

KEY = ItemKey(video_id(1), "7", 1)


@pytest.fixture
def queue(tmp_path: Path, sqlite_template: Path, clock: HandClock) -> ReviewQueue:
    (tmp_path / "queue.sqlite").write_bytes(sqlite_template.read_bytes())
    return ReviewQueue(str(tmp_path / "queue.sqlite"), clock=clock)


def printed(what: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_throughput_is_told_by_reviewer_and_kind(queue: ReviewQueue) -> None:
    queue.open_items([item(1), item(2)])
    queue.decide(1, "accept", reviewer="[b]ada", seconds=4.0, clicks=3)
    text = printed(commands.render_throughput(throughput(queue)))
    assert [line.split()[1] for line in text.splitlines() if "900.0" in line] == ["everybody", "everybody", "[b]ada", "[b]ada"]
    assert "2026-03-01 12:01:00 UTC" in text


def test_the_list_shows_the_riskiest_first_and_counts_the_rest(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.25), item(2, risk=0.75, reasons=("drift", "leak"), category="[b]bird")])
    queue.claim("ada")
    text = printed(commands.render_list(queue, status=None))
    assert text.index("0.75") < text.index("0.25")
    assert "drift, leak" in text
    assert "[b]bird" in text
    assert "claimed by ada until 2026-03-01 12:10:00 UTC" in text
    assert "open 1  claimed 1  decided 0  closed 0" in text
    assert "clip-2.mp4" not in printed(commands.render_list(queue))


def test_an_item_shows_why_it_waits_and_what_became_of_it(queue: ReviewQueue) -> None:
    queue.open_items([item(1, risk=0.25)])
    lease = commands.claim_item(queue, str(KEY), reviewer="ada")
    assert lease is not None
    assert lease.token in printed(commands.render_claim(lease))
    decided = commands.decide_item(queue, "1", "reject", reviewer="ada", token=lease.token, note="two cars")
    assert "reject by ada, row 1" in printed(commands.render_decision(decided))
    text = printed(commands.render_item(queue, str(KEY)))
    for part in ("swap_share", "0.2", "0.1", "3-8", "0-47", "claimed", "decision 1", "reject: 0.0 s, two cars"):
        assert part in text
    assert commands.claim_item(queue, None, reviewer="ada") is None
    assert "Nothing waits" in printed(commands.render_claim(None))


def test_a_correction_reads_its_prompts_from_a_table(queue: ReviewQueue, tmp_path: Path) -> None:
    queue.open_items([item(1)])
    path = tmp_path / "fix.jsonl"
    mine, other = (Prompt(n, 5, points_xy=((3.0, 4.0),), labels=(1,)) for n in (7, 8))
    write_prompts(path, [("clip-1.mp4", mine), ("clip-1.mp4", other), ("clip-2.mp4", mine)])
    decision = commands.decide_item(queue, str(KEY), "correct", reviewer="ada", prompts_uri=str(path))
    assert [(p.object_id, p.points_xy, p.source) for p in decision.prompts] == [(7, ((3.0, 4.0),), PromptSource.CORRECTION)]


def test_a_table_that_does_not_serve_is_named(queue: ReviewQueue, tmp_path: Path) -> None:
    queue.open_items([item(1)])
    path = tmp_path / "fix.jsonl"
    write_prompts(path, [("clip-2.mp4", Prompt(7, 5, points_xy=((3.0, 4.0),), labels=(1,)))])
    with pytest.raises(BadInput, match=r"no row for object 7 of 'clip-1\.mp4'.*clip-2\.mp4"):
        commands.decide_item(queue, "1", "correct", reviewer="ada", prompts_uri=str(path))
    path.write_text(json.dumps({"video": "clip-1.mp4", "object_id": 7, "frame_idx": -1, "box_xyxy": [0, 0, 2, 2]}) + "\n")
    with pytest.raises(BadInput, match="1 bad rows, the first in line 1"):
        commands.decide_item(queue, "1", "correct", reviewer="ada", prompts_uri=str(path))
    assert audit_log(queue.database).num_decisions == 0
