"""Masklets by formula: clean ones, and ones with a failure put in, with scores as a tracker would give them.

Suffixes: T frames, H height, W width. Scores of failures follow what is known of SAM 2: its predicted IoU sinks, not always
far, where the mask is wrong, and its object score falls where nothing is left.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from labeling import rle
from labeling.qc.signals import SignalMeter
from labeling.types import FrameMask, Signals

SIZE_HW = (180, 320)
RATE = 24
NUM_FRAMES = 60
THRESHOLD = -1.0  # SAMURAI's

Y, X = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]].astype(np.float32)


@dataclass
class Track:
    """Masks (T, H, W) and the scores of each frame (T,); changed in place by failures."""

    masks: np.ndarray
    predicted_iou: np.ndarray
    object_score: np.ndarray
    stability: np.ndarray
    pointer_similarity: np.ndarray
    rng: np.random.Generator = field(repr=False)

    @property
    def present(self):
        return self.masks.any(axis=(1, 2))


def blob(rng, centre_TX2, radius_T, *, stretch=1.0, turn=0.0, wobble=0.12, tremble=0.25):
    """A star-shaped blob that moves along the centres, turns, and whose outline changes a little with every frame."""
    phase, weight = rng.uniform(0, 2 * np.pi, 4), rng.uniform(0, wobble, 4)
    masks = np.zeros((len(centre_TX2), *SIZE_HW), bool)
    for t, ((cx, cy), radius) in enumerate(zip(centre_TX2, radius_T, strict=True)):
        reach = int(radius * stretch * 1.6) + 2
        y0, y1, x0, x1 = max(int(cy) - reach, 0), max(int(cy) + reach, 0), max(int(cx) - reach, 0), max(int(cx) + reach, 0)
        x, y = X[y0:y1, x0:x1] - cx, Y[y0:y1, x0:x1] - cy
        u = (x * np.cos(turn * t) + y * np.sin(turn * t)) / stretch
        v = (-x * np.sin(turn * t) + y * np.cos(turn * t)) * stretch
        theta = np.arctan2(v, u)
        edge = 1 + sum(w * np.cos((k + 2) * theta + p + 0.05 * t) for k, (w, p) in enumerate(zip(weight, phase, strict=True)))
        masks[t, y0:y1, x0:x1] = np.hypot(u, v) < radius * edge + rng.normal(0, tremble)
    return masks


def path(rng, *, speed=1.0, num_frames=NUM_FRAMES):
    """A smooth way through the middle of the frame with a hand's tremble."""
    t = np.arange(num_frames)[:, None]
    start, direction = np.array([SIZE_HW[1] / 2, SIZE_HW[0] / 2]), rng.normal(size=2)
    direction /= np.linalg.norm(direction)
    sway = rng.uniform(5, 15, 2) * np.sin(2 * np.pi * t / rng.uniform(40, 80) + rng.uniform(0, 6, 2))
    return start + direction * speed * (t - num_frames / 2) * [0.8, 0.4] + sway + rng.normal(0, 0.3, (num_frames, 2))


def scored(rng, masks):
    """Give a clean masklet the scores of a tracker at ease: low object scores exactly where there is nothing."""
    num_frames = len(masks)
    present = masks.any(axis=(1, 2))
    return Track(
        masks=masks,
        predicted_iou=np.clip(rng.normal(0.9, 0.03, num_frames), 0, 1),
        object_score=np.where(present, rng.normal(9, 1.5, num_frames), rng.normal(-9, 1.5, num_frames)),
        stability=np.clip(rng.normal(0.95, 0.02, num_frames), 0, 1),
        pointer_similarity=np.clip(rng.normal(0.85, 0.04, num_frames), -1, 1),
        rng=rng,
    )


def signals_of(track: Track, *, stride=1) -> Signals:
    """Encode and measure, as an actor does frame by frame."""
    meter = SignalMeter(SIZE_HW, RATE, THRESHOLD)
    for t, mask in enumerate(track.masks):
        runs = rle.encode(mask)
        meter.add(
            FrameMask(
                frame_idx=t * stride,
                pts_seconds=t * stride / RATE,
                rle=runs,
                area=rle.area(runs),
                box_xywh=rle.box_xywh(runs),
                predicted_iou=float(track.predicted_iou[t]),
                object_score=float(track.object_score[t]),
                motion_iou=None,
                stability=float(track.stability[t]),
                candidate_gap=0.2,
                pointer_similarity=float(track.pointer_similarity[t]),
            )
        )
    return meter.signals()


def plain(rng):
    return scored(rng, blob(rng, path(rng), np.full(NUM_FRAMES, rng.uniform(18, 35)), turn=rng.uniform(0, 0.03)))


def fast(rng):
    return scored(rng, blob(rng, path(rng, speed=4.0), np.full(NUM_FRAMES, rng.uniform(15, 25))))


def nearing(rng):
    """Grows to twice its width, as a thing that comes nearer."""
    return scored(rng, blob(rng, path(rng, speed=0.5), np.linspace(16, 32, NUM_FRAMES)))


def turning(rng):
    """A long thing that turns once."""
    return scored(rng, blob(rng, path(rng), np.full(NUM_FRAMES, 25.0), stretch=1.4, turn=0.1, wobble=0.05))


def occluded(rng):
    """Passes behind a post and comes out on the other side."""
    t = np.arange(NUM_FRAMES)
    centre = np.stack([40 + 4.0 * t, np.full(NUM_FRAMES, 90) + rng.normal(0, 0.3, NUM_FRAMES)], axis=1)
    masks = blob(rng, centre, np.full(NUM_FRAMES, 18.0))
    masks[:, :, 135:185] = False
    return scored(rng, masks)


def leaving(rng):
    """Leaves by the right border before the end."""
    t = np.arange(NUM_FRAMES)
    centre = np.stack([150 + 4.5 * t, 90 + 5 * np.sin(t / 9)], axis=1)
    return scored(rng, blob(rng, centre, np.full(NUM_FRAMES, rng.uniform(18, 25))))


def small(rng):
    """A ball some ten pixels wide."""
    return scored(rng, blob(rng, path(rng, speed=2.0), np.full(NUM_FRAMES, 5.0)))


def rough(rng):
    """A hard one done well enough: the outline is uneasy, and so are the scores."""
    track = scored(rng, blob(rng, path(rng, speed=2.0), np.full(NUM_FRAMES, 22.0), turn=0.03, wobble=0.2, tremble=1.2))
    track.predicted_iou = np.clip(track.rng.normal(0.86, 0.05, NUM_FRAMES), 0, 1)
    track.object_score = track.rng.normal(7, 2.5, NUM_FRAMES)
    track.stability = np.clip(track.rng.normal(0.88, 0.05, NUM_FRAMES), 0, 1)
    return track


CLEAN: dict[str, Callable[[np.random.Generator], Track]] = {
    f.__name__: f for f in (plain, fast, nearing, turning, occluded, leaving, small, rough)
}


def onset(rng):
    return int(rng.integers(20, 40))


def swap(track):
    """From one frame to the next the mask is on another thing."""
    t0, rng = onset(track.rng), track.rng
    other = path(rng) + rng.choice([-1, 1], 2) * rng.uniform([60, 25], [80, 40])
    track.masks[t0:] = blob(rng, other, np.full(NUM_FRAMES, rng.uniform(18, 35)))[t0:]
    track.predicted_iou[t0:] -= 0.05


def leak(track):
    """The mask runs out over the ground within some frames."""
    t0, rng = onset(track.rng), track.rng
    for t in range(t0, NUM_FRAMES):
        ys, xs = np.nonzero(track.masks[t])
        reach = min(1.0, (t - t0 + 1) / rng.integers(3, 8)) * 110
        track.masks[t] |= (np.abs(X - xs.mean() - reach / 2) < reach / 2) & (np.abs(Y - ys.mean()) < 30 + 4 * np.sin(X / 9 + t))
    track.predicted_iou[t0:] -= rng.uniform(0.1, 0.3)


def drift(track):
    """The mask slides off onto something of the same form; only the scores feel it."""
    t0 = onset(track.rng)
    for t in range(t0, NUM_FRAMES):
        track.masks[t] = np.roll(track.masks[t], int((t - t0) * 0.7), axis=1)
    track.predicted_iou[t0:] -= np.linspace(0.05, track.rng.uniform(0.2, 0.4), NUM_FRAMES - t0)
    track.pointer_similarity[t0:] -= np.linspace(0.05, 0.6, NUM_FRAMES - t0)


def silent_drift(track):
    """The same with a tracker that stays sure of itself."""
    t0 = onset(track.rng)
    for t in range(t0, NUM_FRAMES):
        track.masks[t] = np.roll(track.masks[t], int((t - t0) * 0.7), axis=1)


def late_loss(track):
    t0 = onset(track.rng)
    track.masks[t0:] = False
    track.object_score[t0:] = track.rng.normal(-8, 2, NUM_FRAMES - t0)


def object_lost(track):
    """Gone for a third of the time in mid-frame, then back where it should be."""
    track.masks[20:40] = False
    track.object_score[20:40] = track.rng.normal(-8, 2, 20)


def flicker(track):
    gone = track.rng.random(NUM_FRAMES) < 0.15
    track.masks[gone] = False
    track.object_score[gone] = track.rng.normal(-3, 1, gone.sum())


def ghost(track):
    """The thing has gone and the mask stays, the same on every frame."""
    t0 = onset(track.rng)
    track.masks[t0:] = track.masks[t0]
    track.object_score[t0:] = track.rng.normal(4, 1.5, NUM_FRAMES - t0)


def fragment(track):
    """Only a part is left from one frame on."""
    t0 = onset(track.rng)
    for t in range(t0, NUM_FRAMES):
        ys, xs = np.nonzero(track.masks[t])
        track.masks[t] &= np.less(X, np.quantile(xs, 0.35))
    track.predicted_iou[t0:] -= 0.1


def clutter(track):
    """A second blob beside it belongs to the mask for a while."""
    t0, rng = onset(track.rng), track.rng
    beside = blob(rng, path(rng) + [70, -30], np.full(NUM_FRAMES, 14.0))
    track.masks[t0 : t0 + 15] |= beside[t0 : t0 + 15]


def wrong_reacquisition(track):
    """Lost for eight frames, then found again on another thing."""
    t0, rng = onset(track.rng), track.rng
    track.masks[t0 : t0 + 8] = False
    track.object_score[t0 : t0 + 8] = rng.normal(-6, 2, 8)
    other = path(rng) + rng.choice([-1, 1]) * np.array([80, 35])
    track.masks[t0 + 8 :] = blob(rng, other, np.full(NUM_FRAMES, rng.uniform(9, 12)), stretch=1.5)[t0 + 8 :]


def granularity(track):
    """From the wheel to the whole car, say: a larger thing around it."""
    t0 = onset(track.rng)
    for t in range(t0, NUM_FRAMES):
        ys, xs = np.nonzero(track.masks[t])
        track.masks[t] |= (np.abs(X - xs.mean()) < 75) & (np.abs(Y - ys.mean()) < 22)


def boundary(track):
    track.stability -= 0.45


def low_object_score(track):
    track.object_score[:] = track.rng.normal(0.8, 1.0, NUM_FRAMES).clip(-0.9)


def low_predicted_iou(track):
    track.predicted_iou -= 0.3


def motion_jump(track):
    """Thrown back and forth by more than half its length on some frames."""
    for t in range(5, NUM_FRAMES - 5, 6):
        track.masks[t] = np.roll(track.masks[t], 40, axis=1)


def too_small(track):
    for t in range(NUM_FRAMES):
        ys, xs = np.nonzero(track.masks[t])
        cy, cx = int(ys.mean()), int(xs.mean())
        track.masks[t] = False
        track.masks[t, cy : cy + 3, cx : cx + 3 + t % 2] = True


# Each failure with the reasons that fit it: the defect's own name, or a symptom that a reviewer would see at that place.
FAILURES: dict[Callable[[Track], None], set[str]] = {
    swap: {"swap"},
    leak: {"leak", "area_jump", "low_predicted_iou"},
    drift: {"drift", "low_predicted_iou"},
    late_loss: {"late_loss"},
    object_lost: {"object_lost"},
    flicker: {"flicker"},
    ghost: {"ghost"},
    fragment: {"fragment", "area_jump", "granularity"},
    clutter: {"fragment"},
    wrong_reacquisition: {"wrong_reacquisition"},
    granularity: {"granularity", "area_jump"},
    boundary: {"boundary"},
    low_object_score: {"low_object_score"},
    low_predicted_iou: {"low_predicted_iou"},
    motion_jump: {"motion_jump"},
    too_small: {"too_small"},
}
