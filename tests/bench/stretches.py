"""What a correction is worth by how far it reaches: `python -m tests.bench.stretches [--tracks 50] [--image-size 256]`.

Drawn tracks that went wrong get one correction by clicks, amid their longest wrong stretch, and are tracked again: within that
stretch alone (`span`), and on all frames, where every prompt conditions every frame (`all`) or each governs its own stretch
(`stretch`). Prints J&F of each, how often a correction of all frames is at least as good as that of the span, and how well low
`agreement` tells frames whose mask is wrong (AUROC).
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, PromptScope, TrackerConfig
from labeling.geometry import region_similarity, runs
from labeling.jobs import KeptMasks
from labeling.track.correction import follow_within
from labeling.track.follow import follow
from labeling.track.predictor import build_predictor, recipe_of
from labeling.types import FrameMask, Prompt
from tests.bench.review_seconds import Bench, Masks, benches

WRONG_J, BAD_J = 0.8, 0.5
SLACK = 0.005       # of J&F: less is no difference


@dataclass(frozen=True, slots=True)
class Corrected:
    """One track's J&F by how far its correction reaches, and (agreement, J) of the frames that have both."""

    before: float
    span: float
    all: float
    stretch: float
    agreed: list[tuple[float, float]]


def longest_wrong(bench: Bench) -> tuple[int, int] | None:
    """The longest run of frames that show the object and whose mask is wrong; None where there is none behind the prompt."""
    wrong_T = np.array([
        bool(true_HW.any()) and j < WRONG_J for true_HW, j in zip(bench.true_THW, js(bench, bench.start), strict=True)
    ])
    wrong_T[0] = False
    return max(runs(wrong_T), key=lambda run: run[1] - run[0], default=None)


def js(bench: Bench, masks: Masks) -> list[float]:
    """J of each frame."""
    return [region_similarity(rle.decode(masks[t].rle), bench.true_THW[t]) for t in sorted(masks)]


def correct(bench: Bench) -> Corrected | None:
    """Correct the middle of the longest wrong run, in three ways."""
    run = longest_wrong(bench)
    if run is None:
        return None
    seed = Prompt(0, 0, mask=rle.encode(bench.true_THW[0]))
    made, _seconds = bench.corrected(sum(run) // 2)
    kept = KeptMasks("", (run,), (made.frame_idx,))
    before = [bench.start[t] for t in sorted(bench.start)]
    within = follow_within(
        bench.predictor, bench.frames, [seed, made], kept, before, size_hw=bench.size_hw, deadline=math.inf
    )
    span = {t.mask.frame_idx: t.mask for t in within}
    every, stretch = (tracked(bench, [seed, made], scope) for scope in PromptScope)
    agreed = [
        (mask.agreement, j) for mask, j in zip(in_order(stretch), js(bench, stretch), strict=True)
        if mask.agreement is not None
    ]
    return Corrected(bench.quality(bench.start), bench.quality(span), bench.quality(every), bench.quality(stretch), agreed)


def in_order(masks: Masks) -> list[FrameMask]:
    """The masks by frame."""
    return [masks[t] for t in sorted(masks)]


def tracked(bench: Bench, prompts: Sequence[Prompt], scope: PromptScope) -> Masks:
    """Track from all prompts through all frames."""
    found = follow(bench.predictor, bench.frames, prompts, size_hw=bench.size_hw, scope=scope)
    return {t.mask.frame_idx: t.mask for t in found}


def auroc(values: Sequence[float], bad: Sequence[bool]) -> float:
    """How often a bad frame has the lower value of a bad and a good one; ties count half."""
    low = np.array([v for v, b in zip(values, bad, strict=True) if b])
    high = np.array([v for v, b in zip(values, bad, strict=True) if not b])
    if not (low.size and high.size):
        return math.nan
    return float((low[:, None] < high).mean() + (low[:, None] == high).mean() / 2)


def report(done: Sequence[Corrected]) -> str:
    """The figures so far."""
    means = {name: np.mean([getattr(c, name) for c in done]) for name in ("before", "span", "all", "stretch")}
    told = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    as_good = {name: sum(getattr(c, name) >= c.span - SLACK for c in done) for name in ("all", "stretch")}
    pairs = [pair for c in done for pair in c.agreed]
    bad = [j < BAD_J for _, j in pairs]
    area = auroc([agreement for agreement, _ in pairs], bad)
    return (
        f"{len(done)} tracks, J&F: {told}; as good as span: all {as_good['all']}, stretch {as_good['stretch']}; "
        f"agreement on {len(pairs)} frames, {sum(bad)} of them bad: AUROC {area:.3f}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=50)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--image-size", type=int, default=256)
    given = parser.parse_args()
    model = NetworkConfig(name="nano", config="sam2.1_nano", image_size=given.image_size)
    predictor = build_predictor(recipe_of(model, PrecisionConfig(), TrackerConfig(name="samurai")), None, device="cpu")
    started, done = time.monotonic(), list[Corrected]()
    for kind, bench in benches(predictor, 4 * given.tracks, given.frames, (192, 256)):
        made = correct(bench)
        if made is None:
            continue
        done.append(made)
        print(f"{kind:<24} span {made.span:.3f} all {made.all:.3f} stretch {made.stretch:.3f} | {report(done)}", flush=True)
        if len(done) == given.tracks:
            break
    print(f"{report(done)}; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
