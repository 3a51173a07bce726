"""What cuts cost and what heeding them is worth: `python -m tests.bench.splices [--clips 24] [--videos FOLDER]`.

A clip is cut in two, and one of another scene is spliced in between (A-B-A). Cuts are found while frames are read; the object
of A is tracked with and without heeding them. Prints F1 of the cuts, J&F over all frames, the share of B's frames that have a
mask, and what finding cuts adds to decoding. `--videos` names a folder of real clips: each is A once, the next one is B; what
is tracked of A alone stands in for the truth.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from flows.learn.evaluate import ClipFrames
from flows.quality.clips import Case, draw_case
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.geometry import j_and_f
from labeling.ingest.cuts import ShotFrames, change, small_picture
from labeling.ingest.decode import FrameReader
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.track.follow import follow
from labeling.track.predictor import Predictor, build_predictor, recipe_of
from labeling.types import Prompt

Image8, Bools = npt.NDArray[np.uint8], npt.NDArray[np.bool_]
KINDS = (("scenes", "plain"), ("solids", "plain"), ("lookalikes", "plain"), ("scenes", "exit_return"), ("solids", "shrink"))
A, B, SIZE_HW = 24, 10, (192, 256)


@dataclass(frozen=True, slots=True)
class Splice:
    """A-B-A: frames (T, H, W, 3), the object's mask on each (T, H, W), and the first frames of B and of the second A."""

    name: str
    frames_THW3: Image8
    true_THW: Bools
    cuts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How tracking went: J&F behind the prompt, J&F on the second A, and how many frames of B have a mask."""

    quality: float
    after: float
    masked: int


def splice(name: str, a_THW3: Image8, b_THW3: Image8, true_THW: Bools, at: int) -> Splice:
    """Cut A at a frame and put B in between."""
    nothing = np.zeros((len(b_THW3), *true_THW.shape[1:]), bool)
    frames = np.concatenate([a_THW3[:at], b_THW3, a_THW3[at:]])
    return Splice(name, frames, np.concatenate([true_THW[:at], nothing, true_THW[at:]]), (at, at + len(b_THW3)))


def drawn(count: int) -> Iterator[Splice]:
    """Splices of drawn clips whose truth is known; the object is seen on either side of B."""
    number = made = 0
    while made < count:
        number += 1
        generator, variant = KINDS[number % len(KINDS)]
        clip = draw_case(Case(generator, variant, 80_000 + number, A, SIZE_HW))
        other = draw_case(Case("solids" if generator == "scenes" else "scenes", "plain", 90_000 + number, B, SIZE_HW))
        at = 8 + number % 7
        seen_N = clip.masks_NTHW[:, [0, at - 1, at, A - 1]].any(axis=(2, 3)).all(axis=1)
        if seen_N.any() and clip.frames_THW3.shape[1:] == other.frames_THW3.shape[1:]:
            made += 1
            yield splice(
                f"{generator} {variant}", clip.frames_THW3, other.frames_THW3, clip.masks_NTHW[int(seen_N.argmax())], at
            )


def real(folder: Path, predictor: Predictor) -> Iterator[Splice]:
    """Splices of real clips, 320 pixels across; what is tracked from a box on A alone stands in for the truth."""
    paths = sorted(folder.glob("*.mp4"))
    for path, other in zip(paths, [*paths[1:], *paths[:1]], strict=True):
        a_THW3, b_THW3 = pictures(path, 2 * A), pictures(other, B)
        height, width = a_THW3.shape[1:3]
        middle = Prompt(0, 0, box_xyxy=(0.3 * width, 0.2 * height, 0.7 * width, 0.9 * height))
        alone = follow(predictor, ClipFrames(a_THW3), [middle], size_hw=(height, width))
        true_THW = np.stack([rle.decode(t.mask.rle) for t in alone])
        yield splice(path.stem, a_THW3, b_THW3, true_THW, A)


def pictures(path: Path, count: int) -> Image8:
    """The first frames of a clip, every second one, 320 x 180."""
    with FrameReader(path, probe(ref_of(str(path)), path), range(0, 2 * count, 2)) as reader:
        return np.stack([np.asarray(Image.fromarray(reader[k]).resize((320, 180))) for k in range(count)])


def tracked(predictor: Predictor, made: Splice, *, heed: bool) -> tuple[Outcome, set[int]]:
    """Track from the true mask on the first frame; the outcome and the cuts that were found."""
    shots = ShotFrames(ClipFrames(made.frames_THW3))
    prompt = Prompt(0, 0, mask=rle.encode(made.true_THW[0]))
    size_hw = made.true_THW.shape[1], made.true_THW.shape[2]
    found = follow(predictor, shots, [prompt], size_hw=size_hw, cuts=shots.cuts if heed else None)
    masks_THW = np.stack([rle.decode(t.mask.rle) for t in found])
    first, last = made.cuts
    return Outcome(
        j_and_f(masks_THW[1:], made.true_THW[1:]).j_and_f,
        j_and_f(masks_THW[last:], made.true_THW[last:]).j_and_f,
        int(masks_THW[first:last].any(axis=(1, 2)).sum()),
    ), set(shots.cuts)


def f1_of(pairs: Sequence[tuple[set[int], set[int]]]) -> float:
    """F1 of found cuts beside true ones, over all clips."""
    right = sum(len(found & true) for found, true in pairs)
    return 2 * right / max(1, sum(len(found) + len(true) for found, true in pairs))


def compare(predictor: Predictor, splices: Iterator[Splice]) -> None:
    """Track each splice twice and print."""
    pairs: list[tuple[set[int], set[int]]] = []
    plain: list[Outcome] = []
    heeding: list[Outcome] = []
    shown = 0
    for made in splices:
        shown += made.cuts[1] - made.cuts[0]
        plain.append(tracked(predictor, made, heed=False)[0])
        outcome, found = tracked(predictor, made, heed=True)
        heeding.append(outcome)
        pairs.append((found, set(made.cuts)))
        print(f"{made.name:<22} cuts {sorted(found)} of {list(made.cuts)}; plain {plain[-1]}, heeding {outcome}", flush=True)
    print(f"{len(pairs)} splices: cut F1 {f1_of(pairs):.3f}")
    for name, outcomes in (("plain", plain), ("cuts heeded", heeding)):
        quality, after = (np.mean([getattr(o, part) for o in outcomes]) for part in ("quality", "after"))
        masked = sum(o.masked for o in outcomes)
        print(f"{name:<12} J&F {quality:.3f}, on the second A {after:.3f}, masks on {masked} of {shown} frames of B")


def cost(path: Path, count: int = 60) -> None:
    """Print what finding cuts adds to decoding."""
    with FrameReader(path, probe(ref_of(str(path)), path), range(count)) as reader:
        started = time.process_time()
        frames = [reader[k] for k in range(count)]
        decoded = time.process_time()
    small = [small_picture(frame) for frame in frames]
    for before, after in zip(small, small[1:], strict=False):
        change(before, after)
    seen = time.process_time()
    decode_ms, find_ms = 1000 * (decoded - started) / count, 1000 * (seen - decoded) / count
    print(f"{path.name}: decoding {decode_ms:.2f} ms a frame, finding cuts {find_ms:.2f} ms: {find_ms / decode_ms:.1%}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--videos", type=Path)
    given = parser.parse_args()
    model = NetworkConfig(name="nano", config="sam2.1_nano", image_size=given.image_size)
    predictor = build_predictor(recipe_of(model, PrecisionConfig(), TrackerConfig(name="samurai")), None, device="cpu")
    if given.clips:
        compare(predictor, drawn(given.clips))
    if given.videos:
        compare(predictor, real(given.videos, predictor))
        for path in sorted(given.videos.glob("*.mp4")):
            cost(path)


if __name__ == "__main__":
    main()
