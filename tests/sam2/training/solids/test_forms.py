"""Rays meet forms where the forms are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2.training.solids.forms import (
    LETTERS,
    Cylinder,
    Ellipsoid,
    Form,
    Letter,
    box,
    cut_stone,
    droplets,
    letter_PP,
    pyramid,
    torus,
)

FORMS: dict[str, Form] = {
    "ellipsoid": Ellipsoid(np.array([1.0, 0.5, 0.7], np.float32)),
    "cylinder": Cylinder(0.6, 0.9),
    "box": box(np.array([0.5, 0.6, 0.7], np.float32)),
    "stone": cut_stone(np.random.default_rng(1), 1.0),
    "pyramid": pyramid(np.random.default_rng(2), 1.0),
    "torus": torus(1.0, 0.3),
    "droplets": droplets(np.random.default_rng(3), 1.0),
    "letter": Letter("B", 1.0, 0.3),
}


def rays_at(form: Form, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An eye around a form and rays towards places in it."""
    random = np.random.default_rng(seed)
    eye = random.normal(0, 1, 3)
    eye *= 5 / np.linalg.norm(eye)
    targets = random.uniform(-0.7, 0.7, (200, 3)) * form.reach
    return eye.astype(np.float32), (targets - eye).astype(np.float32)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_hits_lie_within_reach_and_face_the_eye(name: str, seed: int) -> None:
    form = FORMS[name]
    eye, rays = rays_at(form, seed)
    depth = form.strike(eye, rays, 0.0)
    met = np.isfinite(depth)
    if not met.any():
        return
    points = eye + depth[met, None] * rays[met]
    assert depth[met].min() > 0
    assert np.linalg.norm(points, axis=1).max() <= form.reach * 1.02
    normals = form.normal(points, 0.0)
    assert np.isfinite(normals).all()
    facing = np.einsum("ki,ki->k", normals, rays[met]) < 1e-3 * np.linalg.norm(normals, axis=1)
    assert facing.mean() > (0.8 if name in ("letter", "droplets", "torus") else 0.97)


@pytest.mark.parametrize("name", FORMS)
def test_what_looks_away_meets_nothing(name: str) -> None:
    eye, rays = rays_at(FORMS[name], 4)
    assert np.isfinite(FORMS[name].strike(eye, rays, 0.0)).sum() > 20
    assert not np.isfinite(FORMS[name].strike(eye, -rays, 0.0)).any()


def straight_down(form: Form, *xy: float) -> float:
    """The height above the middle at which a ray down z from 4 meets the form."""
    return 4 - float(form.strike(np.array([*xy, 4], np.float32), np.array([[0, 0, -1]], np.float32), 0.0)[0])


def test_heights_by_hand() -> None:
    assert straight_down(FORMS["ellipsoid"], 0, 0) == pytest.approx(0.7, abs=1e-5)
    assert straight_down(FORMS["cylinder"], 0.3, 0.2) == pytest.approx(np.sqrt(0.36 - 0.09), abs=1e-5)
    assert straight_down(FORMS["box"], 0.4, 0.5) == pytest.approx(0.7, abs=1e-5)
    assert straight_down(FORMS["box"], 0.51, 0.5) == -np.inf
    assert straight_down(FORMS["torus"], 0, 0) == pytest.approx(1, abs=0.01)
    upright = torus(1.0, 0.3).strike(np.array([0, 4, 0], np.float32), np.array([[0, -1, 0]], np.float32), 0.0)
    assert upright[0] == np.inf     # through the hole


def test_letters_are_their_ink() -> None:
    letter = Letter("L", 1.0, 0.2)
    assert straight_down(letter, 0.6, 0.6) == -np.inf
    height = straight_down(letter, -0.4, 0.5), straight_down(letter, 0.0, -0.75)
    assert height == pytest.approx((0.2, 0.2), abs=0.02)


def test_letters_are_all_drawn() -> None:
    shares = [float((letter_PP(text) > 0.5).mean()) for text in LETTERS]
    assert min(shares) > 0.1
    assert max(shares) < 0.8
    assert len({letter_PP(text).tobytes() for text in LETTERS}) == len(LETTERS)


def test_soft_forms_live() -> None:
    shapes = [droplets(np.random.default_rng(seed), 1.0) for seed in range(8)]
    points = np.random.default_rng(0).normal(0, 0.6, (50, 3)).astype(np.float32)
    assert any(np.abs(s.distance(points, 0.0) - s.distance(points, 9.0)).max() > 0.02 for s in shapes)
