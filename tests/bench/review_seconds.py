"""J&F against a reviewer's seconds: `python -m tests.bench.review_seconds [--tracks 24] [--first 70000] [--keep FOLDER]`.

Drawn tracks whose truth is known and that nano gets wrong are tracked once from the first frame and once from every fourth one
with its true mask. A simulated reviewer then goes through the fourth frames, one at a time, chosen at random, evenly, by the
lowest predicted IoU, by expected gain as the page does, or by who knows the truth (`greedy with truth`: what one correction
mends, for each second). Looking at a frame takes a second; where its mask is right (J of 0.85) it is confirmed, else it is
clicked on: 2.4 s for the first click and 0.9 s for each further one, one and a half of them on average, as people took in
What's the Point (Bearman et al., ECCV 2016). Frames up to the next ones that were seen are then those tracked from it; where
the object is away, that frame alone is mended. The figure is the area under J&F over the seconds of the budget, in points.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flows.learn.evaluate import ClipFrames
from flows.quality.clips import Case, draw_case
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.geometry import boundary_f, region_similarity
from labeling.review.gain import chances_of, damage_of, expected_gains
from labeling.track.correction import follow_from
from labeling.track.follow import follow
from labeling.track.predictor import Predictor, build_predictor, recipe_of
from labeling.types import RLE, FrameMask, Prompt, PromptSource

LOOK_S, CLICKS_S, ABSENT_S = 1.0, 2.4 + 1.5 * 0.9, 2.4
RIGHT_J, BUDGET_S = 0.85, 40.0
EVERY, NUM_FRAMES, SIZE_HW = 4, 48, (192, 256)
DRAWS = 60                  # of the reviewer who goes by chance
KINDS = (("scenes", "plain"), ("scenes", "occlusion"), ("lookalikes", "plain"), ("scenes", "exit_return"), ("solids", "plain"),
         ("scenes", "camouflage"), ("lookalikes", "occlusion"), ("solids", "cut"))
SCORES = ("predicted_iou", "object_score", "area", "stability", "look_seed", "colour_seed")
MARK = RLE((1, 1), "01")


@dataclass(frozen=True, slots=True)
class Table:
    """What comes of tracking from each frame of a grid (T_from): J, F and the scores of each frame (T_from, T)."""

    starts: tuple[int, ...]
    j: np.ndarray
    f: np.ndarray
    scores: Mapping[str, np.ndarray]
    present: np.ndarray

    def frame(self, row: int, t: int) -> FrameMask:
        """The mask on a frame as tracked in one row; of its pixels only that there are some."""
        value = {name: float(of[row, t]) for name, of in self.scores.items()}
        there = value["area"] > 0
        extra = {name: None if math.isnan(value[name]) else value[name] for name in SCORES[3:]}
        box = (0.0, 0.0, 1.0, 1.0) if there else None
        return FrameMask(t, t / 24, MARK, int(there), box, value["predicted_iou"], value["object_score"], **extra)


class Review:
    """One track under review: on each frame the row of the table that its mask is of, and which frames were seen."""

    def __init__(self, table: Table) -> None:
        self.table, self.row_T = table, np.zeros(table.j.shape[1], int)
        self.seen, self.emptied = {0}, set[int]()

    @property
    def left(self) -> list[int]:
        """Frames that may be gone to."""
        return [t for t in self.table.starts[1:] if t not in self.seen]

    def masks(self) -> list[FrameMask]:
        """The masks as they are now."""
        masks = [self.table.frame(int(row), t) for t, row in enumerate(self.row_T)]
        return [replace(mask, area=0, box_xywh=None) if t in self.emptied else mask for t, mask in enumerate(masks)]

    def of(self, values: np.ndarray) -> np.ndarray:
        """J or F of each frame, as it is now."""
        now_T = values[self.row_T, np.arange(len(self.row_T))]
        now_T[sorted(self.emptied)] = 1.0
        return now_T

    def quality(self) -> float:
        """J&F over all frames behind the prompt's."""
        return float((self.of(self.table.j)[1:].mean() + self.of(self.table.f)[1:].mean()) / 2)

    def tracked_from(self, at: int) -> np.ndarray:
        """The frames that are tracked again from a correction on one."""
        low, high = max(t for t in self.seen if t < at), min((t for t in self.seen if t > at), default=len(self.row_T))
        return np.arange(low + 1, high)

    def look(self, at: int) -> float:
        """See a frame, and correct it where its mask is wrong; the seconds that it took."""
        right = self.of(self.table.j)[at] >= RIGHT_J
        if not right and self.table.present[at]:
            self.row_T[self.tracked_from(at)] = self.table.starts.index(at)
        elif not right:
            self.emptied.add(at)
        self.seen.add(at)
        return LOOK_S + (0.0 if right else CLICKS_S if self.table.present[at] else ABSENT_S)


Policy = Callable[[Review, np.random.Generator], int]


def random_frame(review: Review, rng: np.random.Generator) -> int:
    """Any frame that nobody has seen."""
    return int(rng.choice(review.left))


def uniform_frame(review: Review, _rng: np.random.Generator) -> int:
    """The frame that is farthest from those that were seen."""
    return max(review.left, key=lambda t: min(abs(t - s) for s in review.seen))


def worst_frame(review: Review, _rng: np.random.Generator) -> int:
    """The frame that the network is least sure of."""
    masks = review.masks()
    return min(review.left, key=lambda t: masks[t].predicted_iou)


def gainful_frame(review: Review, _rng: np.random.Generator) -> int:
    """The frame whose correction is expected to mend most."""
    masks = review.masks()
    damage = damage_of(masks, review.seen)
    gains = expected_gains(damage, review.seen, chances_of(masks, damage))
    return max(review.left, key=lambda t: gains[t])


def best_frame(review: Review, rng: np.random.Generator) -> int:
    """The frame whose correction mends most for each second, by the truth; any where none mends anything."""
    now_T, table = review.of(review.table.j), review.table

    def worth(at: int) -> float:
        if now_T[at] >= RIGHT_J:
            return 0.0
        if not table.present[at]:
            return (1 - now_T[at]) / (LOOK_S + ABSENT_S)
        again = review.tracked_from(at)
        return float((table.j[table.starts.index(at), again] - now_T[again]).sum()) / (LOOK_S + CLICKS_S)

    best = max(review.left, key=worth)
    return best if worth(best) > 0 else random_frame(review, rng)


POLICIES: Mapping[str, Policy] = {
    "uniform": uniform_frame, "worst": worst_frame, "expected gain": gainful_frame, "greedy with truth": best_frame,
}


def reviewed(table: Table, policy: Policy, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield (seconds spent, J&F) from the start on, until the budget is spent or every frame of the grid was seen."""
    review, spent = Review(table), 0.0
    yield 0.0, review.quality()
    while spent < BUDGET_S and review.left:
        spent += review.look(policy(review, rng))
        yield spent, review.quality()


def area_under(curve: Sequence[tuple[float, float]]) -> float:
    """The mean J&F over the budget's seconds, in points; what was reached holds until the next step is done."""
    points, total = [*curve, (BUDGET_S, curve[-1][1])], 0.0
    for (since, quality), (until, _) in zip(points, points[1:], strict=False):
        total += quality * max(0.0, min(until, BUDGET_S) - min(since, BUDGET_S))
    return 100 * total / BUDGET_S


def table_of(predictor: Predictor, frames_THW3: np.ndarray, true_THW: np.ndarray) -> Table | None:
    """Track an object from every fourth frame that shows it; None where it is right from the start."""
    frames, size_hw = ClipFrames(frames_THW3), (true_THW.shape[1], true_THW.shape[2])
    seed = Prompt(0, 0, mask=rle.encode(true_THW[0]))
    rows = [_row([t.mask for t in follow(predictor, frames, [seed], size_hw=size_hw)], true_THW)]
    if (rows[0]["j"] + rows[0]["f"])[1:].mean() >= 1.8:
        return None
    starts = (0, *range(EVERY, len(true_THW), EVERY))
    for start in starts[1:]:
        prompts = [seed, Prompt(0, start, mask=rle.encode(true_THW[start]), source=PromptSource.CORRECTION)]
        there = true_THW[start].any()
        tracked = follow_from(predictor, frames, prompts, start, size_hw=size_hw, deadline=math.inf) if there else ()
        rows.append(_row([t.mask for t in tracked], true_THW))
    columns = {name: np.stack([row[name] for row in rows]) for name in ("j", "f", *SCORES)}
    return Table(starts, columns.pop("j"), columns.pop("f"), columns, true_THW.any(axis=(1, 2)))


def _row(masks: Sequence[FrameMask], true_THW: np.ndarray) -> dict[str, np.ndarray]:
    row = {name: np.full(len(true_THW), np.nan) for name in ("j", "f", *SCORES)}
    for mask in masks:
        found_HW, true_HW = rle.decode(mask.rle), true_THW[mask.frame_idx]
        told = {name: getattr(mask, name) for name in SCORES}
        told |= {"j": region_similarity(found_HW, true_HW), "f": boundary_f(found_HW, true_HW)}
        for name, value in told.items():
            row[name][mask.frame_idx] = np.nan if value is None else value
    return row


def tables(predictor: Predictor, count: int, first: int, folder: Path | None) -> Iterator[tuple[str, Table]]:
    """Tracks that are not right from the start, one of each clip; those that `folder` has are taken from there."""
    number = made = 0
    while made < count:
        case = Case(*KINDS[number % len(KINDS)], first + number, NUM_FRAMES, SIZE_HW)
        number += 1
        table = _kept(folder, case) or _made(predictor, case)
        if table is not None:
            made += 1
            if folder is not None:
                columns = {"j": table.j, "f": table.f, "present": table.present, **table.scores}
                np.savez(folder / f"{case.name}.npz", starts=np.array(table.starts), **columns)
            yield case.name, table


def _kept(folder: Path | None, case: Case) -> Table | None:
    path = None if folder is None else folder / f"{case.name}.npz"
    if path is None or not path.is_file():
        return None
    with np.load(path) as of:
        scores = {name: of[name] for name in SCORES}
        return Table(tuple(of["starts"].tolist()), of["j"], of["f"], scores, of["present"])


def _made(predictor: Predictor, case: Case) -> Table | None:
    clip = draw_case(case)
    shown = [masks_THW for masks_THW in clip.masks_NTHW if masks_THW[0].any()]
    return next((table for masks_THW in shown if (table := table_of(predictor, clip.frames_THW3, masks_THW))), None)


def areas_of(table: Table, number: int) -> dict[str, float]:
    """The area under each reviewer's curve; the mean of many for the one who goes by chance."""
    chance = [area_under(list(reviewed(table, random_frame, np.random.default_rng([7, number, k])))) for k in range(DRAWS)]
    others = {name: area_under(list(reviewed(table, p, np.random.default_rng([8, number])))) for name, p in POLICIES.items()}
    return {"random": float(np.mean(chance)), **others}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--first", type=int, default=70_000, help="the first scene; the rule was chosen on those from 80000")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--keep", type=Path, help="a folder to keep what was tracked in")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    model = NetworkConfig(name="nano", config="sam2.1_nano", image_size=given.image_size)
    predictor = build_predictor(recipe_of(model, PrecisionConfig(), TrackerConfig(name="samurai")), None, device="cpu")
    started, rows = time.monotonic(), list[dict[str, float]]()
    for number, (name, table) in enumerate(tables(predictor, given.tracks, given.first, given.keep)):
        rows.append(areas_of(table, number))
        told = ", ".join(f"{policy} {value:.1f}" for policy, value in rows[-1].items())
        print(f"{number + 1:>3} {name:<44} start {100 * Review(table).quality():.1f}; {told}", flush=True)
    print(f"{given.tracks} tracks of {NUM_FRAMES} frames, {BUDGET_S:.0f} s each, in {time.monotonic() - started:.0f} s")
    for policy in rows[0]:
        over = np.array([row[policy] - row["random"] for row in rows])
        mean = np.mean([row[policy] for row in rows])
        print(f"{policy:<18} {mean:6.2f}   over random {over.mean():+.2f} (s.e. {over.std() / len(over) ** 0.5:.2f})")


if __name__ == "__main__":
    main()
