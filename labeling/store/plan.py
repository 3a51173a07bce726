"""What a run will do and why: the listing joined with the prompt table and the ledger. Nothing is downloaded."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labeling.ingest.globs import has_video_suffix
from labeling.ingest.prompts import sort_prompts
from labeling.ingest.spelling import Nearest
from labeling.store.dead_letters import DeadLetter
from labeling.store.keys import COMPONENTS, Keyer, LabelRecipe
from labeling.store.ledger import Done, Ledger, components_of
from labeling.types import ErrorKind, ErrorRecord, Job, Prompt, VideoRef, shown

NEW, DONE, NO_PROMPTS = "new", "done", "no prompts"
_ROWS_TOLD = 20  # bad rows of a video that a message shows
CHANGED = "inputs changed"  # for a result whose marker does not say what it was made of


class BadRow(Protocol):
    """A row of the prompt table that could not be read."""

    @property
    def video(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def message(self) -> str: ...


class PromptTable(Protocol):
    """What planning asks of a prompt table; `by_video` has videos as the table names them."""

    @property
    def by_video(self) -> Mapping[str, Sequence[Prompt]]: ...
    @property
    def bad_rows(self) -> Sequence[BadRow]: ...
    def for_video(self, ref: VideoRef, /) -> Sequence[Prompt]: ...


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One video: whether it will run and why, in words; `due_objects` are those that will be tracked."""

    video_id: str
    key: str
    num_bytes: int
    will_run: bool
    why: str
    due_objects: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do: one job for each video with something due, one entry for each video, letters for bad input."""

    run_id: str
    jobs: tuple[Job, ...]
    entries: tuple[PlanEntry, ...]
    dead: tuple[DeadLetter, ...]

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many videos there are for each `why`, most frequent first."""
        return dict(Counter(entry.why for entry in self.entries).most_common())

    @property
    def due_bytes(self) -> int:
        """The bytes of the videos that will run."""
        return sum(job.video.num_bytes for job in self.jobs)


def make_plan(
    refs: Iterable[VideoRef],
    table: PromptTable,
    ledger: Ledger,
    recipe: LabelRecipe,
    run_id: str,
    *,
    whole_source: bool = True,
    why_not_listed: Callable[[str], str] = lambda _video: "",
) -> Plan:
    """Join listing, prompts and ledger; a video is due for those objects whose newest result has another key.

    `why_not_listed` says of a video that `refs` lack why the listing passed it over, "" where it does not know.
    `whole_source=False` says that `refs` are a part of the source (a limit, a glob): a prompt for a video that is not
    among them, or a row of its that cannot be read, is then no dead letter.
    """
    keyer = Keyer(recipe)
    entries: list[PlanEntry] = []
    jobs: list[Job] = []
    ids: dict[str, str] = {}  # by either name that a table may use
    for ref in refs:
        ids[ref.key] = ids[ref.uri] = ref.video_id
        entry, job = _plan_video(ref, table.for_video(ref), ledger, keyer, run_id)
        entries.append(entry)
        if job is not None:
            jobs.append(job)
    bad = _rows_by_video(table).items()
    dead = [_bad_rows(video, rows, ids.get(video), run_id) for video, rows in bad if whole_source or video in ids]
    if whole_source:
        lacking = [video for video in table.by_video if video not in ids]
        nearest = Nearest(entry.key for entry in entries) if lacking else None
        for video in lacking:
            why = why_not_listed(video) or _near(nearest.to(video) if nearest else None)
            dead.append(_unknown(video, table.by_video[video], run_id, why))
    return Plan(run_id, tuple(jobs), tuple(entries), tuple(dead))


def _plan_video(
    ref: VideoRef, prompts: Sequence[Prompt], ledger: Ledger, keyer: Keyer, run_id: str
) -> tuple[PlanEntry, Job | None]:
    if not prompts:
        return PlanEntry(ref.video_id, ref.key, ref.num_bytes, False, NO_PROMPTS), None
    due: dict[int, str] = {}
    for object_id, own in _by_object(prompts).items():
        key = keyer.key(ref.content_id, own)
        if not ledger.covers(ref.video_id, object_id, key):
            due[object_id] = key
    if not due:
        return PlanEntry(ref.video_id, ref.key, ref.num_bytes, False, DONE), None
    kept = sort_prompts(p for p in prompts if p.object_id in due)
    components = {o: keyer.components(ref.content_id, own) for o, own in _by_object(kept).items()}
    why = _why((ledger.newest(ref.video_id, o), components[o]) for o in due)
    job = Job(
        run_id=run_id,
        video=ref,
        prompts=kept,
        keys=due,
        label_versions={o: ledger.version_of(ref.video_id, o) + 1 for o in due},
        batch=ledger.batch_for(ref.video_id, due),
        components=components,
    )
    return PlanEntry(ref.video_id, ref.key, ref.num_bytes, True, why, tuple(sorted(due))), job


def _by_object(prompts: Sequence[Prompt]) -> Mapping[int, Sequence[Prompt]]:
    if len(prompts) == 1:
        return {prompts[0].object_id: prompts}
    grouped: dict[int, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        grouped[prompt.object_id].append(prompt)
    return grouped


def _why(objects: Iterable[tuple[Done | None, Mapping[str, str]]]) -> str:
    """Say in words what is due: `new`, or what differs from the newest results; in one order, each once."""
    said: set[str] = set()
    for done, wanted in objects:
        if done is None:
            said.add(NEW)
            continue
        made_of = components_of(done)
        differs = {word for name, word in COMPONENTS.items() if made_of.get(name) != wanted[name]} if made_of else set()
        said |= differs or {CHANGED}
    return ", ".join(word for word in (NEW, *COMPONENTS.values(), CHANGED) if word in said)


def _rows_by_video(table: PromptTable) -> Mapping[str, Sequence[BadRow]]:
    grouped: dict[str, list[BadRow]] = defaultdict(list)
    for row in table.bad_rows:
        grouped[row.video].append(row)
    return grouped


def _bad_rows(video: str, rows: Sequence[BadRow], video_id: str | None, run_id: str) -> DeadLetter:
    """One letter for a video's bad rows: its good rows are labelled all the same."""
    message = "; ".join(f"line {row.line}: {row.message}" for row in rows[:_ROWS_TOLD])
    message += f"; and {len(rows) - _ROWS_TOLD} more rows" if len(rows) > _ROWS_TOLD else ""
    payload = {"lines": [row.line for row in rows]}
    return DeadLetter(run_id, video, video_id, ErrorRecord(ErrorKind.POISON, "bad_prompt", message), payload)


def _near(name: str | None) -> str:
    return f"it holds {shown(name)}" if name is not None else ""


def _unknown(video: str, prompts: Sequence[Prompt], run_id: str, why: str = "") -> DeadLetter:
    objects = sorted({p.object_id for p in prompts})
    if not why and not has_video_suffix(video):
        why = "files whose suffix is not one of a video are passed over unless source.glob names it, as in '**/*.raw'"
    message = f"the prompt table names {shown(video)} (objects {shown(objects)}), which the source does not hold"
    message += f": {why}; mend the name or add it" if why else "; mend the name or add it"
    return DeadLetter(run_id, video, None, ErrorRecord(ErrorKind.POISON, "unknown_video", message), {"objects": objects})
