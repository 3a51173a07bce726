"""Prints the queue for `labeling review` as rich tables, and claims and decides items by the names that people type."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from labeling.errors import BadInput
from labeling.ingest.prompts import read_prompts
from labeling.review.db.decision_log import ChainReport
from labeling.review.figures import Throughput
from labeling.review.gold import GoldItem, GoldScore
from labeling.review.items import ItemHistory, ItemStatus, Lease, LoggedDecision, QueuedItem, item_of
from labeling.review.queue import ReviewQueue
from labeling.types import Prompt, QCFlag, VideoRef

_STYLE = {
    ItemStatus.OPEN: "cyan", ItemStatus.CLAIMED: "yellow", ItemStatus.DECIDED: "green", ItemStatus.CLOSED: "dim",
}


def render_list(
    queue: ReviewQueue, *, status: str | None = "open", reason: str | None = None, category: str | None = None,
    run: str | None = None, limit: int = 50, offset: int = 0,
) -> RenderableType:
    """A page of the queue as a table, riskiest first, with the number of items by status below it."""
    items = queue.list(status, reason=reason, category=category, run=run, limit=limit, offset=offset)
    table = Table(title="review queue", caption=_caption(queue), caption_justify="left")
    for heading in ("item", "risk", "reasons", "video", "object", "version", "category", "frames", "status"):
        table.add_column(heading, justify="right" if heading in ("item", "risk", "object", "version") else "left")
    for item in items:
        table.add_row(
            str(item.item_id), f"{item.risk:.2f}", ", ".join(map(escape, item.reasons)), escape(item.video_key),
            item.key.track_id, str(item.key.label_version), escape(item.category or "-"), _span(item.frame_span),
            _status_text(item),
        )
    return table


def render_item(queue: ReviewQueue, text: str) -> RenderableType:
    """One item with its flags, events, decisions and drafts."""
    history = queue.history(item_of(text))
    parts = [_heading(history.item), _flags(history.item.flags), _timeline(history)]
    return Group(*parts)


def render_claim(lease: Lease | None) -> RenderableType:
    """A lease as a person needs it: the item, the token, and until when."""
    if lease is None:
        return "Nothing waits for review with these filters."
    return Group(
        _heading(lease.item), _flags(lease.item.flags),
        f"held by {escape(lease.reviewer)} until {_when(lease.expires_at)}, token {lease.token}",
    )


def render_decision(decision: LoggedDecision) -> RenderableType:
    """A decision in one line."""
    clicks = f" with {len(decision.prompts)} prompts" if decision.prompts else ""
    return f"{decision.key}: {decision.action}{clicks} by {escape(decision.reviewer)}, row {decision.seq} of the log"


def render_throughput(done: Throughput) -> RenderableType:
    """What reviewing takes, by reviewer and kind of decision, and how many items waited over time."""
    effort = Table(title="what an item takes", title_justify="left")
    for heading in ("reviewer", "decision", "items", "seconds each", "clicks each", "items an hour"):
        effort.add_column(heading, justify="left" if heading in ("reviewer", "decision") else "right")
    for name, kind, figures in done.rows:
        numbers = (figures.seconds_per_item, figures.clicks_per_item, figures.items_per_hour)
        cells = ["-" if number is None else f"{number:.1f}" for number in numbers]
        effort.add_row(escape(name), kind, str(figures.decisions), *cells, end_section=kind == "all")
    over_time = Table(title="items that wait", title_justify="left")
    for heading in ("until", "waiting", "decided"):
        over_time.add_column(heading, justify="left" if heading == "until" else "right")
    for moment in done.backlog:
        over_time.add_row(_when(moment.until), str(moment.waiting), str(moment.decided))
    return Group(effort, over_time)


def render_gold(items: Sequence[GoldItem]) -> RenderableType:
    """Items of known truth, and how many have answered each."""
    table = Table(title="gold", title_justify="left")
    for heading in ("item", "video", "object", "version", "right answer", "true masks", "answers", "known from"):
        table.add_column(heading, justify="right" if heading in ("item", "object", "version", "answers") else "left")
    for gold in items:
        key = gold.item.key
        table.add_row(
            str(gold.item.item_id), escape(gold.item.video_key), key.track_id, str(key.label_version),
            "accept" if gold.good else "reject, correct", str(gold.num_masks), str(gold.answers), escape(gold.source),
        )
    return table


def render_scores(scores: Sequence[GoldScore]) -> RenderableType:
    """How reviewers have answered gold."""
    table = Table(title="answers to gold", title_justify="left")
    for heading in ("reviewer", "answers", "right", "J&F of drawn masks"):
        table.add_column(heading, justify="left" if heading == "reviewer" else "right")
    for score in scores:
        mask_jf = "-" if score.mask_jf is None else f"{score.mask_jf:.3f}"
        table.add_row(escape(score.reviewer), str(score.answers), f"{score.right / score.answers:.0%}", mask_jf)
    return table


def claim_item(
    queue: ReviewQueue, text: str | None, *, reviewer: str, lease_s: float = 600.0, reason: str | None = None,
    category: str | None = None, run: str | None = None, senior: bool = False,
) -> Lease | None:
    """Claim the riskiest item, or the one named by `text`."""
    item = None if text is None else item_of(text)
    return queue.claim(reviewer, lease_s=lease_s, item=item, reason=reason, category=category, run=run, senior=senior)


def decide_item(
    queue: ReviewQueue, text: str, action: str, *, reviewer: str, token: str | None = None, prompts_uri: str | None = None,
    note: str = "", seconds: float | None = None, senior: bool = False,
) -> LoggedDecision:
    """Decide an item by number or identity; `prompts_uri` is the prompt table that comes with `correct`.

    With `token`, what that lease holds is decided, and work that comes too late is kept as a draft. Errors: BadInput where
    the table has bad rows or no prompt for the item, LostLease, ItemHeld, AlreadySettled, UnknownItem.
    """
    item = queue.get(item_of(text))
    prompts = corrections_from(prompts_uri, item) if prompts_uri else ()
    held = token if token is not None else item.item_id
    return queue.decide(held, action, prompts=prompts, note=note, seconds=seconds, reviewer=reviewer, senior=senior)


def corrections_from(prompts_uri: str, item: QueuedItem) -> Sequence[Prompt]:
    """The prompts that a table has for an item's object; rows for other videos and objects are left out."""
    table = read_prompts(prompts_uri)
    if table.bad_rows:
        worst = table.bad_rows[0]
        raise BadInput(
            f"prompt table {prompts_uri} has {len(table.bad_rows)} bad rows, the first in line {worst.line}: {worst.message}",
            "bad_prompt",
        )
    ref = VideoRef(item.key.video_id, item.video_key, item.video_key, "", 0)
    prompts = [p for p in table.for_video(ref) if str(p.object_id) == item.key.track_id]
    if not prompts:
        raise BadInput(
            f"prompt table {prompts_uri} has no row for object {item.key.track_id} of {item.video_key!r}; "
            f"expected some: it names {', '.join(sorted(table.by_video)[:5]) or 'no video'}",
            "bad_prompt",
        )
    return prompts


def _caption(queue: ReviewQueue) -> str:
    counts = queue.counts()
    return "  ".join(f"{status.value} {counts[status]}" for status in ItemStatus)


def _heading(item: QueuedItem) -> Table:
    table = Table(title=f"item {item.item_id}: {item.key}", show_header=False, title_justify="left")
    table.add_row("video", escape(item.video_key))
    table.add_row("object", f"{item.key.track_id}, version {item.key.label_version}, {escape(item.category or 'no category')}")
    table.add_row("frames", _span(item.frame_span))
    table.add_row("risk", f"{item.risk:.3f}")
    table.add_row("status", _status_text(item))
    table.add_row("judged by", f"run {escape(item.run_id)}, snapshot {escape(item.snapshot)}")
    return table


def _flags(flags: Sequence[QCFlag]) -> Table:
    table = Table(title="why", title_justify="left")
    for heading in ("reason", "signal", "value", "threshold", "frames"):
        table.add_column(heading)
    for flag in flags:
        numbers = (f"{flag.value:.4g}", f"{flag.threshold:.4g}")
        table.add_row(escape(flag.reason), escape(flag.signal), *numbers, _span(flag.frame_span))
    return table


def _timeline(history: ItemHistory) -> Table:
    table = Table(title="history", title_justify="left")
    for heading in ("when", "what", "who", "detail"):
        table.add_column(heading)
    for event in history.events:
        table.add_row(_when(event.happened_at), event.kind, escape(event.reviewer or "-"), escape(event.detail))
    for decision in history.decisions:
        parts = [f"{len(decision.prompts)} prompts"] if decision.prompts else []
        detail = ", ".join([*parts, f"{decision.seconds:.1f} s", *([decision.note] if decision.note else [])])
        table.add_row(_when(decision.decided_at), f"decision {decision.seq}", escape(decision.reviewer), escape(
            f"{decision.action}: {detail}"
        ))
    for draft in history.drafts:
        detail = f"{draft.action}: {draft.refused_because}"
        table.add_row(_when(draft.kept_at), f"draft {draft.draft_id}", escape(draft.reviewer), escape(detail))
    return table


def _status_text(item: QueuedItem) -> str:
    colour = _STYLE[item.status]
    detail = ""
    if item.reviewer and item.lease_expires_at:
        detail = f" by {escape(item.reviewer)} until {_when(item.lease_expires_at)}"
    elif item.closed_because:
        detail = f" ({escape(item.closed_because)})"
    return f"[{colour}]{item.status.value}[/]{detail}"


def _span(span: tuple[int, int]) -> str:
    return f"{span[0]}-{span[1] - 1}"


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def render_audit(report: ChainReport, *, out: str | None = None) -> Iterator[str]:
    """Say in lines whether the log is whole, or which row is the first that does not fit."""
    if report.ok:
        yield f"the decision log is whole: {report.num_decisions} decisions, head {report.head_hash}"
        yield "keep this hash where the queue's owner cannot write, and give it as --expected-head next time"
    else:
        yield f"the decision log is BROKEN at row {report.broken_at}: {report.problem}"
        yield f"{report.num_decisions} decisions before it fit, up to hash {report.head_hash}"
    if out is not None:
        yield f"written to {out}"
