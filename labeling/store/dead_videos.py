"""Inputs that failed with a verdict on themselves: not tried again until something about them changes.

A file that is no video fails the same way every night. What a job was made of is its key; an object whose key failed so is
left out of plans until its video's content, its prompts, the configuration or the release change, or until its videos are
named, as `labeling dead-letters replay` does.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from labeling.errors import DamagedStore, ErrorRecord
from labeling.jobs import Job
from labeling.objects import Objects, map_objects
from labeling.store import layout
from labeling.store.dead_letters import of_objects
from labeling.store.documents import plain, read_document, typed, warned
from labeling.store.plan import Plan, PlanEntry
from labeling.store.schemas import code_version

# Of these a retry says the same: all others may pass, or are not the input's fault.
VERDICTS = frozenset({"not_a_video", "empty_video", "decode_error", "bad_prompt"})
DEAD = "dead: "  # begins the reason in a plan entry's `why`
_ADVICE = "delete it: its video is then tried once more"


@dataclass(frozen=True, slots=True)
class DeadInput:
    """What one object failed of, for good: the key that its job had, and the release that tried."""

    key: str
    reason: str
    code_version: str


def note_dead_inputs(objects: Objects, job: Job, error: ErrorRecord) -> None:
    """Write down that a job's objects failed of their input, where the error says so; the driver alone does.

    One small object for each such video, which later failures of other objects of it join.
    """
    if error.reason not in VERDICTS:
        return
    video_id = job.video.video_id
    dead = dict(_read(objects, layout.dead_video(video_id)) or {})
    dead |= {object_id: DeadInput(key, error.reason, code_version()) for object_id, key in job.keys.items()}
    document = {str(object_id): asdict(dead[object_id]) for object_id in sorted(dead)}
    objects.put(layout.dead_video(video_id), json.dumps(document, indent=1).encode())


def leave_dead_out(objects: Objects, plan: Plan) -> Plan:
    """Return the plan without objects whose inputs have failed with a verdict on themselves; `why` says of what.

    Costs one listing, and one read for each due video that failed before.
    """
    if not plan.jobs:
        return plan
    noted = {stat.key for stat in objects.list(layout.DEAD_VIDEOS)}
    keys = [key for job in plan.jobs if (key := layout.dead_video(job.video.video_id)) in noted]
    dead = dict(zip(keys, map_objects(objects, lambda key: _read(objects, key), keys), strict=True))
    jobs: list[Job] = []
    reasons: dict[str, str] = {}
    for job in plan.jobs:
        before = dead.get(layout.dead_video(job.video.video_id)) or {}
        again = {o: entry.reason for o, entry in before.items() if _same(entry, job.keys.get(o))}
        if again:
            reasons[job.video.video_id] = DEAD + ", ".join(sorted(set(again.values())))
        if len(again) < len(job.keys):
            jobs.append(of_objects(job, job.keys.keys() - again.keys()) if again else job)
    due = {job.video.video_id: tuple(sorted(job.keys)) for job in jobs}
    entries = (_entry(entry, reasons.get(entry.video_id), due.get(entry.video_id, ())) for entry in plan.entries)
    return replace(plan, jobs=tuple(jobs), entries=tuple(entries))


def _entry(entry: PlanEntry, reason: str | None, due_objects: tuple[int, ...]) -> PlanEntry:
    if reason is None:
        return entry
    why = f"{entry.why}; {reason}" if due_objects else reason
    return replace(entry, will_run=bool(due_objects), why=why, due_objects=due_objects)


def _same(dead: DeadInput, key: str | None) -> bool:
    return dead.key == key and dead.code_version == code_version()


def _read(objects: Objects, key: str) -> Mapping[int, DeadInput] | None:
    """Return what is noted of a video; None where nothing is, or nothing that can be read."""
    try:
        return read_document(objects, key, _dead_inputs, advice=_ADVICE)
    except FileNotFoundError:
        return None
    except DamagedStore as error:
        warned(error)
        return None


def _dead_inputs(document: object) -> dict[int, DeadInput]:
    return {int(object_id): typed(DeadInput, values) for object_id, values in plain(document, dict, "the note").items()}
