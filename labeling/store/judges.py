"""Which fitted judge judges which masklets of a store, and the judges that a store keeps.

    judge.json              {"judge": "auto" | "none" | the name of a shipped one | a digest}, what `qc.judge=auto` goes by
    judges/DIGEST.json      every judge that gave a risk of this store, so that a verdict's `judge` can be looked up
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labeling.errors import BadConfiguration, DamagedStore, shown
from labeling.objects import Objects
from labeling.qc.judge import Judge, Opinion
from labeling.qc.judge_json import SHIPPED, document_of, judge_from_json, shipped_judge, to_json
from labeling.store.snapshots import Snapshot, slices_of
from labeling.types import TableRow

AUTO, NONE = "auto", "none"
CHOICE = "judge.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Judges:
    """The judges of a store: one that was named, for all masklets, or each for the weights and trackers it was fitted on."""

    named: Judge | None = None
    by_weights: Mapping[str, Judge] = field(default_factory=dict)

    def of(self, track: TableRow) -> Judge | None:
        """Return the judge of a row of `tracks`; None where rules alone judge it."""
        if self.named is not None:
            return self.named
        judge = self.by_weights.get(track["checkpoint_sha256"])
        return judge if judge is not None and _knows(judge, track["tracker"]) else None

    @property
    def all(self) -> tuple[Judge, ...]:
        """The judges, each once, by name."""
        different = {judge.digest: judge for judge in (self.named, *self.by_weights.values()) if judge}
        return tuple(sorted(different.values(), key=lambda judge: (judge.name, judge.digest)))

    @property
    def digests(self) -> dict[str, str]:
        """The judges' digests by name, as a snapshot keeps them."""
        return {judge.name: judge.digest for judge in self.all}

    def opinions(self, tracks: Sequence[TableRow], values: Sequence[Mapping[str, float | None]]) -> list[Opinion | None]:
        """Ask the judges about tracks with these values, many at a time; None for one that rules alone judge."""
        opinions: list[Opinion | None] = [None] * len(tracks)
        for judge in self.all:
            asked = [at for at, track in enumerate(tracks) if self.of(track) is judge]
            for at, opinion in zip(asked, judge.opinions([values[at] for at in asked]), strict=True):
                opinions[at] = opinion
        return opinions


def _knows(judge: Judge, tracker: str) -> bool:
    """Return whether a judge was fitted on tracks of a tracker; of one that does not say, any."""
    trackers = judge.facts.get("trained_on", {}).get("tracker")
    return not trackers or tracker in trackers


def judges_of(objects: Objects, choice: str) -> Judges:
    """Return the judges that `qc.judge` chooses for a store.

    `auto` is what `labeling judge use` set for the store, else the shipped judges, each for its own weights; else `none`, the
    name of a shipped judge, the digest of one that the store keeps, or a file. Raises BadConfiguration for anything else.
    """
    if choice == AUTO:
        choice = chosen(objects)
    if choice == AUTO:
        return shipped_judges()
    return Judges() if choice == NONE else Judges(named=judge_at(choice, objects))


def shipped_judges() -> Judges:
    """Return the judges that are in the package, each for the weights that it was fitted on."""
    return Judges(by_weights={digest: judge for judge in map(shipped_judge, SHIPPED) for digest in judge.weights})


def judge_at(choice: str, objects: Objects | None = None) -> Judge:
    """Return the judge of a name, of a digest that a store keeps, or in a file."""
    if choice in SHIPPED:
        return shipped_judge(choice)
    if objects is not None and _DIGEST.fullmatch(choice):
        return _kept(objects, choice)
    try:
        path = Path(choice).expanduser()
        if not path.is_file():      # a pipe would be waited for
            raise FileNotFoundError("no such file")
        return judge_from_json(path.read_text(encoding="utf-8"), choice)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, BadConfiguration):
            raise
        names = ", ".join((AUTO, NONE, *SHIPPED))
        raise BadConfiguration(
            f"qc.judge is {shown(choice)} ({error}); expected {names}, a file that `labeling judge fit` wrote, or the digest "
            "of a judge that the store keeps"
        ) from error


def choice_of(objects: Objects, digests: Mapping[str, str]) -> str:
    """Return a choice that judges by the judges that a snapshot's `qc` names."""
    if not digests:
        return NONE
    if judges_of(objects, AUTO).digests == digests or len(digests) > 1:
        return AUTO
    return next(iter(digests.values()))


def chosen(objects: Objects) -> str:
    """Return what was set for a store, `auto` where nothing was."""
    try:
        document = json.loads(objects.get(CHOICE))
        return str(document["judge"])
    except FileNotFoundError:
        return AUTO
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedStore(f"{objects.uri(CHOICE)} is damaged ({error!r}); `labeling judge use` writes it again") from error


def choose(objects: Objects, choice: str) -> Judge | None:
    """Set what `qc.judge=auto` goes by in a store, and keep the judge there; returns it, None for `auto` and `none`."""
    judge = None if choice in (AUTO, NONE) else judge_at(choice, objects)
    if judge is not None:
        keep(objects, judge)
    name = judge.digest if judge is not None and choice not in SHIPPED else choice
    objects.put(CHOICE, json.dumps({"judge": name}).encode())
    return judge


def judged_by(objects: Objects, snapshot: Snapshot) -> str:
    """Say in a sentence what gave a snapshot's risks: a judge and what that was fitted on, or the rules alone."""
    asked: Counter[str | None] = Counter()
    for rows in slices_of(objects, snapshot):
        asked.update(rows.verdicts["judge"].to_pylist())
    words = []
    for digest, count in asked.items():
        if digest is None:
            words.append(f"{count} by the rules {snapshot.qc.get('name', '')}")
            continue
        judge = _kept(objects, digest)
        trained = judge.facts.get("trained_on", {})
        reviews = trained.get("calibrated_on")
        fitted_on = f"fitted on {trained.get('what', 'what its card does not say')}"
        on = f"calibrated on {reviews['tracks']} reviews" if reviews else fitted_on
        words.append(f"{count} by the judge {judge.name} {digest[:12]}, {on}")
    return "risks: " + "; ".join(words)


def keep(objects: Objects, judge: Judge) -> None:
    """Write a judge into a store, where it is not yet."""
    if objects.stat(_key(judge.digest)) is None:
        objects.put(_key(judge.digest), to_json(document_of(judge)).encode())


def _kept(objects: Objects, digest: str) -> Judge:
    try:
        judge = judge_from_json(objects.get(_key(digest)).decode(), objects.uri(_key(digest)))
    except FileNotFoundError:
        raise BadConfiguration(f"qc.judge is {digest}, which {objects.root} does not keep; give its file") from None
    if judge.digest != digest:
        raise DamagedStore(f"{objects.uri(_key(digest))} holds judge {judge.digest}; expected that of its name")
    return judge


def _key(digest: str) -> str:
    return f"judges/{digest}.json"
