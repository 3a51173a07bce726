"""Drawn shapes: the mask is what the formula says, to the pixel."""

import numpy as np

from flows.demo.shapes import Mover, draw_frame, ground_HW3, noise_HW, texture_TT3


def test_a_shape_covers_its_area_and_what_lies_above_takes_pixels_from_it() -> None:
    ground = ground_HW3((60, 80), colour_rgb=(100, 100, 100), seed=0)
    disc = Mover(1, 12.0, lambda time: (40, 30), (200, 0, 0), 1)
    lid = Mover(0, 6.0, lambda time: (40, 30), (0, 200, 0), 2, square=True)
    skins = [texture_TT3(shape.colour_rgb, seed=shape.seed) for shape in (disc, lid)]
    _, alone = draw_frame(ground, [disc], skins[:1], frame_idx=0, num_frames=2)
    _, covered = draw_frame(ground, [disc, lid], skins, frame_idx=0, num_frames=2)
    assert alone[1].sum() == 441  # lattice points within 12 of one of them
    assert alone[1].sum() - covered[1].sum() == 13 * 13
    assert set(covered) == {1}


def test_a_shape_is_away_before_its_first_frame_and_out_of_the_frame() -> None:
    ground = ground_HW3((60, 80), colour_rgb=(100, 100, 100), seed=0)
    late = Mover(1, 8.0, lambda time: (40 + 400 * time, 30), (200, 0, 0), 1, first_frame=1)
    skin = [texture_TT3(late.colour_rgb, seed=1)]
    drawn = [draw_frame(ground, [late], skin, frame_idx=i, num_frames=21) for i in (0, 1, 20)]
    assert [bool(masks[1].any()) for _, masks in drawn] == [False, True, False]
    np.testing.assert_array_equal(drawn[0][0], drawn[2][0])


def test_noise_is_seeded_and_within_bounds() -> None:
    first = noise_HW(30, 50, seed=3, cells=4)
    assert first.shape == (30, 50)
    assert 0 <= first.min() < first.max() <= 1
    np.testing.assert_array_equal(first, noise_HW(30, 50, seed=3, cells=4))
    assert not np.array_equal(first, noise_HW(30, 50, seed=4, cells=4))
