"""Pictures follow from light."""

from dataclasses import replace

import numpy as np
import pytest

from sam2.training.solids.lens import Lens, develop

PLAIN = Lens(
    shutter=0.0, softness=0, exposure=1.0, drift=0.0, flicker=0.0, balance_3=np.ones(3, np.float32), vignette=0.0, grain=0.0
)


def shot(light: np.ndarray, lens: Lens, time: float = 0, seed: int = 0) -> np.ndarray:
    return develop(light, lens, time, np.random.default_rng(seed)).astype(int)


def test_more_light_is_never_darker_and_black_is_black() -> None:
    light = np.repeat(np.linspace(0, 4, 200, dtype=np.float32)[None, :, None], 3, axis=2)
    row = shot(light, PLAIN)[0, :, 0]
    assert row[0] == 0
    assert (np.diff(row) >= 0).all()
    assert 250 <= row[-1] <= 255
    assert row[10] == pytest.approx(255 * 0.9 * np.sqrt(light[0, 10, 0]), abs=1)


def test_a_soft_lens_spreads_a_point_evenly_to_all_sides() -> None:
    light = np.zeros((21, 21, 3), np.float32)
    light[10, 10] = 0.5
    picture = shot(light, replace(PLAIN, softness=2))[..., 0]
    assert picture[10, 10] > picture[10, 12] > 0
    np.testing.assert_array_equal(picture, picture[::-1])
    np.testing.assert_array_equal(picture, picture.T)


def test_corners_darken_and_balance_tints() -> None:
    light = np.full((31, 31, 3), 0.3, np.float32)
    dim = shot(light, replace(PLAIN, vignette=0.5))
    assert dim[0, 0, 0] < 0.8 * dim[15, 15, 0]
    warm = shot(light, replace(PLAIN, balance_3=np.array([1.2, 1.0, 0.8], np.float32)))
    assert warm[5, 5, 0] > warm[5, 5, 1] > warm[5, 5, 2]


def test_exposure_drifts_with_time_and_grain_follows_its_generator() -> None:
    light = np.full((40, 40, 3), 0.3, np.float32)
    drifting = replace(PLAIN, drift=0.3)
    assert shot(light, drifting, 8).mean() > shot(light, drifting, 0).mean() + 10
    grainy = replace(PLAIN, grain=10.0)
    assert 3 < shot(light, grainy).std() < 12
    np.testing.assert_array_equal(shot(light, grainy, seed=1), shot(light, grainy, seed=1))
    assert not np.array_equal(shot(light, grainy, seed=1), shot(light, grainy, seed=2))
