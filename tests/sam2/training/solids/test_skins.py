"""Skins are colours, follow from their generator, and floors repeat without a seam in place."""

import numpy as np
import pytest

from sam2.training.solids import skins as solid_skins
from sam2.training.solids.skins import LEVELS, TABLE_SIDE, draw_skin, draw_tables, look_up, paint, plain_skin, plasma_PP

POINTS = np.random.default_rng(0).uniform(-1, 1, (400, 3)).astype(np.float32)


def test_skins_are_shares_of_light_and_repeat_with_their_generator() -> None:
    for seed in range(40):
        colours = draw_skin(np.random.default_rng(seed), 1.0)(POINTS)
        assert colours.shape == (400, 3)
        assert colours.dtype == np.float32
        assert 0 <= colours.min() <= colours.max() <= 1
        np.testing.assert_array_equal(colours, draw_skin(np.random.default_rng(seed), 1.0)(POINTS))


@pytest.mark.parametrize("skin", solid_skins.SKINS, ids=lambda skin: skin.__name__)
def test_every_skin_has_a_pattern(skin) -> None:  # type: ignore[no-untyped-def]
    levels = skin(np.random.default_rng(5), 1.0)(POINTS)
    assert levels.shape == (400,)
    assert np.clip(levels, 0, 1).std() > 0.03


def test_a_plain_skin_is_plain() -> None:
    assert (plain_skin(np.array([0.1, 0.2, 0.3], np.float32))(POINTS) == np.float32([0.1, 0.2, 0.3])).all()


def test_paint_is_never_black() -> None:
    colours = np.stack([paint(np.random.default_rng(seed), 1.0) for seed in range(200)])
    assert 0.02 <= colours.min() <= colours.max() <= 0.95
    assert np.ptp(colours, axis=1).max() > 0.5


def test_tables_repeat_and_grow_coarse() -> None:
    tables = draw_tables(np.random.default_rng(2))
    along, across = np.random.default_rng(1).uniform(0, 1, (2, 500)).astype(np.float32)
    fine, far = np.ones(500, np.float32), np.full(500, 1e9, np.float32)
    np.testing.assert_array_equal(look_up(tables, along, across, fine), look_up(tables, along - 1, across + 3, fine))
    coarsest = (TABLE_SIDE >> (LEVELS - 1)) ** 2
    assert len(np.unique(look_up(tables, along, across, far), axis=0)) <= coarsest
    first, last = tables.texels_X3[: TABLE_SIDE**2], tables.texels_X3[-coarsest:]
    np.testing.assert_allclose(last.mean(axis=0), first.mean(axis=0), rtol=1e-3)


@pytest.mark.parametrize("floor", solid_skins.FLOORS, ids=lambda floor: floor.__name__)
def test_every_floor_is_a_full_table(floor) -> None:  # type: ignore[no-untyped-def]
    table = floor(np.random.default_rng(8))
    assert table.shape == (TABLE_SIDE, TABLE_SIDE)
    assert 0 <= table.min() < table.max() <= 1


def test_plasma_has_no_seam() -> None:
    plasma = plasma_PP(np.random.default_rng(4), 0.7)
    inner, seam = np.abs(np.diff(plasma, axis=0)).mean(), np.abs(plasma[0] - plasma[-1]).mean()
    assert seam < 2 * inner
