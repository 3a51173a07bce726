"""J&F against a reviewer's seconds: `python -m tests.bench.review_seconds [--tracks 24] [--image-size 256]`.

A simulated reviewer corrects drawn tracks whose truth is known, one frame at a time, chosen at random, evenly, by the lowest
predicted IoU, or by expected gain. Looking at a frame takes a second; where its mask is right (J of 0.85) it is confirmed, else
it is clicked on until it is: 2.4 s for the first click and 0.9 s for each further one, as people took in What's the Point
(Bearman et al., ECCV 2016). The object is then tracked again up to the next frames that were seen. The figure is the area
under J&F over the seconds of the budget, in points of 100.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from flows.learn.accuracy import most_interior
from flows.learn.evaluate import ClipFrames
from flows.quality.clips import Case, draw_case
from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.geometry import j_and_f, region_similarity
from labeling.review.frame_gain import best_frames
from labeling.track.correction import FramesWithin, click, follow_from, take_frame
from labeling.track.follow import follow
from labeling.track.predictor import Predictor, build_predictor, recipe_of
from labeling.types import FrameMask, Prompt, PromptSource

LOOK_S, FIRST_CLICK_S, MORE_CLICK_S = 1.0, 2.4, 0.9
RIGHT_J, MOST_CLICKS = 0.85, 5
BUDGET_S = 40.0
KINDS = (("scenes", "plain"), ("scenes", "occlusion"), ("lookalikes", "plain"), ("scenes", "exit_return"), ("solids", "plain"),
         ("scenes", "camouflage"), ("lookalikes", "occlusion"), ("solids", "cut"))

Masks = dict[int, FrameMask]
# Given the masks and the frames that were seen, the frame to go to; None where none is left.
Policy = Callable[[Masks, set[int], np.random.Generator], int | None]


def random_frame(masks: Masks, seen: set[int], rng: np.random.Generator) -> int | None:
    """Any frame that nobody has seen."""
    left = sorted(masks.keys() - seen)
    return int(rng.choice(left)) if left else None


def uniform_frame(masks: Masks, seen: set[int], _rng: np.random.Generator) -> int | None:
    """The frame that is farthest from those that were seen."""
    left = sorted(masks.keys() - seen)
    return max(left, key=lambda t: min(abs(t - s) for s in seen)) if left else None


def worst_frame(masks: Masks, seen: set[int], _rng: np.random.Generator) -> int | None:
    """The frame that the network is least sure of."""
    left = sorted(masks.keys() - seen)
    return min(left, key=lambda t: masks[t].predicted_iou) if left else None


def gainful_frame(masks: Masks, seen: set[int], _rng: np.random.Generator) -> int | None:
    """The frame whose correction is expected to mend most."""
    order = sorted(masks)
    known = {order.index(t) for t in seen if t in masks}
    chosen = best_frames([masks[t] for t in order], known, most=1)
    return order[chosen[0]] if chosen else None


POLICIES: dict[str, Policy] = {
    "random": random_frame, "uniform": uniform_frame, "worst": worst_frame, "expected gain": gainful_frame,
}


class Bench:
    """One track with its truth, corrected again and again from the same start."""

    def __init__(self, predictor: Predictor, frames_THW3: np.ndarray, true_THW: np.ndarray) -> None:
        self.predictor, self.frames_THW3, self.true_THW = predictor, frames_THW3, true_THW
        self.frames, self.size_hw = ClipFrames(frames_THW3), (true_THW.shape[1], true_THW.shape[2])
        seed = Prompt(0, 0, mask=rle.encode(true_THW[0]))
        self.start = {t.mask.frame_idx: t.mask for t in follow(predictor, self.frames, [seed], size_hw=self.size_hw)}

    def quality(self, masks: Masks) -> float:
        """J&F over all frames behind the prompt's."""
        order = sorted(masks)[1:]
        found_THW = np.stack([rle.decode(masks[t].rle) for t in order])
        return float(j_and_f(found_THW, self.true_THW[order]).j_and_f)

    def reviewed(self, policy: Policy, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
        """Yield (seconds spent, J&F) from the start on, until the budget is spent."""
        masks, seen, prompts, spent = dict(self.start), {0}, {0: Prompt(0, 0, mask=self.start[0].rle)}, 0.0
        yield 0.0, self.quality(masks)
        while spent < BUDGET_S:
            at = policy(masks, seen, rng)
            if at is None:
                return
            spent += LOOK_S
            seen.add(at)
            if region_similarity(rle.decode(masks[at].rle), self.true_THW[at]) < RIGHT_J:
                prompt, seconds = self.corrected(at)
                spent += seconds
                if self.true_THW[at].any():
                    prompts[at] = prompt
                    self.track_again(masks, seen, prompts, at)
                else:
                    # Where the object is away there is nothing to track from: that frame alone is mended.
                    masks[at] = replace(masks[at], rle=prompt.mask, area=0, box_xywh=None)
            elif masks[at].visible:
                prompts[at] = Prompt(0, at, mask=masks[at].rle, source=PromptSource.CORRECTION)
            yield spent, self.quality(masks)

    def corrected(self, at: int) -> tuple[Prompt, float]:
        """Click until the mask is right, or so often that it is drawn; the correction and the seconds that it took."""
        true_HW, found_HW = self.true_THW[at], np.zeros(self.size_hw, bool)
        if not true_HW.any():
            return Prompt(0, at, mask=rle.empty(self.size_hw), source=PromptSource.CORRECTION), FIRST_CLICK_S
        frame, points, labels = take_frame(self.predictor, self.frames_THW3[at]), [], []
        for _ in range(MOST_CLICKS):
            (x, y), label = next_click(true_HW, found_HW)
            points.append((float(x), float(y)))
            labels.append(int(label))
            found_HW = rle.decode(click(self.predictor, frame, points_xy=points, labels=labels).mask)
            if region_similarity(found_HW, true_HW) >= RIGHT_J:
                break
        else:
            found_HW = true_HW
        seconds = FIRST_CLICK_S + (len(points) - 1) * MORE_CLICK_S
        return Prompt(0, at, mask=rle.encode(found_HW), source=PromptSource.CORRECTION), seconds

    def track_again(self, masks: Masks, seen: set[int], prompts: dict[int, Prompt], at: int) -> None:
        """Track from a corrected frame to the next seen ones, which stay as they are."""
        before = max((t for t in seen if t < at), default=0)
        after = min((t for t in seen if t > at), default=len(self.frames) - 1)
        within = FramesWithin(self.frames, (before, after + 1))
        given = [prompts[t] for t in sorted(prompts) if before <= t <= after]
        tracked = follow_from(self.predictor, within, given, at, size_hw=self.size_hw, deadline=math.inf)
        for one in tracked:
            if one.mask.frame_idx == at or one.mask.frame_idx not in seen:
                masks[one.mask.frame_idx] = one.mask


def next_click(true_HW: np.ndarray, found_HW: np.ndarray) -> tuple[tuple[int, int], bool]:
    """A click in the depth of the larger error, and whether it lies on the object."""
    missed_HW, extra_HW = true_HW & ~found_HW, found_HW & ~true_HW
    on = bool(missed_HW.sum() >= extra_HW.sum())
    return most_interior(missed_HW if on else extra_HW), on


def area_under(curve: Sequence[tuple[float, float]]) -> float:
    """The mean J&F over the budget's seconds, in points; what was reached holds until the next step is done."""
    points, total = [*curve, (BUDGET_S, curve[-1][1])], 0.0
    for (since, quality), (until, _) in zip(points, points[1:], strict=False):
        total += quality * max(0.0, min(until, BUDGET_S) - min(since, BUDGET_S))
    return 100 * total / BUDGET_S


def benches(predictor: Predictor, count: int, num_frames: int, size_hw: tuple[int, int]) -> Iterator[tuple[str, Bench]]:
    """Tracks that are not right from the start, one of each clip."""
    number = made = 0
    while made < count:
        generator, variant = KINDS[number % len(KINDS)]
        clip = draw_case(Case(generator, variant, 70_000 + number, num_frames, size_hw))
        number += 1
        for masks_THW in clip.masks_NTHW:
            if not masks_THW[0].any():
                continue
            bench = Bench(predictor, clip.frames_THW3, masks_THW)
            if bench.quality(bench.start) < 0.9:
                made += 1
                yield f"{generator} {variant}", bench
                break


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--image-size", type=int, default=256)
    given = parser.parse_args()
    model = NetworkConfig(name="nano", config="sam2.1_nano", image_size=given.image_size)
    predictor = build_predictor(recipe_of(model, PrecisionConfig(), TrackerConfig(name="samurai")), None, device="cpu")
    areas: dict[str, list[float]] = {name: [] for name in POLICIES}
    started = time.monotonic()
    for number, (kind, bench) in enumerate(benches(predictor, given.tracks, given.frames, (192, 256))):
        for name, policy in POLICIES.items():
            areas[name].append(area_under(list(bench.reviewed(policy, np.random.default_rng([7, number])))))
        told = ", ".join(f"{name} {values[-1]:.1f}" for name, values in areas.items())
        print(f"{number + 1:>3} {kind:<24} start {100 * bench.quality(bench.start):.1f}; {told}", flush=True)
    print(f"{given.tracks} tracks of {given.frames} frames, {BUDGET_S:.0f} s each, in {time.monotonic() - started:.0f} s")
    chance = np.array(areas["random"])
    for name, values in areas.items():
        over = np.array(values) - chance
        print(f"{name:<14} {np.mean(values):6.2f}   over random {over.mean():+.2f} (s.e. {over.std() / len(over) ** 0.5:.2f})")


if __name__ == "__main__":
    main()
