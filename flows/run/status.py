"""How a dataset stands, from small files alone: what writes it now, what the last run came to, what waits for people."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from flows.run.review_queue import queue_at_hand, queue_shown
from labeling.certify.standing import Standing, standing_of
from labeling.config import LabelConfig
from labeling.errors import DamagedStore, Denied, LabelingError, Unavailable
from labeling.objects import Objects, open_objects
from labeling.review.figures import QueueFigures, figures_of
from labeling.store.dead_letters import DeadLetter, letters_at, still_open
from labeling.store.documents import OnDamage, warned
from labeling.store.layout import SET_ASIDE
from labeling.store.ledger import read_ledger
from labeling.store.lock import LockHolder, holder_of
from labeling.store.run_state import Doing, RunState, looked_at_since, recent_scopes, recent_states
from labeling.store.runs import recent_summaries, seconds_per_byte
from labeling.store.snapshots import Snapshot, newest_snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """A dataset at one moment (`at`, seconds since the epoch).

    `holder` writes it now, and `present` is how far that run is, None while it plans; `last` is the newest run that no
    longer goes on. `seconds_left` guesses what labelling still takes. `backlog` is None
    where there is no review queue at `queue`; `open_letters` counts what is still dead, by reason. `num_set_aside` counts
    done markers that a publisher moved out of the way, `damaged` names objects that are not as they were written,
    `queue_hidden` says why the queue at `queue` could not be read. `standing` is what was certified, None where nothing was
    audited.
    """

    root: str
    at: float
    holder: LockHolder | None
    present: RunState | None
    last: RunState | None
    seconds_left: float | None
    snapshot: Snapshot | None
    backlog: QueueFigures | None
    queue: str = ""
    open_letters: Mapping[str, int] = field(default_factory=dict)
    num_set_aside: int = 0
    damaged: tuple[str, ...] = ()
    queue_hidden: str = ""
    standing: Standing | None = None

    @property
    def newest(self) -> RunState | None:
        """The run that tells how far the dataset is."""
        return self.present or self.last


def status_of(config: LabelConfig, *, now: float | None = None) -> Status:
    """Look at a dataset; nothing is written and no video is listed."""
    objects, at = open_objects(config.store.root), time.time() if now is None else now
    damaged: list[LabelingError] = []
    holder = _unless_damaged(lambda: holder_of(objects), damaged)
    states = recent_states(objects, at_most=2, on_damage=damaged.append)
    present = next((s for s in states if holder is not None and s.run_id == holder.name), None)
    last = next((s for s in states if s is not present), None)
    left = None
    if present is not None and present.doing is Doing.LABEL:
        left = present.seconds_left(at, seconds_per_byte(recent_summaries(objects)))
    backlog, hidden = _backlog(config, damaged)
    letters = _unless_damaged(lambda: open_letters(objects, damaged.append), damaged) or {}
    snapshot, place = _unless_damaged(lambda: newest_snapshot(objects), damaged), queue_shown(config)
    num_aside = sum(1 for _ in objects.list(SET_ASIDE))
    told = tuple(dict.fromkeys(map(str, damaged)))
    standing = _standing(config, objects, snapshot, damaged) if snapshot is not None else None
    told = tuple(dict.fromkeys(map(str, damaged)))
    return Status(
        objects.root, at, holder, present, last, left, snapshot, backlog, place, letters, num_aside, told, hidden, standing
    )


def _standing(
    config: LabelConfig, objects: Objects, snapshot: Snapshot, damaged: list[LabelingError]
) -> Standing | None:
    """Say how what was certified stands, without the audits' answers where the queue cannot be read."""
    try:
        with queue_at_hand(config) as queue:
            return _unless_damaged(lambda: standing_of(objects, snapshot, queue), damaged)
    except Unavailable:
        return _unless_damaged(lambda: standing_of(objects, snapshot, None), damaged)


def _backlog(config: LabelConfig, damaged: list[LabelingError]) -> tuple[QueueFigures | None, str]:
    """Read what waits for people; where this user may not, say so, and what else is wrong costs that part alone."""
    try:
        with queue_at_hand(config) as queue:
            return figures_of(queue) if queue is not None else None, ""
    except Denied as error:
        return None, str(error)
    except Unavailable as error:
        damaged.append(error)
        return None, str(error)


def _unless_damaged(read: Callable[[], T], damaged: list[LabelingError]) -> T | None:
    """Read one part; what is damaged of it costs that part alone."""
    try:
        return read()
    except DamagedStore as error:
        damaged.append(error)
        return None


def open_letters(objects: Objects, on_damage: OnDamage = warned) -> Mapping[str, int]:
    """Count by reason what is still dead: jobs not done since, and what no later plan has looked at again."""
    letters = list(letters_at(objects, newest_letters(objects), on_damage=on_damage))
    of_videos = [letter.video_id for letter in letters if letter.replayable and letter.video_id is not None]
    ledger = read_ledger(objects, of_videos) if any(letter.replayable for letter in letters) else None
    scopes = recent_scopes(objects) if any(not letter.replayable for letter in letters) else []

    def is_open(letter: DeadLetter) -> bool:
        return still_open(letter, ledger) if ledger and letter.replayable else not looked_at_since(letter, scopes)

    return dict(Counter(letter.error.reason for letter in letters if is_open(letter)).most_common())


def newest_letters(objects: Objects) -> Sequence[str]:
    """Return the keys of all runs' letters; of a video that failed in several runs, those of the last."""
    found = [stat for stat in objects.list("runs/") if "/dead/" in stat.key]
    by_video: dict[str, dict[str, list[str]]] = {}
    for stat in sorted(found, key=lambda stat: stat.modified_at):
        run, _, name = stat.key.rpartition("/dead/")
        video = name.partition("-")[0]
        by_video[video] = {run: [*by_video.get(video, {}).get(run, ()), stat.key]}
    return [key for runs in by_video.values() for keys in runs.values() for key in keys]
