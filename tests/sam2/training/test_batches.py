"""Batches follow from their step's number, hold what clips hold, and never prompt what is not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2.training.batches import Batch, Batches, augmented
from sam2.training.clip import Clip
from sam2.training.scenes.scene import Scenes
from sam2.video.source import normalised


class Marked:
    """Clips of 40 x 60 pixels whose frames say which they are by their grey level, with two objects; the second is seen on
    the first frame alone. `most` frames at most."""

    def __init__(self, most: int = 99) -> None:
        self.most = most

    def __len__(self) -> int:
        return 5

    def clip(self, index: int, num_frames: int) -> Clip:
        frames = min(num_frames, self.most)
        levels = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10 + 20
        masks = np.zeros((2, frames, 40, 60), bool)
        masks[0, :, :20, :30] = True
        masks[1, 0, 20:, 30:] = True
        return Clip(np.broadcast_to(levels, (frames, 40, 60, 3)).copy(), masks, "marked")


def test_augmented_batches_differ_and_follow_from_their_number() -> None:
    plain = Batches(Scenes(9, size_hw=(48, 64)), 3, 2, 2, 2, 32)
    augmented = replace(plain, augment=True)
    assert torch.equal(augmented[7].frames_VTSS3, augmented[7].frames_VTSS3)
    assert not torch.equal(augmented[7].frames_VTSS3, plain[7].frames_VTSS3)
    assert augmented[7].masks_VOTSS[:, :, 0].flatten(2).any(2).all()


def test_a_step_has_one_batch() -> None:
    batches = Batches(Scenes(9, size_hw=(48, 64)), 3, 2, 2, 2, 32)
    first, again, other = batches[7], batches[7], batches[8]
    assert first.frames_VTSS3.shape == (2, 2, 32, 32, 3)
    assert first.masks_VOTSS.shape == (2, 2, 2, 32, 32)
    assert first.frames_VTSS3.dtype == torch.uint8
    assert first.masks_VOTSS.dtype == torch.bool
    assert torch.equal(first.frames_VTSS3, again.frames_VTSS3)
    assert torch.equal(first.masks_VOTSS, again.masks_VOTSS)
    assert not torch.equal(first.frames_VTSS3, other.frames_VTSS3)
    assert not torch.equal(first.frames_VTSS3, Batches(Scenes(9, size_hw=(48, 64)), 4, 2, 2, 2, 32)[7].frames_VTSS3)


def test_clips_run_forward_and_backward_and_are_mirrored() -> None:
    batches = Batches(Marked(), 0, 1, 2, 3, 40)
    levels, left = set(), set()
    for step in range(24):
        batch = batches[step]
        levels.add(tuple(batch.frames_VTSS3[0, :, 0, 0, 0].tolist()))
        left.add(bool(batch.masks_VOTSS[0, :, 0, 0, 0].any()))
        assert bool(batch.truth(0).flatten(1).any(1).all())       # what is prompted can be seen
    assert levels == {(20, 30, 40), (40, 30, 20)}
    assert left == {True, False}


def test_a_short_clip_stands_still_at_its_end() -> None:
    batch = Batches(Marked(most=2), 0, 1, 1, 4, 40)[1]
    assert len(batch.frames_VTSS3[0, :, 0, 0, 0].unique()) == 2
    assert torch.equal(batch.frames_VTSS3[0, 1], batch.frames_VTSS3[0, 3])
    assert torch.equal(batch.masks_VOTSS[0, :, 1], batch.masks_VOTSS[0, :, 3])


def test_masks_keep_their_share_of_the_picture_when_resized() -> None:
    batch = Batches(Marked(), 0, 1, 1, 1, 32)[0]
    assert int(batch.masks_VOTSS.sum()) == 32 * 32 // 4


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 16, 16, 3), generator=random, dtype=torch.uint8)
    return Batch(frames, torch.rand(2, 2, 3, 16, 16, generator=random) < 0.5)


def test_frames_come_as_tracking_normalises_them(batch: Batch) -> None:
    images = batch.all_frames()
    for clip in range(2):
        for frame in range(3):
            expected = normalised(batch.frames_VTSS3[clip, frame].numpy(), torch.device("cpu"))
            torch.testing.assert_close(images[batch.rows(frame)[clip]], expected)
            torch.testing.assert_close(batch.frame(frame)[clip], expected)


def test_truth_is_by_object_and_soft_truth_a_share(batch: Batch) -> None:
    assert torch.equal(batch.truth(1)[3], batch.masks_VOTSS[1, 1, 1])
    soft = batch.soft_truth(1, 4)
    assert soft.shape == (4, 1, 4, 4)
    torch.testing.assert_close(soft[3, 0, 0, 0], batch.masks_VOTSS[1, 1, 1, :4, :4].float().mean())
    assert torch.equal(batch.soft_truth(1, 16)[:, 0], batch.truth(1).float())


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
