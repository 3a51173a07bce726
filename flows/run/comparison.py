"""Past runs side by side: how each was configured, how fast it went, what came of its masklets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labeling.errors import BadConfiguration
from labeling.objects import Objects
from labeling.store.lock import holder_of
from labeling.store.parquet import open_file
from labeling.store.run_state import Doing, RunState, read_state, recent_states
from labeling.store.runs import list_runs, read_config, read_summary
from labeling.store.snapshots import Snapshot, read_snapshot

# Names a run and changes nothing about it.
_IDENTITY = frozenset({"run.id"})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run: its state and settings, and the verdicts of the masklets that it made, as its snapshot has them.

    `how` is what became of it; `seconds_by_stage` add up over its workers.
    """

    state: RunState
    how: str
    config: Mapping[str, Any]
    seconds_by_stage: Mapping[str, float]
    verdicts: Mapping[str, int]


def how_it_went(objects: Objects, state: RunState) -> str:
    """Say in a word what became of a run: done, failed, interrupted, or what it is at."""
    if state.over:
        return state.doing.value
    holder = holder_of(objects)
    return state.doing.value if holder is not None and holder.name == state.run_id else "interrupted"


def facts_of(objects: Objects, run_id: str) -> RunFacts:
    """Gather a run's facts; `latest` names the newest. BadConfiguration lists the runs that are there."""
    state = _state_of(objects, run_id)
    config = flat(read_config(objects, state.run_id))
    stages = read_summary(objects, state.run_id).seconds_by_stage if state.doing is not Doing.LABEL and state.snapshot else {}
    verdicts = verdicts_made(objects, read_snapshot(objects, state.snapshot), state.run_id) if state.snapshot else {}
    return RunFacts(state, how_it_went(objects, state), config, stages, verdicts)


def _state_of(objects: Objects, run_id: str) -> RunState:
    newest = recent_states(objects, at_most=1) if run_id == "latest" else []
    found = newest[0] if newest else read_state(objects, run_id)
    if found is None:
        there = ", ".join(list_runs(objects)[-10:]) or "none"
        raise BadConfiguration(f"run is {run_id!r}; expected `latest` or one of those in {objects.root}: {there}")
    return found


def verdicts_made(objects: Objects, snapshot: Snapshot, run_id: str) -> Mapping[str, int]:
    """Count the verdicts of the masklets that a run made, in one of the snapshots that hold them."""
    # Both tables are in one order.
    with open_file(objects, snapshot.tracks) as tracks, open_file(objects, snapshot.verdicts) as verdicts:
        runs = tracks.read(["run_id"])["run_id"].to_pylist()
        said = verdicts.read(["verdict"])["verdict"].to_pylist()
    return Counter(verdict for verdict, made_by in zip(said, runs, strict=True) if made_by == run_id)


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings as `group.name: value`."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        inner = isinstance(value, Mapping) and bool(value)
        found |= flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two configurations differ, with both values."""
    names = sorted((a.keys() | b.keys()) - _IDENTITY)
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
