"""Dead letters: videos that failed, why, and the job as it was; one object each, so that nothing is appended."""

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from labeling.errors import DamagedStore, ErrorRecord
from labeling.jobs import Job, KeptMasks
from labeling.logs import held_out, redact
from labeling.objects import Objects, map_objects
from labeling.store import layout
from labeling.store.documents import OnDamage, plain, read_document, typed
from labeling.store.keys import canonical_json, digest
from labeling.store.ledger import Ledger
from labeling.store.records import prompt_from_dict, prompt_to_dict
from labeling.types import JsonObject, VideoRef

_ADVICE = "restore it from a copy, or delete it: if its video still fails, the next run writes it again"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One thing that failed for good: the video as it was named, its id when it was listed, the error and the payload.

    `payload` is plain values: a job's, or the row of the prompt table (`line`, `video`).
    """

    run_id: str
    video: str
    video_id: str | None
    error: ErrorRecord
    payload: JsonObject = field(default_factory=dict)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def key(self) -> str:
        """Where it lies: the same payload failing again in one run takes the place of the letter before."""
        what = digest(canonical_json([self.video, self.payload]))
        return f"{layout.run_folder(self.run_id)}dead/{self.video_id or digest(self.video)[:16]}-{what[:8]}.json"

    @property
    def replayable(self) -> bool:
        """Whether the payload is a job that can be handed in again."""
        return "keys" in self.payload


def dead_job(job: Job, error: ErrorRecord) -> DeadLetter:
    """Make the letter of a job that failed."""
    return DeadLetter(job.run_id, job.video.key, job.video.video_id, error, job_to_dict(job))


def dead_object(job: Job, object_id: int, error: ErrorRecord) -> DeadLetter:
    """Make the letter of one object of a job that could not be tracked while others were."""
    return dead_job(of_objects(job, {object_id}), error)


def of_objects(job: Job, ids: Set[int]) -> Job:
    """Return what a job has of some of its objects; its batch keeps its name."""
    return replace(
        job,
        prompts=tuple(p for p in job.prompts if p.object_id in ids),
        keys={o: key for o, key in job.keys.items() if o in ids},
        label_versions={o: version for o, version in job.label_versions.items() if o in ids},
        components={o: parts for o, parts in job.components.items() if o in ids},
        kept={o: masks for o, masks in job.kept.items() if o in ids},
    )


def put_dead_letter(objects: Objects, letter: DeadLetter) -> str:
    """Put a letter at its key, and return the key; secrets are cut out of what it says."""
    document = {
        "run_id": letter.run_id, "video": letter.video, "video_id": letter.video_id, "created_at": letter.created_at,
        "error": {
            "kind": letter.error.kind.value, "reason": letter.error.reason, "message": redact(letter.error.message),
            "traceback": redact(letter.error.traceback), "attempts": letter.error.attempts,
        },
        "payload": letter.payload,
    }
    # A job is read back as it is; what a prompt table's row says may hold anything.
    document = document if letter.replayable else held_out(document)
    objects.put(letter.key, json.dumps(document, indent=1, sort_keys=True).encode())
    return letter.key


def read_dead_letters(objects: Objects, run_id: str | None = None) -> Iterator[DeadLetter]:
    """Yield the letters of one run, or of all runs in the order of their ids."""
    runs = [run_id] if run_id is not None else runs_with_letters(objects)
    for run in runs:
        yield from letters_at(objects, (stat.key for stat in objects.list(f"{layout.run_folder(run)}dead/")))


def letters_at(objects: Objects, keys: Iterable[str], *, on_damage: OnDamage | None = None) -> Iterator[DeadLetter]:
    """Yield the letters that lie at the given keys; `on_damage` is told of one that is none, where it is given.

    Raises:
        DamagedStore: a letter is not as it was written, and no `on_damage` is given.
    """

    def letter_at(key: str) -> DeadLetter | None:
        try:
            return read_document(objects, key, _letter, advice=_ADVICE)
        except FileNotFoundError:
            return None
        except DamagedStore as error:
            if on_damage is None:
                raise
            on_damage(error)
            return None

    return filter(None, map_objects(objects, letter_at, keys))


def runs_with_letters(objects: Objects) -> list[str]:
    """Return the ids of the runs that left dead letters, ascending."""
    keys = (stat.key.split("/") for stat in objects.list("runs/") if layout.is_run_file(stat.key))
    return sorted({parts[1] for parts in keys if len(parts) > 3 and parts[2] == "dead"})


def still_open(letter: DeadLetter, ledger: Ledger) -> bool:
    """Return whether a letter's job is still undone; of a letter without a job only later plans can tell (`looked_at_since`).

    An object is done once it has a result of the job's key, or a later one: of a prompt that was mended since.
    """
    if letter.video_id is None or not letter.replayable:
        return True
    keys, versions = letter.payload["keys"], letter.payload.get("label_versions", {})
    return not all(
        ledger.holds(letter.video_id, int(o), key) or _has_later(ledger, letter.video_id, int(o), versions.get(o))
        for o, key in keys.items()
    )


def _has_later(ledger: Ledger, video_id: str, object_id: int, label_version: int | None) -> bool:
    result = ledger.newest(video_id, object_id)
    return result is not None and label_version is not None and result.label_version >= label_version


def job_to_dict(job: Job) -> JsonObject:
    """Return a job as plain values."""
    ref = job.video
    return {
        "run_id": job.run_id, "batch": job.batch,
        "video": {
            "video_id": ref.video_id, "key": ref.key, "uri": ref.uri,
            "content_id": ref.content_id, "num_bytes": ref.num_bytes,
        },
        "prompts": [prompt_to_dict(p) for p in job.prompts],
        "keys": {str(o): key for o, key in job.keys.items()},
        "label_versions": {str(o): v for o, v in job.label_versions.items()},
        "components": {str(o): dict(parts) for o, parts in job.components.items()},
        "kept": {str(o): asdict(masks) for o, masks in job.kept.items()},
    }


def job_from_dict(values: JsonObject) -> Job:
    """Read back what `job_to_dict` wrote."""
    return Job(
        run_id=values["run_id"],
        video=VideoRef(**values["video"]),
        prompts=tuple(prompt_from_dict(p) for p in values["prompts"]),
        keys={int(o): key for o, key in values["keys"].items()},
        label_versions={int(o): v for o, v in values["label_versions"].items()},
        batch=values["batch"],
        components={int(o): parts for o, parts in values.get("components", {}).items()},
        kept={int(o): _kept_masks(masks) for o, masks in values.get("kept", {}).items()},
    )


def _kept_masks(values: JsonObject) -> KeptMasks:
    return KeptMasks(values["masks_file"], tuple((first, end) for first, end in values["spans"]), tuple(values["starts"]))


def _letter(document: object) -> DeadLetter:
    values = plain(document, dict, "the letter")
    letter = typed(DeadLetter, {**values, "error": typed(ErrorRecord, values["error"])})
    layout.check_run_id(letter.run_id)
    if letter.replayable:
        job_from_dict(letter.payload)
    return letter
