"""Augmented clips: masks move with what they cover, and nothing else decides how than the generator given."""

import numpy as np
import torch

from sam2.training.augmentation import augmented
from sam2.training.clip import Clip

RED = (200, 30, 30)


def red_square(frames: int = 3, top: int = 20) -> Clip:
    """A red square on grey, whose mask it is."""
    pictures = np.full((frames, 64, 96, 3), 120, np.uint8)
    masks = np.zeros((1, frames, 64, 96), bool)
    masks[0, :, top : top + 20, 30:60] = True
    pictures[masks[0]] = RED
    return Clip(pictures, masks, "square")


def test_masks_cover_what_they_covered() -> None:
    clip = red_square()
    for seed in range(12):
        found = augmented(clip, np.random.default_rng(seed))
        redness = found.frames_THW3[..., 0].astype(int) - found.frames_THW3[..., 1]
        if redness.max() < 20:
            continue        # turned grey
        red = redness > redness.max() / 2
        both = (red & found.masks_NTHW[0]).sum()
        assert both / (red | found.masks_NTHW[0]).sum() > 0.8, seed


def test_all_frames_move_alike_and_have_colours_of_their_own() -> None:
    found = augmented(red_square(), np.random.default_rng(3))
    assert (found.masks_NTHW == found.masks_NTHW[:, :1]).all()
    assert not (found.masks_NTHW == red_square().masks_NTHW).all()
    assert not (found.frames_THW3 == found.frames_THW3[:1]).all()


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = augmented(red_square(), np.random.default_rng(5))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    again = augmented(red_square(), np.random.default_rng(5))
    assert (first.frames_THW3 == again.frames_THW3).all()
    assert (first.masks_NTHW == again.masks_NTHW).all()


def test_an_object_stays_on_the_first_frame() -> None:
    pictures = np.zeros((2, 64, 96, 3), np.uint8)
    masks = np.zeros((1, 2, 64, 96), bool)
    masks[0, :, :2, :2] = True      # in the corner: most moves take it out
    for seed in range(20):
        assert augmented(Clip(pictures, masks, "corner"), np.random.default_rng(seed)).masks_NTHW[:, 0].any()
