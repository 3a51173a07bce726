"""Textures follow from their generator, fill any size, and are not one flat colour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2.training.scenes import textures
from sam2.training.scenes.textures import palette_K3, smooth_noise_HW, texture_HW3

STILL = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(32, 90), width=st.integers(32, 90))
def test_fills_any_size(seed: int, height: int, width: int) -> None:
    picture = texture_HW3(np.random.default_rng(seed), (height, width))
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("kind", textures.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_repeats_with_its_generator_and_varies_without(kind) -> None:  # type: ignore[no-untyped-def]
    pictures = [kind(np.random.default_rng(seed), (64, 64)) for seed in range(12)]
    np.testing.assert_array_equal(pictures[4], kind(np.random.default_rng(4), (64, 64)))
    assert not any(np.array_equal(pictures[0], other) for other in pictures[1:])
    assert sum(float(picture.std(axis=(0, 1)).max()) > 3 for picture in pictures) >= 9


def test_every_kind_has_its_share() -> None:
    assert len(textures.KINDS) == len(textures.SHARES)
    assert sum(textures.SHARES) == pytest.approx(1)


def test_every_other_texture_is_a_piece_of_a_still() -> None:
    black = np.zeros((50, 70, 3), np.uint8)
    cut = [not texture_HW3(np.random.default_rng(seed), (32, 48), [black]).any() for seed in range(40)]
    assert 10 <= sum(cut) <= 30


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 120), width=st.integers(1, 120))
def test_pieces_of_small_and_large_stills_come_to_size(seed: int, height: int, width: int) -> None:
    assert textures._piece_of(STILL, np.random.default_rng(seed), (height, width)).shape == (height, width, 3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), cells=st.floats(1, 40), width=st.integers(32, 100))
def test_noise_spans_nought_to_one(seed: int, cells: float, width: int) -> None:
    noise = smooth_noise_HW(np.random.default_rng(seed), (40, width), cells=cells)
    assert noise.shape == (40, width)
    assert noise.min() == 0
    assert noise.max() == pytest.approx(1, abs=1e-5) or noise.max() == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 9))
def test_palettes_are_colours(seed: int, count: int) -> None:
    colours = palette_K3(np.random.default_rng(seed), count)
    assert colours.shape == (count, 3)
    assert colours.min() >= 0
    assert colours.max() <= 255
