"""Scenes are what their seed says, and their masks are what their pictures show.

Legend: N objects, T frames, H, W height and width.
"""

import hashlib
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2.training.scenes.scene import LEAST_PROMPTED, LEAST_VISIBLE, Look, Scenes, draw_clip, draw_frame, lay_out, masks_at

SMALL = (96, 96)
BARE = Look(0, (0.0, 0.0), 0.0, 0.0, 0.0, 1.0, 0.0, (1.0, 1.0, 1.0), 0.0, 0.0, None, 0.0)
DIGEST = """
import hashlib, sys
from sam2.training.scenes.scene import Scenes
clip = Scenes(5, first=40, size_hw=(64, 80)).clip(2, 3)
sys.stdout.write(hashlib.sha256(clip.frames_THW3.tobytes() + clip.masks_NTHW.tobytes()).hexdigest())
"""


@cache
def shown_areas(seed: int) -> np.ndarray:
    """The visible pixels (N, T) of the objects that a clip of 24 frames would have, every third frame."""
    scene = lay_out(seed, 24, size_hw=SMALL)
    areas = np.stack([masks_at(scene, time)[0].sum(axis=(1, 2)) for time in range(0, 24, 3)], axis=1)
    return areas[areas[:, 0] >= LEAST_PROMPTED * 96 * 96]


def eroded(mask_HW: np.ndarray) -> np.ndarray:
    wide = np.pad(mask_HW, 1)
    return mask_HW & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]


def test_another_process_draws_the_same() -> None:
    clip = Scenes(5, first=40, size_hw=(64, 80)).clip(2, 3)
    told = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout
    assert told == hashlib.sha256(clip.frames_THW3.tobytes() + clip.masks_NTHW.tobytes()).hexdigest()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**40), height=st.integers(32, 100), width=st.integers(32, 100), frames=st.integers(1, 3))
def test_any_seed_and_size_gives_a_clip_of_disjoint_masks(seed: int, height: int, width: int, frames: int) -> None:
    clip = draw_clip(seed, frames, size_hw=(height, width))
    assert clip.frames_THW3.shape == (frames, height, width, 3)
    assert clip.name == f"scene {seed}"
    assert clip.masks_NTHW.sum(axis=0).max() <= 1
    areas = clip.masks_NTHW.sum(axis=(2, 3)) / (height * width)
    assert len(areas) >= 1
    assert (areas[:, 0] >= LEAST_PROMPTED).all()
    assert not ((areas > 0) & (areas < LEAST_VISIBLE)).any()


def test_a_source_counts_from_its_first_scene() -> None:
    source = Scenes(3, first=7, size_hw=SMALL)
    assert len(source) == 3
    assert source.clip(1, 1).name == "scene 8"
    np.testing.assert_array_equal(source.clip(1, 2).frames_THW3, Scenes(1, first=8, size_hw=SMALL).clip(0, 2).frames_THW3)


def test_different_seeds_differ() -> None:
    assert len({draw_clip(seed, 1, size_hw=(32, 32)).frames_THW3.tobytes() for seed in range(12)}) == 12


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_where_a_new_skin_shows(seed: int) -> None:
    """Red against blue: in a bare picture a pixel differs by the share of it that the body covers, seen from the front."""
    scene = lay_out(seed, 8, size_hw=SMALL)
    scene = replace(scene, look=BARE, bodies=tuple(replace(body, shadow=False) for body in scene.bodies))
    _, masks = draw_frame(scene, 5)
    labelled = [index for index, body in enumerate(scene.bodies) if body.labelled]
    for mask, index in zip(masks, labelled, strict=True):
        pictures = [draw_frame(recoloured(scene, index, colour), 5)[0].astype(int) for colour in ((255, 0, 0), (0, 0, 255))]
        changed = np.abs(pictures[0] - pictures[1]).max(axis=-1) >= 130
        if mask.any():
            assert not (changed & ~mask).any()
            assert (changed & eroded(mask)).sum() >= 0.97 * eroded(mask).sum()
        else:
            assert changed.mean() < LEAST_VISIBLE


def recoloured(scene, index, colour):  # type: ignore[no-untyped-def]
    """The scene with one body in one colour."""
    bodies = list(scene.bodies)
    bodies[index] = replace(bodies[index], skin_PP3=np.full_like(bodies[index].skin_PP3, 0) + np.array(colour, np.uint8))
    return replace(scene, bodies=tuple(bodies))


def test_objects_hide_or_leave_and_return_within_the_first_sixty() -> None:
    gone = returned = 0
    for seed in range(60):
        for seen in shown_areas(seed) > 0:
            away = np.flatnonzero(~seen)
            gone += bool(len(away))
            returned += bool(len(away) and seen[away[0] :].any())
    assert gone >= 15
    assert returned >= 4


def test_objects_move() -> None:
    still = total = 0
    for seed in range(20):
        clip = draw_clip(seed, 9, size_hw=(64, 64))
        for first, last in clip.masks_NTHW[:, [0, 8]]:
            total += 1
            still += bool((first & last).sum() > 0.95 * (first | last).sum())
    assert still < 0.4 * total


def test_there_are_scenes_of_one_to_several_objects() -> None:
    counts = {len(shown_areas(seed)) for seed in range(60)}
    assert {1, 2, 3, 4} <= counts


@pytest.mark.parametrize(("frames", "size_hw"), [(0, (64, 64)), (-1, (64, 64)), (2, (31, 64)), (2, (64, 0))])
def test_refuses_no_frames_and_tiny_frames(frames: int, size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 1 frame of at least 32 pixels"):
        draw_clip(0, frames, size_hw=size_hw)


def test_stills_come_into_scenes() -> None:
    still = np.full((60, 60, 3), (250, 0, 250), np.uint8)
    plain, filled = Scenes(8, size_hw=(48, 48)), Scenes(8, size_hw=(48, 48), stills=(still,))
    pictures = [lay_out(s, 1, size_hw=(48, 48), stills=filled.stills).ground_HW3 for s in range(8)]
    assert any((picture == (250, 0, 250)).all() for picture in pictures)
    assert any(not np.array_equal(plain.clip(i, 1).frames_THW3, filled.clip(i, 1).frames_THW3) for i in range(3))
