"""What a run will do and why: the listing joined with the prompt table and the ledger. No video is downloaded.

An object is due when its newest result has another key. Where it differs from that result by corrections with spans alone,
it is tracked in part: its job says which masks stay.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import ErrorKind, ErrorRecord, shown
from labeling.ingest.names import Nearest, has_video_suffix
from labeling.ingest.prompts import BadRow, PromptTable, sort_prompts
from labeling.jobs import Job, KeptMasks
from labeling.objects import Objects
from labeling.store.dead_letters import DeadLetter
from labeling.store.keys import COMPONENTS, Keyer, LabelRecipe
from labeling.store.ledger import Ledger, Result, components_of
from labeling.store.parquet import open_file
from labeling.store.reader import masks_file
from labeling.store.records import prompts_from_json
from labeling.store.snapshots import read_tracks
from labeling.types import HELD, Prompt, Span, TableRow, VideoRef

NEW, DONE, NO_PROMPTS = "new", "done", "no prompts"
CHANGED = "inputs changed"  # for a result whose marker does not say what it was made of
_ROWS_SHOWN = 20  # bad rows of a video that a message shows


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
    asking: bool = False,
    why_not_listed: Callable[[str], str] = lambda _video: "",
) -> Plan:
    """Join listing, prompts and ledger: one entry a video, and a job where an object's newest result has another key.

    `why_not_listed` says of a video that `refs` lack why the listing passed it over, "" where it does not know.
    `whole_source=False` says that `refs` are a part of the source (a limit, a glob): a prompt for a video that is not
    among them, or a row of its that cannot be read, is then no dead letter. `asking` leaves out objects whose prompt waits
    for a person's answer. Nothing is read or written.
    """
    keyer = Keyer(recipe)
    entries: list[PlanEntry] = []
    jobs: list[Job] = []
    ids: dict[str, str] = {}  # by either name that a table may use
    for ref in refs:
        ids[ref.key] = ids[ref.uri] = ref.video_id
        entry, job = _plan_video(ref, table.for_video(ref), ledger, keyer, run_id, asking=asking)
        entries.append(entry)
        if job is not None:
            jobs.append(job)
    # A bad row costs no more than itself: its letter stands beside the job of the video's good rows.
    bad = _rows_by_video(table).items()
    dead = [_bad_rows(video, rows, ids.get(video), run_id) for video, rows in bad if whole_source or video in ids]
    # Of a part of the source nobody can say that a video is not there.
    if whole_source:
        lacking = [video for video in table.by_video if video not in ids]
        nearest = Nearest(entry.key for entry in entries) if lacking else None
        for video in lacking:
            why = why_not_listed(video) or _near(nearest.to(video) if nearest else None)
            dead.append(_unknown(video, table.by_video[video], run_id, why))
    return Plan(run_id, tuple(jobs), tuple(entries), tuple(dead))


def _plan_video(
    ref: VideoRef, prompts: Sequence[Prompt], ledger: Ledger, keyer: Keyer, run_id: str, *, asking: bool
) -> tuple[PlanEntry, Job | None]:
    if not prompts:
        return PlanEntry(ref.video_id, ref.key, ref.num_bytes, False, NO_PROMPTS), None
    # Keys are made for every object of every video, components only for what is due: most of a large plan is done already.
    keys = {object_id: keyer.key(ref.content_id, group) for object_id, group in _by_object(prompts).items()}
    due = {o: key for o, key in keys.items() if not ledger.covers(ref.video_id, o, key)}
    if asking:
        due = {o: key for o, key in due.items() if not ledger.awaits_answer(ref.video_id, o, key)}
    if not due:
        return PlanEntry(ref.video_id, ref.key, ref.num_bytes, False, DONE), None
    due_prompts = sort_prompts(p for p in prompts if p.object_id in due)
    components = {o: keyer.components(ref.content_id, group) for o, group in _by_object(due_prompts).items()}
    why = _why((ledger.newest(ref.video_id, o), components[o]) for o in due)
    job = Job(
        run_id=run_id,
        video=ref,
        prompts=due_prompts,
        keys=due,
        # Above every version that the object ever had, a withdrawn one too: a version names one result for good.
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


def _why(objects: Iterable[tuple[Result | None, Mapping[str, str]]]) -> str:
    """Say in words what is due: `new`, or what differs from the newest results; in one order, each once."""
    words: set[str] = set()
    for result, components in objects:
        if result is None:
            words.add(NEW)
        else:
            words |= {COMPONENTS[name] for name in _differing(result, components)} or {CHANGED}
    return ", ".join(word for word in (NEW, *COMPONENTS.values(), CHANGED) if word in words)


def _differing(result: Result, components: Mapping[str, str]) -> set[str]:
    """Return the components that a result was made with otherwise; none where it does not say what it was made of."""
    made_of = components_of(result)
    # What is as before there was a choice is no component, so a name may be on either side alone.
    names = {*components, *(made_of.keys() & COMPONENTS.keys())}
    return {name for name in names if made_of.get(name) != components.get(name)} if made_of else set()


def _rows_by_video(table: PromptTable) -> Mapping[str, Sequence[BadRow]]:
    grouped: dict[str, list[BadRow]] = defaultdict(list)
    for row in table.bad_rows:
        grouped[row.video].append(row)
    return grouped


def _bad_rows(video: str, rows: Sequence[BadRow], video_id: str | None, run_id: str) -> DeadLetter:
    """One letter for a video's bad rows: its good rows are labelled all the same."""
    message = "; ".join(f"line {row.line}: {row.message}" for row in rows[:_ROWS_SHOWN])
    message += f"; and {len(rows) - _ROWS_SHOWN} more rows" if len(rows) > _ROWS_SHOWN else ""
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


def limit_to_corrected_spans(objects: Objects, ledger: Ledger, plan: Plan) -> Plan:
    """Return the plan with `Job.kept` where an object differs from its newest version by corrections with spans alone.

    Where anything else differs (a seed, the model, a correction of all frames), the whole object is tracked. Reads the
    newest snapshot's tracks where a job has such corrections; nothing is written.
    """
    # A look at the prompts costs nothing; only where a span is named are tables of the snapshot read.
    limited = [(job, o) for job in plan.jobs for o in sorted({p.object_id for p in job.prompts if p.span is not None})]
    if not limited:
        return plan
    video_ids = {job.video.video_id for job, _ in limited}
    tracks = read_tracks(objects, ledger.snapshot, video_ids) if ledger.snapshot else None
    kept: dict[str, dict[int, KeptMasks]] = defaultdict(dict)  # by job and object
    for job, object_id in limited:
        before = _version_before(objects, ledger, tracks, job, object_id)
        # Without an earlier version, or with another model or video, no mask of it may stay.
        if before is None:
            continue
        masks = unchanged_part(before.masks_file, before.prompts, [p for p in job.prompts if p.object_id == object_id])
        if masks is not None:
            kept[job.name][object_id] = masks
    return replace(plan, jobs=tuple(replace(j, kept=kept[j.name]) if j.name in kept else j for j in plan.jobs))


@dataclass(frozen=True, slots=True)
class _Version:
    """An object's newest version: the file of its masks, and what it was tracked from."""

    masks_file: str
    prompts: tuple[Prompt, ...]


def _version_before(
    objects: Objects, ledger: Ledger, tracks: pa.Table | None, job: Job, object_id: int
) -> _Version | None:
    """Return the newest version of an object of which nothing differs but the prompts."""
    video_id = job.video.video_id
    # The ledger says which version that is; the snapshot may be behind it, by what waits to be published.
    result = ledger.newest(video_id, object_id)
    differing = set() if result is None else _differing(result, job.components.get(object_id, {}))
    if result is None or differing - {"scope"} != {"prompts"}:
        return None
    version = _newest_version(objects, ledger, tracks, video_id, object_id, result)
    # The scope of prompts says nothing of a version that had them on one frame alone.
    several = version is not None and len({prompt.frame_idx for prompt in version.prompts}) > 1
    return None if several and "scope" in differing else version


def _newest_version(
    objects: Objects, ledger: Ledger, tracks: pa.Table | None, video_id: str, object_id: int, result: Result
) -> _Version | None:
    published = [] if tracks is None else _rows(tracks.filter(pc.equal(tracks["video_id"], video_id)), object_id)
    for row in published:
        if row["label_version"] == result.label_version:
            # Of what was held there is a first mask, and nothing that may stay.
            return None if row["direction"] == HELD else _Version(masks_file(row), prompts_from_json(row["prompts"]))
    return _unpublished_version(objects, ledger, video_id, object_id, result.key)


def _unpublished_version(
    objects: Objects, ledger: Ledger, video_id: str, object_id: int, key: str
) -> _Version | None:
    """Return a version that no snapshot has taken in, from the files of its batch."""
    for marker in ledger.markers:
        if marker.video_id == video_id and any((r["object_id"], r["key"]) == (object_id, key) for r in marker.results):
            with open_file(objects, marker.file_of("tracks")) as opened:
                (row,) = _rows(opened.read(), object_id)
            return None if row["direction"] == HELD else _Version(marker.file_of("masks"), prompts_from_json(row["prompts"]))
    return None


def _rows(tracks: pa.Table, object_id: int) -> list[TableRow]:
    rows: list[TableRow] = tracks.filter(pc.equal(tracks["object_id"], object_id)).to_pylist()
    return rows


def unchanged_part(masks_file: str, before: Sequence[Prompt], now: Sequence[Prompt]) -> KeptMasks | None:
    """Return what stays of an object's masks when its prompts become others; None where all of them are made anew.

    That is where a new prompt is not limited to a span, or one was taken away on a frame outside of the new ones' spans.
    """
    # What an object is called changes no mask.
    old_prompts, new_prompts = ({replace(p, category=None) for p in prompts} for prompts in (before, now))
    added, removed = new_prompts - old_prompts, old_prompts - new_prompts
    spans = joined([p.span for p in added if p.span is not None])
    limited = all(p.span is not None for p in added) and all(any(a <= p.frame_idx < b for a, b in spans) for p in removed)
    if not limited or not spans:
        return None
    return KeptMasks(masks_file, spans, tuple(min(p.frame_idx for p in added if a <= p.frame_idx < b) for a, b in spans))


def joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join half-open spans that overlap or touch, in ascending order."""
    disjoint: list[Span] = []
    for first, end in sorted(spans):
        if disjoint and first <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(disjoint[-1][1], end))
        else:
            disjoint.append((first, end))
    return tuple(disjoint)
