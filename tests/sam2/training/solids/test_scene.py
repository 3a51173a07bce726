"""Scenes of solids are what their seed says, and their masks are what their pictures show."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2.training.solids.scene import (
    LEAST_CONTRAST,
    LEAST_PROMPTED,
    LEAST_VISIBLE,
    MOST_OF_FRAME,
    Solids,
    SolidScene,
    contrast,
    draw_frame,
    draw_solids,
    lay_out,
)
from sam2.training.solids.skins import plain_skin
from sam2.training.solids.view import camera_at, cast

SMALL = (64, 64)
DIGEST = """
import hashlib, sys
from sam2.training.solids.scene import Solids
clip = Solids(5, 40, (64, 80)).clip(2, 3)
sys.stdout.write(hashlib.sha256(clip.frames_THW3.tobytes() + clip.masks_NTHW.tobytes()).hexdigest())
"""


@cache
def laid_out(seed: int) -> SolidScene:
    return lay_out(seed, 24, size_hw=SMALL)


@cache
def shown_areas(seed: int) -> np.ndarray:
    """The visible pixels (N, T) of a scene's objects, every fourth frame of 24."""
    scene = laid_out(seed)
    owners = [cast(scene.bodies, scene.around, camera_at(scene.tripod, t), t, SMALL).owner_HW for t in range(0, 24, 4)]
    return np.array([[(owner == label).sum() for owner in owners] for label in scene.labels])


def bare(scene: SolidScene) -> SolidScene:
    """The scene without anything that mixes pixels or frames."""
    return replace(scene, lens=replace(scene.lens, softness=0, shutter=0.0, grain=0.0))


def recoloured(scene: SolidScene, index: int, *colour: float) -> SolidScene:
    bodies = list(scene.bodies)
    bodies[index] = replace(bodies[index], skin=plain_skin(np.array(colour, np.float32)), gloss=0.0)
    return replace(scene, bodies=tuple(bodies), around=replace(scene.around, haze=0.0))


def test_another_process_draws_the_same() -> None:
    clip = Solids(5, 40, (64, 80)).clip(2, 3)
    told = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout
    assert told == hashlib.sha256(clip.frames_THW3.tobytes() + clip.masks_NTHW.tobytes()).hexdigest()


def test_a_longer_clip_begins_with_the_shorter_one() -> None:
    for seed in range(6):
        short, long = draw_solids(seed, 2, size_hw=SMALL), draw_solids(seed, 5, size_hw=SMALL)
        np.testing.assert_array_equal(short.frames_THW3, long.frames_THW3[:2])
        np.testing.assert_array_equal(short.masks_NTHW, long.masks_NTHW[:, :2])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**40), height=st.integers(32, 100), width=st.integers(32, 100), frames=st.integers(1, 3))
def test_any_seed_and_size_gives_a_clip_of_disjoint_masks(seed: int, height: int, width: int, frames: int) -> None:
    clip = draw_solids(seed, frames, size_hw=(height, width))
    assert clip.frames_THW3.shape == (frames, height, width, 3)
    assert clip.name == f"solids {seed}"
    assert clip.masks_NTHW.sum(axis=0).max() <= 1
    areas = clip.masks_NTHW.sum(axis=(2, 3)) / (height * width)
    assert 1 <= len(areas) <= 4
    assert (areas[:, 0] >= LEAST_PROMPTED).all()
    assert (areas[:, 0] <= MOST_OF_FRAME).all()
    assert not ((areas > 0) & (areas < LEAST_VISIBLE)).any()


def test_a_source_counts_from_its_first_scene() -> None:
    source = Solids(3, 7, SMALL)
    assert len(source) == 3
    assert source.clip(1, 1).name == "solids 8"
    np.testing.assert_array_equal(source.clip(1, 2).frames_THW3, Solids(1, 8, SMALL).clip(0, 2).frames_THW3)


def test_different_seeds_differ() -> None:
    assert len({draw_solids(seed, 1, size_hw=(32, 32)).frames_THW3.tobytes() for seed in range(12)}) == 12


@pytest.mark.parametrize("seed", range(12))
def test_masks_are_exactly_where_a_new_skin_shows(seed: int) -> None:
    scene = bare(lay_out(seed, 8, size_hw=(96, 96)))
    for position, index in enumerate(scene.labels):
        red, _ = draw_frame(recoloured(scene, index, 0.9, 0.02, 0.02), 5)
        blue, masks = draw_frame(recoloured(scene, index, 0.02, 0.02, 0.9), 5)
        changed = (red != blue).any(axis=-1)
        if changed.mean() >= LEAST_VISIBLE:
            np.testing.assert_array_equal(changed, masks[position])
        else:
            assert not masks[position].any()


def test_lens_and_shutter_leave_masks_in_the_middle_of_the_blur() -> None:
    """What a new skin changes in a blurred picture lies around what it changes in a sharp one, to no side more."""
    leans = []
    for seed in range(24):
        sharp = bare(laid_out(seed))
        blurred = replace(sharp, lens=replace(sharp.lens, shutter=0.9, softness=2))
        mask = draw_frame(sharp, 2)[1][0]
        if mask.sum() < 40 or mask[[0, 1, -2, -1]].any() or mask[:, [0, 1, -2, -1]].any():
            continue
        centres = []
        for scene in (sharp, blurred):
            dark = draw_frame(recoloured(scene, scene.labels[0], 0.02, 0.02, 0.02), 2)[0].astype(float)
            change = (draw_frame(recoloured(scene, scene.labels[0], 0.9, 0.9, 0.9), 2)[0] - dark).sum(axis=-1)
            centres.append([(change * axis).sum() / change.sum() for axis in np.indices(SMALL)])
        leans.append(np.subtract(*centres))
    assert len(leans) >= 6
    assert np.abs(np.median(leans, axis=0)).max() < 0.15


def test_objects_move_hide_or_leave_and_return_within_the_first_sixty() -> None:
    gone = returned = changed = total = 0
    for seed in range(60):
        for areas in shown_areas(seed):
            away = np.flatnonzero(areas == 0)
            total += 1
            gone += bool(len(away))
            returned += bool(len(away) and areas[away[0] :].any())
            changed += bool(areas.max() > 1.15 * areas.min())
    assert 0.15 * total < gone < 0.7 * total
    assert returned >= 10
    assert changed > 0.8 * total


def test_some_objects_hide_behind_something_while_in_view() -> None:
    """Without the rest of the cast more of them would be seen."""
    hidden = 0
    for seed in range(24):
        scene = laid_out(seed)
        for label in scene.labels:
            for time in (6, 12, 18):
                camera = camera_at(scene.tripod, time)
                alone = (cast((scene.bodies[label],), scene.around, camera, time, SMALL).owner_HW == 0).sum()
                among = (cast(scene.bodies, scene.around, camera, time, SMALL).owner_HW == label).sum()
                assert among <= alone
                hidden += bool(alone > 20 and among < 0.5 * alone)
    assert hidden >= 6


def test_there_are_scenes_of_one_to_four_objects() -> None:
    assert {1, 2, 3, 4} == {len(shown_areas(seed)) for seed in range(60)}


def test_pictures_are_neither_black_nor_white_and_objects_differ_from_what_is_around_them() -> None:
    for seed in range(40):
        assert 25 < draw_frame(laid_out(seed), 0)[0].mean() < 225
        picture, masks = draw_frame(bare(laid_out(seed)), 0)
        # Without the blur that the choice was made with, the contrast may come out a little otherwise.
        assert all(contrast(picture, mask) > 0.6 * LEAST_CONTRAST for mask in masks)


def test_nothing_stands_in_front_of_the_eye_on_the_first_frame() -> None:
    """Scene 64 once began inside a letter."""
    for seed in (64, *range(20)):
        scene = laid_out(seed)
        owner = cast(scene.bodies, scene.around, camera_at(scene.tripod, 0), 0, SMALL).owner_HW
        assert max((owner == index).mean() for index in range(len(scene.bodies))) <= MOST_OF_FRAME


def test_contrast_is_in_levels() -> None:
    picture, mask = np.full((32, 32, 3), 100, np.uint8), np.zeros((32, 32), np.bool_)
    mask[8:20, 8:20] = True
    assert contrast(picture, mask) == 0
    picture[mask] = (100, 112, 95)
    assert contrast(picture, mask) == pytest.approx(12)
    picture[mask] = np.where(np.indices((32, 32)).sum(axis=0) % 2, 80, 120)[mask, None]
    assert contrast(picture, mask) == pytest.approx(20, abs=0.5)
    assert contrast(picture, np.ones_like(mask)) == np.inf


@pytest.mark.parametrize(
    ("seed", "frames", "size_hw"), [(0, 0, (64, 64)), (0, 2, (31, 64)), (0, 2, (64, 0)), (-1, 2, (64, 64))]
)
def test_refuses_bad_numbers(seed: int, frames: int, size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"seed={seed}, num_frames={frames}.*expected"):
        draw_solids(seed, frames, size_hw=size_hw)


def test_a_source_refuses_nothing_to_draw_and_places_beyond_its_end() -> None:
    with pytest.raises(ValueError, match="count=0"):
        Solids(0)
    with pytest.raises(ValueError, match="first=-3"):
        Solids(2, -3)
    for index in (-1, 2):
        with pytest.raises(IndexError, match=f"scene {index} of 2"):
            Solids(2, size_hw=SMALL).clip(index, 1)
