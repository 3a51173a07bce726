"""This package and the released one, in turns, on the same frames, weights, boxes and device; how fast, and how alike.

Legend: T frames, N objects, H, W the video's height and width.
"""

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.bench.clip import BenchClip, draw_bench_clip, write_jpegs
from flows.bench.measure import prompted
from flows.bench.peer_process import Peer, released_config, released_overrides
from flows.bench.profiling import settle
from flows.bench.results import BenchCase, PeerRow
from labeling.track.predictor import COMPILED, TrackerRecipe, arithmetic, build_predictor


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two sets of masks agree; fields as in `PeerRow`."""

    mean_iou: float
    equal_pixels: float
    visible: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: seconds a frame of propagation, and of all."""

    propagate_s: float
    whole_s: float


class _ReadBefore:
    """Frames of a source that were all read, as the released package reads them, so that propagation waits for none."""

    one_pass = False

    def __init__(self, source: Any) -> None:
        self.size_hw, self.num_frames = source.size_hw, source.num_frames
        self._read = [source.rgb_SS3(k) for k in range(source.num_frames)]

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < len(self._read)

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> npt.NDArray[np.uint8]:
        frame: npt.NDArray[np.uint8] = self._read[frame_idx]
        return frame


def like_the_release(recipe: TrackerRecipe) -> TrackerRecipe:
    """Return the recipe that both can follow: the release has no SAMURAI, and fills holes by an extension it may lack."""
    return dataclasses.replace(recipe, tracker="sam2", overrides={"fill_hole_area": 0})


def compare(checkout: Path, cases: list[BenchCase], *, threads: int) -> list[PeerRow]:
    """Measure every pair beside the released package of a checkout: frames/s of both, in turns, with the same weights.

    Rows come in the order of `cases`. Nothing is written but a temporary file of weights.

    Raises:
        BadConfiguration: a path that is no checkout, or a module that it needs and this environment lacks.
        LabelingError: whatever else the peer fails of.
    """
    import torch

    recipe, device = like_the_release(cases[0].recipe), cases[0].device
    predictor: Any = build_predictor(recipe, cases[0].checkpoint, device=device, encode_batch=cases[0].encode_batch)
    with tempfile.TemporaryDirectory() as folder, Peer(checkout) as peer:
        weights = Path(folder) / "weights.pt"
        torch.save({"model": predictor.state_dict()}, weights)
        peer.load(
            config=released_config(recipe), checkpoint=str(weights), overrides=released_overrides(recipe),
            device=device, threads=threads,
        )
        return [_in_turns(predictor, peer, case, Path(folder)) for case in cases]


def _in_turns(predictor: Any, peer: Peer, case: BenchCase, folder: Path) -> PeerRow:
    clip = draw_bench_clip(case.objects, case.length, size_hw=case.size_hw)
    jpegs = folder / f"{case.objects}x{case.length}"
    write_jpegs(jpegs, clip.frames)
    mine, other = jpegs.with_suffix(".ours.npy"), jpegs.with_suffix(".peer.npy")
    # The first pass of each warms up and leaves its masks; it is not counted.
    _ours(predictor, jpegs, clip, case, mine)
    _theirs(peer, jpegs, clip, case, other)
    ours, theirs = [], []
    for _ in range(case.repeats):
        ours.append(_ours(predictor, jpegs, clip, case, None))
        theirs.append(_theirs(peer, jpegs, clip, case, None))
    alike = agreement(np.load(mine, mmap_mode="r"), np.load(other, mmap_mode="r"), width=case.size_hw[1])
    return PeerRow(
        case.objects, case.length, min(p.propagate_s for p in ours), min(p.propagate_s for p in theirs),
        min(p.whole_s for p in ours), min(p.whole_s for p in theirs), alike.mean_iou, alike.equal_pixels, alike.visible,
    )


def _ours(predictor: Any, jpegs: Path, clip: BenchClip, case: BenchCase, masks_file: Path | None) -> Pass:
    masks = []
    with arithmetic(case.recipe.precision, device=case.device):
        begun = time.perf_counter()
        state = prompted(predictor, jpegs, clip.boxes_xyxy)
        state.frames = _ReadBefore(state.frames)
        settle(case.device)
        started, pixels = time.perf_counter(), 0
        for out in predictor.propagate(state, reverse=False, each_from_its_prompt=True):
            masks_N1HW = out.mask_logits > 0
            if out.frame_idx < case.peer_from:
                settle(case.device)
                started = time.perf_counter()
            pixels = pixels + masks_N1HW.sum()
            if masks_file:
                masks.append(masks_N1HW[:, 0].cpu().numpy())
        settle(case.device)
        ended = time.perf_counter()
    if masks_file:
        np.save(masks_file, np.packbits(np.stack(masks), axis=-1))
    return Pass((ended - started) / (case.length - case.peer_from), (ended - begun) / case.length)


def _theirs(peer: Peer, jpegs: Path, clip: BenchClip, case: BenchCase, masks_file: Path | None) -> Pass:
    answer = peer.ask(
        do="run", folder=str(jpegs), boxes_xyxy=clip.boxes_xyxy, count_from=case.peer_from,
        precision=case.peer_precision or case.recipe.precision.removesuffix(COMPILED),
        masks=str(masks_file) if masks_file else None,
    )
    return Pass(answer["propagate_s"] / (answer["frames"] - case.peer_from), answer["whole_s"] / answer["frames"])


def agreement(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], *, width: int) -> Agreement:
    """Compare masks (T, N, H, W) that are packed to bits along W; ValueError where the two are not of one shape."""
    if first.shape != second.shape:
        raise ValueError(f"masks of shape {first.shape} and {second.shape}; expected the same frames, objects and size")
    ious, equal, visible = [], [], []
    for first_NHw, second_NHw in zip(first, second, strict=True):
        first_NHW = np.unpackbits(first_NHw, axis=-1, count=width).astype(bool)
        second_NHW = np.unpackbits(second_NHw, axis=-1, count=width).astype(bool)
        both_N = (first_NHW & second_NHW).sum(axis=(1, 2))
        either_N = (first_NHW | second_NHW).sum(axis=(1, 2))
        ious.append(np.where(either_N > 0, both_N / np.maximum(either_N, 1), 1.0))
        equal.append((first_NHW == second_NHW).mean())
        visible.append(either_N > 0)
    return Agreement(float(np.mean(ious)), float(np.mean(equal)), float(np.mean(visible)))
