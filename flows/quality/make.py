"""Makes tracks with truth: clips are drawn, their objects prompted and followed as `run` follows them, piece by piece.

The order of pieces is fixed, and its beginning has some of everything, so that a set may be used while it grows.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.learn.config import PromptKind
from flows.learn.evaluate import ClipFrames
from flows.quality.clips import Case, draw_case
from flows.quality.prompts import RIGHT, WRONG, right_prompt, wrong_prompt
from flows.quality.truth import SCHEMAS, Truth, has_piece, size_class, split_of, video_id_of, write_piece
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.qc.signals import SignalMeter
from labeling.store.records import MASK_CELLS, TrackRow, mask_to_row, track_to_row
from labeling.store.schemas import code_version
from labeling.track.follow import follow
from labeling.track.predictor import Predictor, TrackerRecipe, arithmetic, build_predictor, default_device, recipe_of
from labeling.types import FrameMask, Prompt, Provenance, TableRow
from sam2.training.clip import Clip

log = logging.getLogger(__name__)
Bools = npt.NDArray[np.bool_]

FRAME_RATE = Fraction(24)
KEY = 0x9A11
WRONG_SHARE = 0.7           # of the objects of a clip with wrong prompts
# What a round of pieces holds, the most telling kinds more than once.
KINDS = (
    ("scenes", "plain"), ("lookalikes", "plain"), ("solids", "plain"), ("scenes", "occlusion"), ("solids", "cut"),
    ("scenes", "wrong_seed"), ("lookalikes", "occlusion"), ("solids", "exit_return"), ("scenes", "camouflage"),
    ("scenes", "exit_return"), ("lookalikes", "exit_return"), ("solids", "shake"), ("scenes", "cut"), ("scenes", "shrink"),
    ("solids", "occlusion"), ("lookalikes", "wrong_seed"), ("scenes", "shake"), ("solids", "wrong_seed"), ("solids", "plain"),
    ("lookalikes", "plain"), ("scenes", "plain"), ("solids", "shrink"), ("lookalikes", "cut"), ("solids", "camouflage"),
    ("scenes", "plain"), ("lookalikes", "shake"), ("scenes", "plain"), ("lookalikes", "camouflage"), ("scenes", "plain"),
    ("lookalikes", "shrink"), ("scenes", "plain"),
)
# Frames by the place in a round of 47, a prime, so that each kind comes in all lengths; 24 for those not named.
LENGTHS = {5: 60, 17: 120, 29: 60}
LONGEST, LONGEST_EVERY = 240, 89
TRACKERS = ("sam2", "samurai")      # an order of its own: with another tracker every piece would be another


@dataclass(frozen=True, slots=True)
class Piece:
    """One clip to draw and the tracker that follows its objects."""

    case: Case
    tracker: str
    image_size: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.case.name}-{self.tracker}-{self.image_size}"


@dataclass(frozen=True, slots=True)
class Seeded:
    """The prompts of a clip's objects, and for each object the variant and the kind of prompt that it stands for."""

    prompts: tuple[Prompt, ...]
    variants: Mapping[int, str]
    kinds: Mapping[int, str]


@dataclass(slots=True)
class Progress:
    """What has been made so far."""

    made: int = 0
    tracks: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def pieces(count: int) -> Iterator[Piece]:
    """Yield the first pieces of the fixed order: every kind of clip once in 31, lengths, trackers and sizes mixed in."""
    for number in range(count):
        generator, variant = KINDS[number % len(KINDS)]
        size_hw = ((256, 256), (192, 256), (256, 320), (256, 256), (240, 240))[number % 5]
        num_frames = LONGEST if number % LONGEST_EVERY == 23 else LENGTHS.get(number % 47, 24)
        case = Case(generator, variant, number, num_frames, size_hw)
        yield Piece(case, TRACKERS[number % len(TRACKERS)], 256 if number % 3 == 2 else 384)


def make(root: Path, count: int, *, seen: Callable[[Progress, Piece], None], share: tuple[int, int] = (0, 1)) -> Progress:
    """Make those of the first `count` pieces that are not there; one that fails is named in the log and costs only itself.

    `share` (k, n) leaves to others all pieces but the k-th of every n.
    """
    progress, device = Progress(), default_device()
    for piece in list(pieces(count))[share[0] :: share[1]]:
        if has_piece(root, piece.name):
            continue
        try:
            recipe, predictor = _predictor(piece.tracker, piece.image_size, device)
            with arithmetic(recipe.precision, device=device):
                truth = follow_piece(piece, predictor, recipe, device=device)
            write_piece(root, piece.name, truth)
        except Exception as error:
            log.warning("%s: %s", piece.name, error, exc_info=True)
            progress.failed[piece.name] = str(error)
            continue
        progress.made, progress.tracks = progress.made + 1, progress.tracks + len(truth.tracks)
        seen(progress, piece)
    return progress


@cache
def _predictor(tracker: str, image_size: int, device: str) -> tuple[TrackerRecipe, Predictor]:
    model = NetworkConfig(name="nano", config="sam2.1_nano", image_size=image_size)
    recipe = recipe_of(model, PrecisionConfig(), TrackerConfig(name=tracker))
    return recipe, build_predictor(recipe, None, device=device)


def follow_piece(piece: Piece, predictor: Predictor, recipe: TrackerRecipe, *, device: str) -> Truth:
    """Draw a piece's clip, follow its objects, and return its rows with truth."""
    clip = draw_case(piece.case)
    size_hw = (int(clip.frames_THW3.shape[1]), int(clip.frames_THW3.shape[2]))
    seeded = seed(clip, piece.case)
    frames = ClipFrames(clip.frames_THW3, frame_rate=FRAME_RATE)
    masks = defaultdict[int, list[FrameMask]](list)
    for tracked in follow(predictor, frames, seeded.prompts, size_hw=size_hw):
        masks[tracked.object_id].append(tracked.mask)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    provenance = Provenance(
        recipe.model, recipe.checkpoint_sha256, recipe.tracker, recipe.precision, recipe.image_size, device,
        recipe.presence_threshold, "forward", recipe.semantics_version, code_version(), "quality", made_at,
    )
    rows: dict[str, list[TableRow]] = {table: [] for table in SCHEMAS}
    for prompt in seeded.prompts:
        number = prompt.object_id
        ids = {"video_id": video_id_of(piece.name), "track_id": str(number)}
        meter = SignalMeter(size_hw, FRAME_RATE, recipe.presence_threshold)
        for mask in masks[number]:
            meter.add(mask)
        stored = {"label_version": 1, "key": piece.name}
        rows["masks"] += [ids | stored | dict(zip(MASK_CELLS, mask_to_row(mask), strict=True)) for mask in masks[number]]
        rows["truth"] += [{**ids, **row} for row in truth_rows(clip, number, masks[number])]
        row = TrackRow(number, 1, piece.name, None, (prompt,), meter.signals(), provenance)
        rows["tracks"].append(track_to_row(row) | ids | {
            "batch": "", "first_frame_idx": masks[number][0].frame_idx, "last_frame_idx": masks[number][-1].frame_idx,
            "num_masks": len(masks[number]), "num_visible": sum(mask.visible for mask in masks[number]),
        })
        rows["clips"].append(ids | {
            "clip": piece.case.name, "generator": piece.case.generator, "variant": seeded.variants[number],
            "prompt": seeded.kinds[number], "tracker": piece.tracker, "image_size": piece.image_size,
            "num_frames": piece.case.num_frames, "split": split_of(piece.case.name),
            "size_class": size_class(_usual_share(clip.masks_NTHW[number])),
        })
    return Truth(**{table: pa.Table.from_pylist(rows[table], schema=schema) for table, schema in SCHEMAS.items()})


def seed(clip: Clip, case: Case) -> Seeded:
    """Prompt every object of a clip on frame 0: rightly, and in clips with wrong prompts seven of ten wrongly."""
    random = np.random.default_rng([KEY, *case.name.encode()])
    first_NHW, wrong = clip.masks_NTHW[:, 0], list(WRONG)
    prompts, variants, kinds = [], dict[int, str](), dict[int, str]()
    turn = int(random.integers(len(wrong)))
    for number, mask_HW in enumerate(first_NHW):
        if case.variant == "wrong_seed" and random.random() < WRONG_SHARE:
            prompt, how = wrong_prompt(number, first_NHW, wrong[(turn + number) % len(wrong)], random)
            variants[number], kinds[number] = f"wrong_seed_{how}", PromptKind.box.value
        else:
            kind = tuple(RIGHT)[random.choice(len(RIGHT), p=tuple(RIGHT.values()))]
            prompt = right_prompt(number, mask_HW, kind)
            variants[number], kinds[number] = "plain" if case.variant == "wrong_seed" else case.variant, kind.value
        prompts.append(prompt)
    return Seeded(tuple(prompts), variants, kinds)


def truth_rows(clip: Clip, number: int, masks: Sequence[FrameMask]) -> Iterator[TableRow]:
    """Compare an object's masks with its truth, and with that of the others."""
    for mask in masks:
        found_HW, true_NHW = rle.decode(mask.rle), clip.masks_NTHW[:, mask.frame_idx]
        shared_N = (true_NHW & found_HW).sum(axis=(1, 2))
        area, areas_N = int(found_HW.sum()), true_NHW.sum(axis=(1, 2))
        iou_N = [float(s / (area + a - s)) if area + a else 1.0 for s, a in zip(shared_N, areas_N, strict=True)]
        others = [iou for n, iou in enumerate(iou_N) if n != number and areas_N[n]]
        shared, true_area = int(shared_N[number]), int(areas_N[number])
        yield {
            "frame_idx": mask.frame_idx, "j": iou_N[number], "truth_visible": true_area > 0, "mask_visible": area > 0,
            "precision": shared / area if area else None, "recall": shared / true_area if true_area else None,
            "other_j": max(others, default=None),
        }


def _usual_share(true_THW: Bools) -> float:
    """Return the median share of the frame that an object covers on frames that show it."""
    shares_T = true_THW.mean(axis=(1, 2))
    return float(np.median(shares_T[shares_T > 0]))
