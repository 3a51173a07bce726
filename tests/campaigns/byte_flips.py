"""Damaged video files, by the thousand: `python -m tests.campaigns.byte_flips [COUNT] [--seed N]`.

Small clips in five containers have bytes flipped, cut off, put in, taken out or doubled, and are read to their end by both
readers in a process with limits of time and memory. Right is: the same frames from both, or the same named error from both.
Anything else is printed with the number of its case (`--only K` reads that one again), and the exit status is 1. `unsteady`
are files of which both give the same once frames are decoded one after another: FFmpeg's threads fill in what damage left
open as they come to it, so that no two readings need agree.
"""

import argparse
import hashlib
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fixtures_clips import write_clip

CASES = 10_000
LIMIT_S = 20.0
MEMORY_BYTES = 8 << 30      # of addresses; torch alone reserves some
GROUPS = {"g": "8", "bf": "2"}
CLIPS: dict[str, dict[str, Any]] = {
    "plain.mp4": {"options": GROUPS},
    "web.mp4": {"options": GROUPS, "container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"options": GROUPS, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": GROUPS},
    "h264.mkv": {"options": GROUPS},
    "ffv1.mkv": {"codec": "ffv1", "num_frames": 6},
    "mpeg4.avi": {"codec": "mpeg4", "options": GROUPS},
    "h264.avi": {"options": GROUPS},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "num_frames": 8},
    "h264.ts": {"options": {**GROUPS, "x264-params": "repeat-headers=1"}},
    "mpeg2.ts": {"codec": "mpeg2video", "rate": 25, "options": GROUPS},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "8", "auto-alt-ref": "1"}},
    "vp8.webm": {"codec": "libvpx", "options": {"lag-in-frames": "8", "auto-alt-ref": "1"}},
}


def damaged(clips: dict[str, bytes], case: int, seed: int) -> tuple[str, bytes]:
    """Return a case's file name and content; the same for the same seed. Half of the damage lies in the first part."""
    rng = random.Random(seed * 1_000_003 + case)
    container = rng.choice(sorted({name.rpartition(".")[2] for name in clips}))
    name = rng.choice([name for name in clips if name.endswith(container)])
    content = bytearray(clips[name])

    def place() -> int:
        return rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 1200))

    def stretch() -> slice:
        at = place()
        return slice(at, at + rng.choice((1, 4, 16, 188, 700)))

    kind = rng.choice(("flip", "flip", "set", "cut", "insert", "remove", "repeat", "zero"))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if kind == "flip":
            content[place()] ^= 1 << rng.randrange(8)
        elif kind == "set":
            content[place()] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == "insert":
            at = place()
            content[at:at] = rng.randbytes(rng.choice((1, 3, 4, 64, 188)))
        elif kind == "repeat":
            part = stretch()
            content[part.stop:part.stop] = content[part]
        elif kind == "zero":
            part = stretch()
            content[part] = bytes(len(content[part]))
        elif kind == "remove" and len(content) > 2000:
            del content[stretch()]
    if kind == "cut":
        del content[rng.randrange(len(content)):]
    return name, bytes(content)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reader made of a file: `frames` with their number and digest, `named` with reason and words, or a `fault`."""

    kind: str
    what: str
    digest: str = ""


def outcome_of(read: Callable[[], Iterator[Any]], named: type[Exception]) -> Outcome:
    """Read a file to its end and say what came of it."""
    digest, count = hashlib.sha256(), 0
    try:
        for rgb_HW3 in read():
            digest.update(repr(rgb_HW3.shape).encode() + rgb_HW3.tobytes())
            count += 1
    except named as error:
        reason = getattr(error, "reason", "") or getattr(error.__cause__, "reason", "")
        if not reason:
            return Outcome("fault", f"{type(error).__name__} without a reason: {error}")
        return Outcome("named", f"{reason}: {error}")
    except Exception as error:
        return Outcome("fault", f"{type(error).__name__}: {error}")
    return Outcome("frames", str(count), digest.hexdigest())


def read_both(path: Path) -> tuple[Outcome, Outcome]:
    """Read one file by `sam2` and by the pipeline."""
    from labeling.errors import BadInput
    from labeling.ingest.decode import FrameReader
    from labeling.ingest.probe import probe
    from labeling.types import VideoRef
    from sam2.video.video_file import VideoFile

    def by_sam2() -> Iterator[Any]:
        video = VideoFile(path, side=16)
        yield from (video.rgb_HW3(k) for k in range(video.num_frames))
        video.close()

    def by_pipeline() -> Iterator[Any]:
        video = probe(VideoRef("0" * 16, path.name, str(path), "c", 1), path)
        with FrameReader(path, video, range(video.num_frames)) as frames:
            yield from frames

    sam2, pipeline = outcome_of(by_sam2, ValueError), outcome_of(by_pipeline, BadInput)
    if sam2.kind == pipeline.kind == "frames" and sam2.what == pipeline.what and sam2.digest != pipeline.digest:
        with one_after_another():
            sam2, pipeline = outcome_of(by_sam2, ValueError), outcome_of(by_pipeline, BadInput)
        if sam2 == pipeline:
            return Outcome("unsteady", sam2.what), Outcome("unsteady", sam2.what)
    return sam2, pipeline


@contextmanager
def one_after_another() -> Iterator[None]:
    """Have frames decoded one after another: what damage left open is then filled in the same way each time."""
    from sam2.video import decoder, file_index

    file_index._remembered.cache_clear()
    shared = file_index.threads_for
    decoder.threads_for = file_index.threads_for = lambda _: "SLICE"
    try:
        yield
    finally:
        decoder.threads_for = file_index.threads_for = shared


def work(connection: Connection) -> None:
    """Read files until told to stop; the process that may be lost to a crash."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while (path := connection.recv()) is not None:
        connection.send(read_both(Path(path)))


@dataclass(slots=True)
class Worker:
    """A process that reads files, made anew where one was lost."""

    process: Any = None
    connection: Connection | None = None

    def read(self, path: Path, limit_s: float) -> tuple[Outcome, Outcome]:
        """Return what both readers made of a file, or the same fault for both where the process died or hung."""
        started = self.connection is None
        if started:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=work, args=(other,), daemon=True)
            self.process.start()
            other.close()
        assert self.connection
        try:
            self.connection.send(str(path))
            # The first file waits for imports too.
            if self.connection.poll(limit_s + (120 if started else 0)):
                return self.connection.recv()
            fault = Outcome("hang", f"no answer within {limit_s:.0f} s")
        except (EOFError, OSError):
            self.process.join(10)
            code = self.process.exitcode
            fault = Outcome("crash", signal.Signals(-code).name if code and code < 0 else f"exit status {code}")
        self.close()
        return fault, fault

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        if self.connection is not None:
            self.connection.close()
        self.process = self.connection = None


@dataclass(slots=True)
class Figures:
    """What a campaign found; `wrong` are the cases that are neither frames nor a named error, alike from both readers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def add(self, label: str, outcomes: tuple[Outcome, Outcome], seconds: float) -> None:
        sam2, pipeline = outcomes
        self.slowest_s = max(self.slowest_s, seconds)
        alike = sam2 == pipeline
        right = alike and sam2.kind in ("frames", "named", "unsteady")
        self.outcomes[sam2.what.partition(":")[0] if sam2.kind == "named" else sam2.kind] += 1
        if not right:
            why = "" if not alike else " alike"
            self.wrong.append(f"{label}{why}: sam2 {sam2}; pipeline {pipeline}")


def campaign(count: int, seed: int, *, only: int | None = None, limit_s: float = LIMIT_S) -> Figures:
    """Read `count` damaged files and return the figures."""
    figures, worker = Figures(), Worker()
    with tempfile.TemporaryDirectory() as folder:
        clips = {name: write_clip(Path(folder) / name, **how).read_bytes() for name, how in CLIPS.items()}
        try:
            for case in range(count) if only is None else (only,):
                name, content = damaged(clips, case, seed)
                path = Path(folder) / f"case-{name}"
                path.write_bytes(content)
                began = time.monotonic()
                outcomes = worker.read(path, limit_s)
                figures.add(f"case {case} ({name})", outcomes, time.monotonic() - began if case else 0.0)
        finally:
            worker.close()
    return figures


def main() -> int:
    """Run a campaign and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read one case alone")
    given = parser.parse_args()
    began = time.monotonic()
    figures = campaign(given.count, given.seed, only=given.only)
    print("\n".join(figures.wrong))
    shown = ", ".join(f"{name} {number}" for name, number in figures.outcomes.most_common())
    spent = f"{time.monotonic() - began:.0f} s, the slowest in {figures.slowest_s:.1f} s"
    print(f"{sum(figures.outcomes.values())} files in {spent}: {shown}")
    print(f"{len(figures.wrong)} are neither the same frames nor the same named error")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
