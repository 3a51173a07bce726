"""Drawn cases are the same each time, and hard in the way that they say."""

import numpy as np
import pytest

from flows.quality.clips import GENERATORS, MOST_OBJECTS, VARIANTS, Case, draw_case

SMALL = (96, 128)


def shares(case: Case) -> np.ndarray:
    """Return how many pixels each object (N, T) shows."""
    return draw_case(case).masks_NTHW.sum(axis=(2, 3))


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_case_is_the_same_clip_each_time(generator: str, variant: str) -> None:
    case = Case(generator, variant, 3, num_frames=6, size_hw=SMALL)
    first, second = draw_case(case), draw_case(case)
    assert first.name == case.name == f"{generator}-{variant}-00003-6f-128x96"
    assert first.frames_THW3.shape == (6, *SMALL, 3)
    assert np.array_equal(first.frames_THW3, second.frames_THW3)
    assert np.array_equal(first.masks_NTHW, second.masks_NTHW)
    assert 1 <= len(first.masks_NTHW) <= MOST_OBJECTS
    assert first.masks_NTHW[:, 0].any(axis=(1, 2)).all()
    assert (first.masks_NTHW.sum(axis=0) <= 1).all()


def test_objects_leave_and_most_come_back() -> None:
    seen = np.concatenate([shares(Case("scenes", "exit_return", seed, 40, SMALL)) > 0 for seed in range(4)])
    gone = (~seen).any(axis=1)
    assert gone.mean() > 0.5
    assert seen[gone, -1].mean() > 0.4


def test_objects_shrink() -> None:
    areas = np.concatenate([shares(Case("scenes", "shrink", seed, 12, SMALL)) for seed in range(4)])
    assert np.median(areas[:, 10] / areas[:, 0]) < 0.2


def test_a_cut_shows_another_picture() -> None:
    for generator in GENERATORS:
        frames = draw_case(Case(generator, "cut", 1, 16, SMALL)).frames_THW3.astype(int)
        steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        assert steps.max() > 2 * np.median(steps)


def test_look_alikes_look_alike() -> None:
    clip = draw_case(Case("lookalikes", "plain", 2, 2, SMALL))
    assert len(clip.masks_NTHW) >= 3
    colours = [clip.frames_THW3[0][mask_THW[0]].mean(axis=0) for mask_THW in clip.masks_NTHW]
    nearest = [min(np.abs(a - b).max() for b in colours if b is not a) for a in colours]
    assert np.median(nearest) < 25


def test_a_case_checks_itself() -> None:
    with pytest.raises(ValueError, match="variant is 'fog'; expected one of plain, occlusion"):
        Case("scenes", "fog", 1)
