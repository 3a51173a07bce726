"""The demo's clips: drawn by formula, so that the true masks are known to the pixel, and one file that is broken."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av

from flows.demo.shapes import Bools, Image8, Mover, draw_frame, ground_HW3, texture_TT3
from labeling import rle
from labeling.geometry import box_xyxy_of
from labeling.types import RLE, Box

FRAME_RATE = Fraction(12)
BROKEN = "broken.mp4"


@dataclass(frozen=True, slots=True)
class DemoClip:
    """One clip: what lies behind, what moves over it (in drawing order), how long and how large."""

    name: str
    shapes: tuple[Mover, ...]
    ground_rgb: tuple[int, int, int]
    seed: int
    size_hw: tuple[int, int] = (270, 480)
    num_frames: int = 40


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What `render_demo` made: the clips that can be labelled, the prompt table, and the true masks by video, object and frame.

    `masks[video][object_id][i]` is the mask of the visible part on frame i, empty where the object is hidden or away;
    `first_frame[video][object_id]` is the frame of its prompt. `broken` names the file that cannot be labelled.
    """

    folder: Path
    videos: tuple[str, ...]
    prompts: Path
    truth: Path
    masks: Mapping[str, Mapping[int, tuple[RLE, ...]]]
    first_frame: Mapping[str, Mapping[int, int]]
    broken: str = BROKEN

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the prompt table names: the clips and the broken one."""
        return (*self.videos, self.broken)


def _line(x0: float, y0: float, x1: float, y1: float) -> Callable[[float], tuple[float, float]]:
    return lambda time: (x0 + (x1 - x0) * time, y0 + (y1 - y0) * time)


def _spin(turns: float) -> Callable[[float], float]:
    return lambda time: 2 * math.pi * turns * time


def _there_and_back(x0: float, x1: float, y: float) -> Callable[[float], tuple[float, float]]:
    """From x0 to x1 and back along half a sine, so that it slows down where it turns."""
    return lambda time: (x0 + (x1 - x0) * math.sin(math.pi * time), y + 12 * math.sin(4 * math.pi * time))


def _hop(x0: float, x1: float, y: float, height: float) -> Callable[[float], tuple[float, float]]:
    return lambda time: (x0 + (x1 - x0) * time, y - height * abs(math.sin(3 * math.pi * time)))


def _clips() -> tuple[DemoClip, ...]:
    bar = Mover(0, 40, lambda time: (250, 135), (84, 70, 62), 31, stretch_xy=(1.0, 4.0), square=True, category="bar")
    return (
        DemoClip("glide.mp4", (
            Mover(1, 38, _line(90, 90, 380, 170), (226, 120, 54), 11, _spin(0.5), lobes=5, bulge=0.14, category="star"),
            Mover(2, 27, _hop(400, 80, 215, 55), (64, 150, 214), 12, _spin(-0.4), square=True, category="box"),
        ), (120, 136, 104), 1),
        DemoClip("behind_bar.mp4", (
            Mover(1, 30, _line(70, 140, 420, 128), (214, 70, 90), 21, _spin(0.8), category="ball"), bar,
        ), (150, 140, 118), 2, num_frames=48),
        DemoClip("out_and_back.mp4", (
            Mover(1, 34, _there_and_back(250, 545, 130), (236, 190, 60), 41, _spin(1), lobes=3, bulge=0.12, category="ball"),
        ), (92, 118, 142), 3, num_frames=48),
        DemoClip("late_start.mp4", (
            Mover(1, 30, _line(110, 200, 300, 70), (150, 96, 200), 51, _spin(0.3), stretch_xy=(1.5, 1.0), category="bean"),
            Mover(2, 26, _line(390, 60, 300, 215), (72, 180, 120), 52, _spin(0.6), square=True, first_frame=12, category="box"),
        ), (134, 122, 128), 4),
        DemoClip("crossing.mp4", (
            Mover(1, 34, _line(80, 100, 400, 165), (70, 160, 190), 61, _spin(0.2), stretch_xy=(1.3, 1.0), category="bean"),
            Mover(2, 31, _line(400, 120, 80, 130), (230, 130, 150), 62, _spin(-0.5), lobes=4, bulge=0.12,
                  grow=lambda time: 1 + 0.2 * math.sin(2 * math.pi * time), category="star"),
        ), (112, 126, 112), 5),
        # Nothing but their paths tells these two apart: what the judge ought to leave to a person.
        DemoClip("twins.mp4", (
            Mover(1, 30, _line(70, 130, 410, 140), (214, 150, 70), 71, _spin(0.5), category="ball"),
            Mover(2, 30, _line(410, 140, 70, 130), (214, 150, 70), 71, _spin(0.5), category="ball"),
        ), (126, 122, 112), 6),
    )


def clip_names() -> tuple[str, ...]:
    """Return the names of the clips that can be labelled, in the order that they are drawn."""
    return tuple(clip.name for clip in _clips())


def _drawn(clip: DemoClip) -> Iterator[tuple[Image8, dict[int, Bools]]]:
    ground = ground_HW3(clip.size_hw, colour_rgb=clip.ground_rgb, seed=clip.seed)
    textures = [texture_TT3(shape.colour_rgb, seed=shape.seed) for shape in clip.shapes]
    for frame_idx in range(clip.num_frames):
        yield draw_frame(ground, clip.shapes, textures, frame_idx=frame_idx, num_frames=clip.num_frames)


def write_mp4(path: Path, frames: Iterable[Image8], frame_rate: Fraction) -> None:
    """Write frames (H, W, 3) of one size as H.264 with little loss; a ValueError where there are none."""
    rest = iter(frames)
    first_HW3 = next(rest, None)
    if first_HW3 is None:
        raise ValueError(f"frames for {path} are none; expected one or more")
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"crf": "12", "preset": "veryfast", "threads": "1"}      # one thread writes the same bytes each time
        stream = container.add_stream("libx264", rate=frame_rate, options=options)
        stream.height, stream.width = first_HW3.shape[:2]
        stream.pix_fmt = "yuv420p"
        for rgb_HW3 in chain((first_HW3,), rest):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb_HW3, format="rgb24")))
        container.mux(stream.encode())


def _encode(path: Path, clip: DemoClip) -> dict[int, tuple[RLE, ...]]:
    """Write a clip and return its true masks by object."""
    masks: dict[int, list[RLE]] = {shape.object_id: [] for shape in clip.shapes if shape.object_id}

    def frames() -> Iterator[Image8]:
        for rgb_HW3, visible in _drawn(clip):
            for object_id, mask_HW in visible.items():
                masks[object_id].append(rle.encode(mask_HW))
            yield rgb_HW3

    write_mp4(path, frames(), FRAME_RATE)
    return {object_id: tuple(rles) for object_id, rles in masks.items()}


def _box_xyxy(mask: RLE) -> Box:
    box = rle.box_xywh(mask)
    if box is None:
        raise ValueError("the object is not visible on the frame of its prompt; expected a mask with a pixel")
    return box_xyxy_of(box)


def _prompt_rows(clip: DemoClip, masks: Mapping[int, tuple[RLE, ...]]) -> Iterator[dict[str, object]]:
    """One box an object, on its first frame."""
    for shape in (shape for shape in clip.shapes if shape.object_id):
        box_xyxy = _box_xyxy(masks[shape.object_id][shape.first_frame])
        yield {
            "video": clip.name, "object_id": shape.object_id, "frame_idx": shape.first_frame,
            "category": shape.category, "box_xyxy": box_xyxy,
        }


def _break(folder: Path, whole: Path) -> dict[str, object]:
    """Write the first third of a file, whose index then points past its end, and return a prompt for it."""
    body = whole.read_bytes()
    (folder / BROKEN).write_bytes(body[: len(body) // 3])
    return {"video": BROKEN, "object_id": 1, "frame_idx": 0, "category": "ball", "box_xyxy": (200.0, 80.0, 280.0, 160.0)}


def _as_json(clips: Mapping[str, DemoClip], masks: Mapping[str, Mapping[int, tuple[RLE, ...]]]) -> dict[str, object]:
    def objects_of(clip: DemoClip, rles: Mapping[int, tuple[RLE, ...]]) -> dict[str, object]:
        starts = {shape.object_id: shape.first_frame for shape in clip.shapes}
        return {
            "size_hw": clip.size_hw,
            "objects": {
                str(i): {"first_frame": starts[i], "counts": [mask.counts for mask in visible]} for i, visible in rles.items()
            },
        }

    return {name: objects_of(clips[name], rles) for name, rles in masks.items()}


def read_demo(folder: Path) -> DemoTruth:
    """Read back what `render_demo` left in `folder`; FileNotFoundError when it is not there."""
    truth = folder / "truth.json"
    masks: dict[str, dict[int, tuple[RLE, ...]]] = {}
    starts: dict[str, dict[int, int]] = {}
    for name, clip in json.loads(truth.read_text(encoding="ascii")).items():
        height, width = clip["size_hw"]
        objects = {int(i): entry for i, entry in clip["objects"].items()}
        masks[name] = {i: tuple(RLE((height, width), counts) for counts in entry["counts"]) for i, entry in objects.items()}
        starts[name] = {i: int(entry["first_frame"]) for i, entry in objects.items()}
    return DemoTruth(folder, tuple(masks), folder / "prompts.jsonl", truth, masks, starts)


def render_demo(folder: Path) -> DemoTruth:
    """Draw the demo's clips into `folder` with `prompts.jsonl` and `truth.json` beside them; the same pictures each time."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = {clip.name: clip for clip in _clips()}
    masks = {name: _encode(folder / name, clip) for name, clip in clips.items()}
    rows = [row for name, clip in clips.items() for row in _prompt_rows(clip, masks[name])]
    rows.append(_break(folder, folder / "out_and_back.mp4"))
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    (folder / "prompts.jsonl").write_text(text, encoding="ascii")
    (folder / "truth.json").write_text(json.dumps(_as_json(clips, masks)), encoding="ascii")
    return read_demo(folder)
