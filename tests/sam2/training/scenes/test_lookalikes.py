"""Look-alike scenes are what their seed says, and their objects cross, hide, leave and return.

Legend: N objects, T frames, S stops of a way.
"""

import hashlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sam2.training.scenes import scene as drawn
from sam2.training.scenes.lookalikes import MOST_SCREENS, Lookalikes, draw_lookalikes, lay_out, way
from sam2.training.scenes.scene import LEAST_PROMPTED, masks_at

SMALL = (96, 128)


@cache
def masks_of(seed: int) -> np.ndarray:
    """The masks (N, T, H, W) of a scene of 121 frames, every third frame."""
    scene = lay_out(seed, 121, size_hw=SMALL)
    return np.stack([masks_at(scene, time)[0] for time in range(0, 121, 3)], axis=1)


def touching(masks_NTHW: np.ndarray) -> np.ndarray:
    """Whether (T,) two objects lie within two pixels of each other."""
    wide = np.pad(masks_NTHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = masks_NTHW.shape[2:]
    grown = np.any([wide[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return (grown.sum(axis=0) > 1).any(axis=(1, 2))


def test_a_number_is_the_same_clip_each_time_and_no_scene_of_the_trainer() -> None:
    first, second = Lookalikes(5, first=40, size_hw=SMALL).clip(2, 3), draw_lookalikes(42, 3, size_hw=SMALL)
    assert first.name == second.name == "look-alike scene 42"
    assert first.frames_THW3.shape == (3, *SMALL, 3)
    digests = [hashlib.sha256(c.frames_THW3.tobytes() + c.masks_NTHW.tobytes()).hexdigest() for c in (first, second)]
    assert digests[0] == digests[1]
    assert not np.array_equal(first.frames_THW3, drawn.draw_clip(42, 3, size_hw=SMALL).frames_THW3)


def test_two_to_four_objects_of_one_look_all_shown_at_first() -> None:
    counts = set()
    for seed in range(12):
        clip = draw_lookalikes(seed, 1, size_hw=SMALL)
        counts.add(len(clip.masks_NTHW))
        assert (clip.masks_NTHW[:, 0].mean(axis=(1, 2)) >= LEAST_PROMPTED).all()
        scene = lay_out(seed, 120, size_hw=SMALL)
        cast = [body for body in scene.bodies if body.labelled]
        assert all(body.skin_PP3 is cast[0].skin_PP3 and body.outline is cast[0].outline for body in cast)
        assert 1 <= len(scene.bodies) - len(cast) <= MOST_SCREENS
    assert counts == {2, 3, 4}


def test_objects_cross_in_every_scene() -> None:
    shares = [touching(masks_of(seed)).mean() for seed in range(8)]
    assert min(shares) > 0
    assert np.mean(shares) > 0.2


def test_objects_go_out_of_sight_and_return() -> None:
    shown = [masks_of(seed).any(axis=(2, 3)) for seed in range(8)]
    assert np.mean([(~shown_NT).any() for shown_NT in shown]) >= 0.75
    gone = np.concatenate([shown_NT[(~shown_NT).any(axis=1)] for shown_NT in shown])
    assert gone[:, -1].mean() > 0.8


def test_something_hides_a_part_of_an_object() -> None:
    hidden = []
    for seed in range(6):
        scene = lay_out(seed, 121, size_hw=SMALL)
        bare = replace(scene, bodies=tuple(body for body in scene.bodies if body.labelled))
        seen, whole = (np.array([masks_at(s, t)[0].sum(axis=(1, 2)) for t in range(0, 121, 4)]) for s in (scene, bare))
        hidden.append((seen < 0.5 * whole).any())
    assert np.mean(hidden) >= 0.8


def test_a_long_scene_has_no_more_screens() -> None:
    scene = lay_out(3, 1000, size_hw=SMALL)
    assert sum(not body.labelled for body in scene.bodies) == MOST_SCREENS


def test_a_way_passes_its_stops() -> None:
    stops_S2 = np.array([[0.1, 0.2], [0.5, 0.9], [0.8, 0.3], [0.4, 0.4]])
    place = way(stops_S2, 31)
    np.testing.assert_allclose([place(time) for time in (0, 10, 20, 30)], stops_S2)
    steps = np.diff([place(time) for time in range(31)], axis=0)
    assert np.abs(np.diff(steps, axis=0)).max() < 0.05      # it does not jump
    np.testing.assert_allclose(way(stops_S2[:2], 1)(0), stops_S2[0])


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="num_frames=0, size_hw="):
        draw_lookalikes(1, 0)
    with pytest.raises(IndexError, match="look-alike scene 5 of 5"):
        Lookalikes(5).clip(5, 1)
