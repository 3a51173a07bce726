"""How fast the review page's server gives a frame of a 1080p clip: `python -m tests.bench.seek [FRAMES] [KEY_EVERY]`.

Frames are sought at random, first with nothing made ahead, then once the item has been open for as long as it takes to make
all of its frames in the background. Prints, by how far the key frame before them lies, median and longest wall time and the
processor's time; and what making them took.
"""

import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.review.web.frames import FrameCache, Prefetcher, shown_width
from labeling.types import Video

SIZE_HW = (1080, 1920)
SEEKS, WIDTH = 60, 960
NEAR = (0, 10, 50, 125, 1 << 30)


def draw_clip(path: Path, num_frames: int, key_every: int) -> None:
    """A texture that moves under a fixed one, with some noise, as x264 codes video by default."""
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 255, (70, 130, 3)).astype(np.uint8)
    ground = np.kron(coarse, np.ones((17, 16, 1), np.uint8))
    noise = chance.integers(0, 12, (4, *SIZE_HW, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        options = {"crf": "23", "g": str(key_every), "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=Fraction(30), options=options)
        stream.height, stream.width = SIZE_HW
        stream.pix_fmt = "yuv420p"
        for number in range(num_frames):
            top, left = number % 100, (3 * number) % 150
            rgb = ground[top : top + SIZE_HW[0], left : left + SIZE_HW[1]] // 2 + noise[number % 4]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        container.mux(stream.encode(None))


def seeks(shelf: FrameCache, video: Video, key_every: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of random frames, by the distance of the key frame before."""
    chance, found = np.random.default_rng(1), defaultdict(list)
    shelf.jpeg(video, 0, width=WIDTH)       # opens the file
    for frame_idx in chance.integers(1, video.num_frames, SEEKS).tolist():
        began = time.perf_counter(), time.process_time()
        shelf.jpeg(video, frame_idx, width=shown_width(WIDTH, video))
        spent = time.perf_counter() - began[0], time.process_time() - began[1]
        away = frame_idx % key_every
        low, high = next((a, b) for a, b in zip(NEAR, NEAR[1:], strict=False) if a <= away < b)
        found[f"{low} to {min(high, key_every) - 1}"].append(spent)
    return found


def made_ahead(shelf: FrameCache, video: Video) -> tuple[float, float]:
    """Open an item of all frames and wait until they are there; wall and processor seconds."""
    began = time.perf_counter(), time.process_time()
    prefetcher, width, frames = Prefetcher(shelf), shown_width(WIDTH, video), range(video.num_frames)
    prefetcher.request(video, frames[:1], width=width, later=frames)
    while not all(shelf.has_jpeg(video, frame_idx, width=width) for frame_idx in frames):
        threading.Event().wait(0.1)
    prefetcher.close()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def shown(found: dict[str, list[tuple[float, float]]], title: str) -> Table:
    """Seeks as a table."""
    table = Table("frames past a key frame", "seeks", "median", "longest", "processor", title=title)
    for name, spent in sorted(found.items(), key=lambda pair: int(pair[0].split()[0])):
        wall, cpu = 1000 * np.array(spent).T
        table.add_row(name, str(len(spent)), f"{np.median(wall):.0f}", f"{wall.max():.0f}", f"{np.median(cpu):.0f}")
    return table


def main(num_frames: int, key_every: int) -> None:
    """Draw a clip, seek in it, print."""
    folder = Path(tempfile.mkdtemp(prefix="seek-bench-"))
    try:
        draw_clip(folder / "clip.mp4", num_frames, key_every)
        video = probe(ref_of(str(folder / "clip.mp4")), folder / "clip.mp4")
        shelf, console = FrameCache(folder / "scratch"), Console(width=120)
        console.print(shown(seeks(shelf, video, key_every), f"1080p, cold, a key frame every {key_every}; ms"))
        shelf.close()
        shelf = FrameCache(folder / "scratch")
        wall_s, cpu_s = made_ahead(shelf, video)
        each_ms = 1000 * cpu_s / num_frames
        console.print(f"{num_frames} frames made ahead in {wall_s:.1f} s, {each_ms:.1f} ms of the processor each")
        console.print(shown(seeks(shelf, video, key_every), "the same with the item open; ms"))
        shelf.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [500, 250][len(given):]))
