"""A camera sees what is before it, the nearest first."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sam2.training.solids.forms import Ellipsoid, box
from sam2.training.solids.moves import stand
from sam2.training.solids.skins import draw_tables, plain_skin
from sam2.training.solids.view import NOBODY, Solid, SolidPart, Surroundings, Tripod, camera_at, cast, rays_HW3

SIZE = (60, 80)
LEVEL = Tripod(
    look_at_3=np.array([0.0, 1.0, 0.0]), distance=5.0, azimuth=0.0, height=0.0, focal=80.0, orbit=0.0, pan_3=np.zeros(3),
    dolly=0.0, tremble=0.0, rate=0.1, phase=0.0,
)


def around(reach: float | None = None) -> Surroundings:
    tables = draw_tables(np.random.default_rng(0))
    sun = np.array([0.0, 0.8, 0.6])
    sky = np.array([[0.5, 0.5, 0.5], [0.2, 0.3, 0.9]], np.float32)
    return Surroundings(tables, tables, 3.0, np.zeros(3), reach, sky, sun, 0.5, 0.0)


def ball(radius: float, *place: float, colour: float = 0.5) -> Solid:
    part = SolidPart(Ellipsoid(np.full(3, radius, np.float32)), np.zeros(3), np.zeros(3), np.zeros(3))
    skin = plain_skin(np.full(3, colour, np.float32))
    return Solid((part,), skin, 0.0, radius, stand(np.array(place), np.zeros(3), np.eye(3)))


def test_the_middle_ray_looks_ahead_and_right_is_right() -> None:
    camera = camera_at(LEVEL, 0)
    np.testing.assert_allclose(camera.axes_33 @ camera.axes_33.T, np.eye(3), atol=1e-12)
    rays = rays_HW3(camera, SIZE)
    np.testing.assert_allclose(rays.mean(axis=(0, 1)), [0, 0, -1], atol=1e-6)
    assert rays[30, 79, 0] > 0 > rays[30, 0, 0]
    assert rays[0, 40, 1] > 0 > rays[59, 40, 1]


def test_a_ball_is_seen_as_large_as_it_is() -> None:
    owner = cast((ball(1.0, 0, 1, 0),), around(), camera_at(LEVEL, 0), 0, SIZE).owner_HW
    seen = 80 * math.tan(math.asin(1 / 5))
    assert (owner == 0).sum() == pytest.approx(math.pi * seen**2, rel=0.02)
    rows, columns = np.nonzero(owner == 0)
    assert rows.mean() + 0.5 == pytest.approx(30, abs=0.1)
    assert columns.mean() + 0.5 == pytest.approx(40, abs=0.1)


def test_the_nearer_covers_the_farther_whichever_comes_first() -> None:
    near, far = ball(0.5, 0, 1, 2), ball(0.8, 0.8, 1, -1)
    one = cast((near, far), around(), camera_at(LEVEL, 0), 0, SIZE).owner_HW
    other = cast((far, near), around(), camera_at(LEVEL, 0), 0, SIZE).owner_HW
    assert one[30, 40] == 0
    assert (one == 1).any()
    np.testing.assert_array_equal(np.where(one == NOBODY, NOBODY, 1 - one), other)


def test_the_floor_hides_what_is_below_it() -> None:
    owner = cast((ball(0.5, 0, -0.2, 0),), around(), camera_at(replace(LEVEL, height=1.0), 0), 0, SIZE).owner_HW
    whole = cast((ball(0.5, 0, 0.6, 0),), around(), camera_at(replace(LEVEL, height=1.0), 0), 0, SIZE).owner_HW
    assert 0 < (owner == 0).sum() < 0.5 * (whole == 0).sum()


@pytest.mark.parametrize("place", [(0, 1, 9), (0, 1, 5.6), (30, 1, 0), (0, 30, 0)])
def test_what_is_behind_or_beside_is_not_seen(place: tuple[float, float, float]) -> None:
    assert (cast((ball(0.5, *place),), around(), camera_at(LEVEL, 0), 0, SIZE).owner_HW == NOBODY).all()


def test_windows_cut_nothing_off() -> None:
    """Every pixel of a frame agrees with the same ray alone, wherever the ball is, even around the eye's side."""
    camera = camera_at(LEVEL, 0)
    rays = rays_HW3(camera, SIZE).reshape(-1, 3)
    for seed in range(40):
        place = np.random.default_rng(seed).uniform((-2.5, 0, -2), (2.5, 2, 5.4))
        owner = cast((ball(0.6, *place),), around(), camera, 0, SIZE).owner_HW
        depth = Ellipsoid(np.full(3, 0.6, np.float32)).strike((camera.eye_3 - place).astype(np.float32), rays, 0.0)
        floor = np.where(rays[:, 1] < -1e-6, -camera.eye_3[1] / np.minimum(rays[:, 1], -1e-6), np.inf)
        np.testing.assert_array_equal(owner.reshape(-1) == 0, depth < floor)


def test_walls_stand_where_they_are_told_and_the_sky_is_without_end() -> None:
    camera = camera_at(LEVEL, 0)
    inside = cast((), around(6.0), camera, 0, SIZE)
    assert np.isfinite(inside.depth_HW).all()
    assert inside.depth_HW[30, 40] == pytest.approx(11, rel=0.01)
    outside = cast((), around(), camera, 0, SIZE)
    assert np.isinf(outside.depth_HW[:28]).all()
    assert np.isfinite(outside.depth_HW[40:]).all()
    assert np.isfinite(outside.light_HW3).all()


def test_bodies_throw_shadows_and_are_darker_away_from_the_sun() -> None:
    aside = camera_at(replace(LEVEL, height=4.0, azimuth=math.pi / 2), 0)
    empty, full = (cast(bodies, around(), aside, 0, SIZE) for bodies in ((), (ball(0.5, 0, 1, 0),)))
    floor = full.owner_HW == NOBODY
    assert (full.light_HW3[floor] < 0.8 * empty.light_HW3[floor]).all(axis=-1).sum() > 30
    lit = cast((ball(1.0, 0, 1.5, 0),), around(), camera_at(LEVEL, 0), 0, SIZE)
    rows = np.nonzero(lit.owner_HW == 0)[0]
    assert lit.light_HW3[rows.min() + 2, 40, 0] > 1.3 * lit.light_HW3[rows.max() - 2, 40, 0]


def test_limbs_swing_with_time() -> None:
    form = box(np.array([0.1, 0.5, 0.1], np.float32))
    limb = SolidPart(form, np.zeros(3), np.array([0, -0.5, 0]), np.array([0, 0, 1.0]), 0.5)
    body = replace(ball(0.5, 0, 1.2, 0), parts=(limb,))
    before, after = (cast((body,), around(), camera_at(LEVEL, 0), time, SIZE).owner_HW == 0 for time in (0, 3))
    assert (before & after).sum() < 0.6 * before.sum()


def test_the_camera_sways_and_comes_back() -> None:
    moving = replace(LEVEL, orbit=0.4, dolly=0.1, pan_3=np.array([0.3, 0.0, 0.0]))
    assert np.linalg.norm(camera_at(moving, 8).eye_3 - camera_at(moving, 0).eye_3) > 0.5
    np.testing.assert_allclose(camera_at(moving, 20 * math.pi).eye_3, camera_at(moving, 0).eye_3, atol=1e-6)
