"""`python -m tests.campaigns.damaged_store [COUNT] [--seed N]`: damage one object of a small store, run commands, look.

Whatever is damaged, a command ends with 0, 1, 2 or 4 and no traceback; with 4 it names what is damaged; and every other object
is as it was, but for those that the command is there to write.
"""

import argparse
import contextlib
import copy
import functools
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows import configure
from flows.cli.app import run_command
from flows.cli.console import console
from flows.configure import kept_config, load_config
from flows.run.plan import plan_run
from flows.run.progress import RunProgress
from flows.run.review_queue import collect_corrections, open_items, open_queue
from labeling.config import LabelConfig, QCConfig, RuleConfig
from labeling.errors import BadInput, record_of
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store.dead_letters import dead_job, put_dead_letter
from labeling.store.lock import run_lock
from labeling.store.publish import publish
from labeling.store.run_state import Doing, RunState, write_state
from labeling.store.runs import write_config, write_plan, write_summary
from labeling.types import Prompt, PromptSource
from tests.labeling.store.made_store import box_prompt, label

DOUBT = QCConfig("doubt", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])
LIMIT_S = 60
OURS_TO_WRITE = ("locks/", "ledger/pending/", "ledger/set-aside/", "runs/", "corrections.jsonl", "review.sqlite")
ODD: tuple[Any, ...] = (None, True, -1, 0, 2**40, 10**400, 1e300, float("nan"), "", "x", "../../x", [], [1], {}, {"a": []})


@dataclass(frozen=True)
class Trial:
    """One damaged object and what a command made of it; `problem` is "" where all is right."""

    number: int
    key: str
    harm: str
    words: tuple[str, ...]
    code: int | None
    problem: str


def make_store(folder: Path) -> Path:
    """Make a store with three runs, two snapshots, one compacted, a waiting batch, a correction, a letter and a queue."""
    root, objects = folder / "store", FolderObjects(folder / "store")
    clips = folder / "clips"
    clips.mkdir(parents=True)
    names = ("a.mp4", "b.mp4", "c.mp4")
    for name in names:
        (clips / name).write_bytes(name.encode())
    rows = [{"video": name, "object_id": 1, "frame_idx": 0, "box_xyxy": [2, 2, 10, 10]} for name in names]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_config(settings(folder))
    lost = {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),)}
    label(objects, folder / "s", lost, "run-1", lost_after=3)
    _finish(config, objects, "run-1", DOUBT)
    label(objects, folder / "s", {**lost, "b.mp4": (box_prompt(1, 9.0),)}, "run-2")
    _finish(config, objects, "run-2", DOUBT)
    with contextlib.redirect_stdout(io.StringIO()), _quiet():
        assert run_command(["compact", str(root), "upkeep.min_files=2", f"run.scratch={folder / 's'}"]) == 0
    label(objects, folder / "s", {"c.mp4": (box_prompt(1),)}, "run-3")
    write_state(objects, _state("run-3", Doing.LABEL))
    return root


def settings(folder: Path) -> list[str]:
    """What a user types for this store."""
    places = {"source.uri": "clips", "prompts.uri": "prompts.jsonl", "store.root": "store", "run.scratch": "s"}
    small = ["model=nano", "model.image_size=64", "run.previews=0", "run.progress=false"]
    return [*(f"{name}={folder / place}" for name, place in places.items()), *small]


def _finish(config: LabelConfig, objects: FolderObjects, run_id: str, qc: QCConfig) -> None:
    config = replace(config, qc=qc)
    write_config(objects, run_id, kept_config(config))
    _, plan = plan_run(config, objects, run_id, corrections=PromptTable({}))
    write_plan(objects, plan)
    put_dead_letter(objects, dead_job(plan.jobs[-1], record_of(BadInput("it is broken", "decode_error"))))
    write_summary(objects, RunProgress(0).summary(run_id, wall_seconds=1.0))
    with run_lock(objects, run_id) as lock, open_queue(config) as queue:
        snapshot = publish(objects, qc, run_id=run_id, decisions=queue.pending_decisions(), still_held=lock.check)
        open_items(objects, queue, snapshot, run_id)
        for item in queue.list():
            correction = Prompt(int(item.key.track_id), 2, points_xy=((4, 4),), labels=(1,), source=PromptSource.CORRECTION)
            queue.decide(item.item_id, "correct", prompts=[correction], reviewer="ann")
        collect_corrections(objects, queue)
    write_state(objects, _state(run_id, Doing.DONE, snapshot.name))


def _state(run_id: str, doing: Doing, snapshot: str = "") -> RunState:
    now = time.time()
    return RunState(run_id, doing, "nano fp32 samurai", now - 9, now, 3, 3, 2, 1, num_frames=9, snapshot=snapshot)


def commands(folder: Path) -> dict[str, list[str]]:
    """Command lines by name; those that write begin with `!`."""
    root, out = f"store.root={folder / 'store'}", str(folder / "out" / "labels.json")
    return {
        "plan": ["plan", *settings(folder)],
        "status": ["status", str(folder / "store")],
        "runs list": ["runs", "list", str(folder / "store")],
        "runs show": ["runs", "show", "run-2", str(folder / "store")],
        "dead-letters list": ["dead-letters", "list", root],
        "versions list": ["versions", "list", root],
        "versions show": ["versions", "show", "2", root],
        "versions diff": ["versions", "diff", "1", "2", root],
        "review list": ["review", "list", root],
        "export": ["export", "coco", root, "-o", out, "--verdict", "accept", "--verdict", "review"],
        "vacuum": ["vacuum", root, "upkeep.keep_last=1", "upkeep.keep_days=0", "upkeep.min_age_hours=0"],
        "!report": ["report", "run-2", root],
        "!qc": ["qc", root, "qc=default"],
        "!card": ["card", root],
        "!compact": ["compact", root, "upkeep.min_files=2", f"run.scratch={folder / 's'}"],
        "!restore": ["restore", "v000001", root],
    }


def damage(path: Path, chance: random.Random, others: Sequence[Path]) -> str:
    """Damage a file in one of many ways; returns which."""
    body = path.read_bytes()
    kinds: dict[str, Callable[[], object]] = {
        "cut": lambda: path.write_bytes(body[: chance.randrange(len(body) or 1)]),
        "flipped": lambda: path.write_bytes(_flipped(body, chance)),
        "emptied": lambda: path.write_bytes(b""),
        "noise": lambda: path.write_bytes(chance.randbytes(64)),
        "other JSON": lambda: path.write_text(json.dumps(chance.choice(ODD[:5] + ODD[6:]))),
        "another object": lambda: path.write_bytes(chance.choice(others).read_bytes()),
        "folder": lambda: _replaced(path, Path.mkdir),
        "dangling link": lambda: _replaced(path, lambda p: p.symlink_to("nowhere")),
        "link to a folder": lambda: _replaced(path, lambda p: p.symlink_to(p.parent)),
        "link to a device": lambda: _replaced(path, lambda p: p.symlink_to("/dev/null")),
        "pipe": lambda: _replaced(path, os.mkfifo),
        "gone": path.unlink,
    }
    if path.suffix == ".json":
        kinds |= {f"odd field {n}": lambda: path.write_text(json.dumps(_odd(json.loads(body), chance))) for n in range(8)}
    if path.suffix == ".parquet":
        kinds |= {f"odd column {n}": lambda: _odd_column(path, chance) for n in range(4)}
    kind = chance.choice(sorted(kinds))
    kinds[kind]()
    return kind


def _flipped(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(min(len(body), chance.choice((1, 1, 1, 3, 20)))):
        changed[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _odd(value: Any, chance: random.Random) -> Any:
    """Change, drop or add a field somewhere inside plain values."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {n: v for n, v in value.items() if n != name}
        return {**value, name: _odd(value[name], chance) if chance.random() < 0.5 else chance.choice(ODD)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], _odd(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def _odd_column(path: Path, chance: random.Random) -> None:
    """Write the table again with a column that is gone, of another type, null or of odd values."""
    table = pq.read_table(path)
    at = chance.randrange(table.num_columns)
    name, rows = table.column_names[at], len(table)
    made: list[Any] = [
        pa.nulls(rows, pa.string()), pa.array(["\u0000x{"] * rows), pa.array([-1] * rows, pa.int64()),
        pa.array([2**62] * rows, pa.int64()), pa.array([float("nan")] * rows), pa.array([float("inf")] * rows),
        pa.array([[1.0]] * rows, pa.list_(pa.float32())), pa.array([b"\xff"] * rows, pa.binary()),
    ]
    column = chance.choice([None, *made])
    changed = table.remove_column(at) if column is None else table.set_column(at, name, column)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)


def trials(count: int, seed: int, *, only: int | None = None) -> Iterator[Trial]:
    """Damage an object of a fresh copy and run one command that reads and one that writes, again and again."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="damaged-store-") as scratch, _composed_once():
        base = Path(scratch) / "base"
        make_store(base)
        seeds = [chance.getrandbits(32) for _ in range(count)]
        for number, own in enumerate(seeds):
            if only is None or number == only:
                yield from _trial(base, number, random.Random(own))


def _trial(base: Path, number: int, chance: random.Random) -> Iterator[Trial]:
    objects = FolderObjects(base / "store")
    keys = [stat.key for stat in objects.list() if not stat.key.startswith("review.sqlite")]
    # A folder at random first, so that hundreds of data files do not crowd out the few that matter most.
    kind = chance.choice(sorted({"/".join(key.split("/")[:2]).partition("=")[0] for key in keys}))
    key = chance.choice([key for key in keys if key.startswith(kind)])
    kept = base.with_name("kept")
    for path in (base, kept):
        if path is kept:
            shutil.copytree(base, kept)
    root = base / "store"
    try:
        harm = damage(root / key, chance, [root / other for other in keys if other != key])
        lines = commands(base)
        reads = chance.sample(sorted(name for name in lines if name[0] != "!"), 2)
        for name in (*reads, chance.choice(sorted(name for name in lines if name[0] == "!"))):
            yield _run(root, number, key, harm, tuple(lines[name]), writes=name[0] == "!")
    finally:
        shutil.rmtree(base)
        kept.rename(base)


def _run(root: Path, number: int, key: str, harm: str, words: tuple[str, ...], *, writes: bool) -> Trial:
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_S)
    before, out, err = _digests(root, key), io.StringIO(), io.StringIO()
    code: int | None = None
    problem = ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _quiet():
            code = run_command(list(words))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        problem = "traceback: " + "".join(traceback.format_exception(error))[-1500:]
    finally:
        signal.alarm(0)
    told = out.getvalue() + err.getvalue()
    if not problem and code not in (0, 1, 2, 4):
        problem = f"exit code {code}: {told[-300:]}"
    if not problem and "Traceback" in told:
        problem = f"a traceback was printed: {told[-1500:]}"
    named = Path(key).name.removesuffix(".json")[:16] in told or key in told or "the row of `" in told
    named = named or "snapshot is '" in told  # a version that is not there, beside those that are
    waits = "results that no snapshot has" in told  # going back asks for them to be published first
    if not problem and code in (2, 4) and not named and not waits:
        problem = f"exit {code} and nothing is named: {told[-300:]}"
    after = _digests(root, key)
    changed = [name for name, digest in before.items() if after.get(name) != digest and not _may(name, key, writes)]
    if not problem and changed:
        problem = f"changed: {', '.join(changed[:5])}"
    return Trial(number, key, harm, words, code, problem)


def _too_long(_signal: int, _frame: object) -> None:
    raise AssertionError(f"it took more than {LIMIT_S} s")


def _may(name: str, damaged: str, writes: bool) -> bool:
    """Whether a command that writes may change an object that is there."""
    version = damaged.removeprefix("snapshots/").removesuffix(".json")
    if "/" not in version and version in name:  # what lies beside a snapshot counts for nothing without it
        return writes
    return writes and (name.startswith(OURS_TO_WRITE) or name.endswith(("card.json", "README.md")))


def _digests(root: Path, damaged: str) -> dict[str, str]:
    paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {str(path.relative_to(root)): path for path in paths if not path.name.startswith((".~", "review.sqlite"))}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names.items() if name != damaged}


@contextlib.contextmanager
def _composed_once() -> Iterator[None]:
    """Compose each command line's configuration a single time: that is most of what a command takes here."""
    compose = configure.compose
    known = functools.cache(lambda name, schema, overrides: compose(name, schema, overrides))
    configure.compose = lambda name, schema, overrides=(): copy.deepcopy(known(name, schema, tuple(overrides)))
    try:
        yield
    finally:
        configure.compose = compose


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    console.file = io.StringIO()
    try:
        yield
    finally:
        # None, as it was made: what it gives as its file is the stream of this moment, which later tests do not capture.
        console.file = None


def main() -> int:
    """Run the campaign and print what went wrong; returns how many trials that were, 1 at most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one trial of these, by number")
    asked = parser.parse_args()
    began, codes, bad = time.monotonic(), Counter[str](), 0
    for trial in trials(asked.count, asked.seed, only=asked.only):
        codes[str(trial.code)] += 1
        if trial.problem or asked.only is not None:
            bad += bool(trial.problem)
            words = " ".join(trial.words[:3])
            print(f"{trial.number} {trial.key} {trial.harm}: labeling {words} -> {trial.code} {trial.problem}", flush=True)
    told = f"{asked.count} damaged objects, {sum(codes.values())} commands in {time.monotonic() - began:.0f} s"
    print(f"{told}: {bad} went wrong; exit codes {dict(sorted(codes.items()))}")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
