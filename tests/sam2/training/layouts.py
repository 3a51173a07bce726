"""Small datasets on disk: a bright square that steps to the right on a dark ground, object 1, above a still one, object 2."""

import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image
from pycocotools import mask as coco

SIZE_HW = (48, 64)
LEVEL = 20      # a frame's ground is this much brighter than the one before, so that a frame says which it is


def square(frame: int) -> np.ndarray:
    mask = np.zeros(SIZE_HW, bool)
    mask[4:16, 2 + 3 * frame : 14 + 3 * frame] = True
    return mask


def still() -> np.ndarray:
    mask = np.zeros(SIZE_HW, bool)
    mask[30:44, 10:40] = True
    return mask


def picture(frame: int) -> np.ndarray:
    rgb = np.full((*SIZE_HW, 3), 10 + LEVEL * frame, np.uint8)
    rgb[square(frame)], rgb[still()] = 250, 230
    return rgb


def frame_of(rgb_HW3: np.ndarray) -> int:
    """Return which frame a picture is, off its ground."""
    return round((int(rgb_HW3[-1, -1].mean()) - 10) / LEVEL)


def write_davis(root: Path, videos: dict[str, Sequence[bool]], *, level: str = "480p") -> Path:
    """Write videos by name; each flag says whether a frame shows the objects. Object 2 is there from frame 1 on."""
    for name, shown in videos.items():
        frames, masks = root / "JPEGImages" / level / name, root / "Annotations" / level / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame, flag in enumerate(shown):
            numbers = (square(frame) + 2 * (still() if frame else 0)).astype(np.uint8) * flag
            numbers[0, :5] = 255     # void
            indexed = Image.fromarray(numbers, mode="P")
            indexed.putpalette([k * 85 % 256 for k in range(768)])
            indexed.save(masks / f"{frame:05d}.png")
            Image.fromarray(picture(frame)).save(frames / f"{frame:05d}.jpg", quality=95)
    return root


def write_sav_video(folder: Path, name: str, *, labelled: int = 3) -> None:
    """Write an mp4 of 4 frames for each labelled one, object 1 by hand and object 2 by machine."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / f"{name}.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"crf": "5", "g": "6"})
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "yuv420p"
        for frame in range(4 * labelled - 2):
            shown = picture(frame // 4) if frame % 4 == 0 else np.zeros((*SIZE_HW, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(stream.encode(None))
    for kind, mask in {"manual": square, "auto": lambda _: still()}.items():
        rows = [[run_lengths(mask(frame))] for frame in range(labelled)]
        (folder / f"{name}_{kind}.json").write_text(json.dumps({"video_id": name, "masklet": rows}))


def run_lengths(mask: np.ndarray) -> dict[str, object]:
    made = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in made["size"]], "counts": made["counts"].decode()}


def write_sav_pictures(root: Path, name: str, *, labelled: int = 3) -> None:
    """Write 24 pictures a second and masks of every fourth, object 000 the square; 001 lacks its first file."""
    frames = root / "JPEGImages_24fps" / name
    frames.mkdir(parents=True)
    for frame in range(4 * labelled):
        Image.fromarray(picture(frame // 4)).save(frames / f"{frame:05d}.jpg", quality=95)
    for k in range(2):
        masks = root / "Annotations_6fps" / name / f"{k:03d}"
        masks.mkdir(parents=True)
        for frame in range(k, labelled):
            Image.fromarray((square(frame) if k == 0 else still()).astype(np.uint8) * 255).save(masks / f"{4 * frame:05d}.png")
