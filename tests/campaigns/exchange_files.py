"""Mutated CVAT and Label Studio files: each is read or refused by a named error, in limits of time and memory.

`python -m tests.campaigns.exchange_files [COUNT] [--seed N]`. Files are read in a process of its own whose address space is
limited; a case is wrong where the process dies, a file takes over 10 s, or anything but BadInput naming the file comes out.
"""

import argparse
import io
import json
import multiprocessing
import random
import resource
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labeling import rle
from labeling.errors import BadInput
from labeling.review.cvat import read_cvat
from labeling.review.label_studio import encode_brush, read_label_studio

CASES = 2_000
MOST_SECONDS, MOST_LETTERS, MOST_ADDRESSES = 10.0, 2_000, 4 << 30
MOST_RESIDENT_KB = 500 << 10
NUMBERS = (
    "0", "-1", "1", "12288", "9" * 30, str(2**63 - 1), str(2**31), "1e9", "NaN", "\u0661", "", " ", "2.5", "1000000", "8192",
)
READERS: dict[str, Callable[[Path], Sequence[Any]]] = {"cvat": read_cvat, "label_studio": read_label_studio}


@dataclass(slots=True)
class Figures:
    """What came of the cases, the slowest, the most memory, and what is wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    most_kb: int = 0
    wrong: list[str] = field(default_factory=list)


def cvat_body(rng: random.Random) -> bytes:
    """A file of CVAT's with a few of its numbers, tags or bytes changed, and sometimes in a ZIP that is changed too."""
    tracks = "".join(
        f'<track id="{k}" label="x" group_id="{k + 1}"><mask frame="{k}" outside="0" left="2" top="1" width="8" height="6" '
        f'rle="5, 20, 23"><attribute name="item">{k + 1}</attribute><attribute name="accepted">true</attribute></mask></track>'
        for k in range(4)
    )
    size = "<original_size><width>128</width><height>96</height></original_size>"
    text = f"<annotations><version>1.1</version><meta><task>{size}</task></meta>{tracks}</annotations>"
    body = _changed(rng, text, ("<a>", "</mask>", "<!DOCTYPE x>", "&lol;", "<a/>" * 9000, "\0", "<mask/>", "]]>"))
    if rng.random() < 0.3:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as packed:
            packed.writestr(rng.choice(("annotations.xml",) * 4 + ("../annotations.xml",)), body)
        body = _flipped(rng, out.getvalue())
    return body


def label_studio_body(rng: random.Random) -> bytes:
    """A file of Label Studio's, changed in the same ways."""
    mask_HW = np.zeros((12, 16), bool)
    mask_HW[3:7, 4:9] = True
    region = {"type": "brushlabels", "original_width": 16, "original_height": 12}
    region["value"] = {"format": "rle", "rle": encode_brush(rle.encode(mask_HW)), "brushlabels": ["x"]}
    tasks = [
        {"data": {"item": str(1 + k // 2), "frame": k, "frames": 2}, "annotations": [{"result": [region], "lead_time": 2.5}]}
        for k in range(4)
    ]
    return _changed(rng, json.dumps(tasks), ("[", "]", "{", ",", '"', "null", "[" * 50_000, "[]," * 9000, "1e400"))


def _changed(rng: random.Random, text: str, parts: Sequence[str]) -> bytes:
    digits = "0123456789"
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(text))
        if rng.random() < 0.5:
            while at < len(text) and text[at] not in digits:
                at += 1
            end = at
            while end < len(text) and text[end] in digits:
                end += 1
            text = text[:at] + rng.choice(NUMBERS) + text[end:]
        elif rng.random() < 0.5:
            text = text[:at] + rng.choice(parts) + text[at + rng.randint(0, 3) :]
        else:
            text = text[:at] + text[at + rng.randint(1, 30) :]
    return _flipped(rng, text.encode("utf-8", "replace"))


def _flipped(rng: random.Random, body: bytes) -> bytes:
    if rng.random() < 0.5:
        return body
    changed = bytearray(body)
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.choice((len(changed), rng.randrange(1, len(changed))))])


BODIES = {"cvat": cvat_body, "label_studio": label_studio_body}


def outcome_of(read: Callable[[Path], Sequence[Any]], path: Path) -> str:
    """Read a file: `read`, `refused`, or what is wrong."""
    try:
        read(path)
    except BadInput as error:
        told = str(error)
        good = str(path) in told and len(told) < MOST_LETTERS
        return "refused" if good else f"fault: {told[:300]}"
    except BaseException as error:
        return f"fault: {type(error).__name__}: {str(error)[:200]}"
    return "read"


def _serve(pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    while (case := pipe.recv()) is not None:
        kind, path = case
        pipe.send((outcome_of(READERS[kind], Path(path)), _most_resident_kb()))


def _most_resident_kb() -> int:
    """Return the most memory that this process held; getrusage would count what its parent held when it was begun."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


class Worker:
    """The process that reads, begun anew after it died or hung."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there,), daemon=True)
        self.process.start()
        there.close()

    def ask(self, kind: str, path: Path, timeout_s: float) -> tuple[str, int]:
        """Have a file read; returns the outcome and the most memory that the process has held, in kB."""
        self.pipe.send((kind, str(path)))
        try:
            if self.pipe.poll(timeout_s):
                outcome, most_kb = self.pipe.recv()
                return str(outcome), int(most_kb)
            return f"fault: over {timeout_s:.0f} s", 0
        except EOFError:
            return "fault: the process died", 0

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def campaign(count: int, seed: int) -> Figures:
    """Try so many files, one of each tool in turn."""
    figures, rng, worker = Figures(), random.Random(seed), Worker()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                kind = list(BODIES)[number % 2]
                path = Path(folder, f"{number}.{kind}")
                path.write_bytes(BODIES[kind](rng))
                began = time.monotonic()
                # The first has the imports to wait for.
                outcome, most_kb = worker.ask(kind, path, MOST_SECONDS if number else 120.0)
                figures.slowest_s = max(figures.slowest_s, time.monotonic() - began if number else 0.0)
                figures.most_kb = max(figures.most_kb, most_kb)
                figures.outcomes[f"{kind} {outcome.partition(':')[0]}"] += 1
                if outcome.startswith("fault"):
                    figures.wrong.append(f"case {number} ({kind}): {outcome}")
                    worker.close()
                    worker = Worker()
                path.unlink()
    finally:
        worker.close()
    if figures.most_kb > MOST_RESIDENT_KB:
        figures.wrong.append(f"{figures.most_kb} kB were held, expected at most {MOST_RESIDENT_KB}")
    return figures


def main() -> None:
    """Run the campaign and print its figures; exit code 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = campaign(given.count, given.seed)
    print(f"{given.count} files, slowest {figures.slowest_s:.1f} s, most {figures.most_kb >> 10} MiB:", dict(figures.outcomes))
    print("\n".join(figures.wrong[:20]) or "nothing wrong")
    raise SystemExit(bool(figures.wrong))


if __name__ == "__main__":
    main()
