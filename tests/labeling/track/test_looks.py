"""Looks tell an object from what is around it and from others, and read no frame twice."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labeling.track.looks import (
    COLOUR_LOOKS,
    THUMBNAILS,
    ColourLooks,
    FeatureLooks,
    Picture,
    Thumbnails,
    grown,
    histogram,
    thumbnail,
)

RED, BLUE, GREY = (200, 40, 40), (40, 40, 200), (120, 120, 120)
SIZE_HW = (60, 80)


def scene(*boxes: tuple[tuple[int, int, int], np.s_]) -> np.ndarray:
    """Return a grey picture with coloured rectangles."""
    picture = np.full((*SIZE_HW, 3), GREY, np.uint8)
    for colour, part in boxes:
        picture[part] = colour
    return picture


def mask(part: object) -> np.ndarray:
    mask_HW = np.zeros(SIZE_HW, bool)
    mask_HW[part] = True
    return mask_HW


LEFT, RIGHT = np.s_[10:30, 10:30], np.s_[10:30, 50:70]


def test_the_same_colours_are_alike_and_others_are_not() -> None:
    looks, picture = ColourLooks(), Picture.of(scene((RED, LEFT), (BLUE, RIGHT)))
    first = looks.of_mask(1, mask(LEFT), picture)
    assert first["colour_seed"] == pytest.approx(1.0, abs=1e-5)
    assert first["colour_ring"] == pytest.approx(0.0, abs=1e-5)
    assert first["colour_other"] is None
    other = looks.of_mask(2, mask(RIGHT), picture)
    assert other["colour_other"] == pytest.approx(0.0, abs=1e-5)
    swapped = looks.of_mask(1, mask(RIGHT), picture)
    assert swapped["colour_seed"] == pytest.approx(0.0, abs=1e-5)
    assert swapped["colour_other"] == pytest.approx(1.0, abs=1e-5)


def test_light_counts_little() -> None:
    looks, bright = ColourLooks(), scene((RED, LEFT))
    looks.of_mask(1, mask(LEFT), Picture.of(bright))
    darker = looks.of_mask(1, mask(LEFT), Picture.of((bright * 0.9).astype(np.uint8)))
    assert darker["colour_seed"] == pytest.approx(1.0, abs=1e-5)


def test_a_border_is_where_the_picture_changes() -> None:
    looks, picture = ColourLooks(), Picture.of(scene((RED, LEFT)))
    at_border = looks.of_mask(1, mask(LEFT), picture)["edge_gradient"]
    part_of_it = looks.of_mask(2, mask(np.s_[14:26, 14:26]), picture)["edge_gradient"]
    assert at_border is not None
    assert part_of_it is not None
    assert at_border > 0.5
    assert part_of_it < -0.5


@pytest.mark.parametrize("part", [np.s_[:, :], np.s_[0:1, 0:1], np.s_[59:60, 70:80], np.s_[0:0, 0:0]])
def test_masks_at_the_ends(part: object) -> None:
    looks = ColourLooks().of_mask(1, mask(part), Picture.of(scene()))
    assert tuple(looks) == COLOUR_LOOKS
    assert all(value is None or math.isfinite(value) for value in looks.values())


def test_without_a_picture_there_are_none() -> None:
    assert Picture.of(None) is None
    assert ColourLooks().of_mask(1, mask(LEFT), None) == dict.fromkeys(COLOUR_LOOKS)


@pytest.mark.parametrize("size_hw", [(60, 80), (255, 257), (719, 1281), (1080, 1920), (33, 2000)])
def test_a_large_picture_is_looked_at_small(size_hw: tuple[int, int]) -> None:
    frame = np.full((*size_hw, 3), GREY, np.uint8)
    frame[size_hw[0] // 4 : size_hw[0] // 2, size_hw[1] // 4 : size_hw[1] // 2] = RED
    small = thumbnail(frame)
    assert max(small.shape[:2]) < 260
    found = (frame == RED).all(axis=2)
    looks = ColourLooks()
    looks.of_mask(1, ~found, Picture.of(small))
    like = looks.of_mask(2, found, Picture.of(small))["colour_other"]
    assert like is not None
    assert like < 0.3


def test_a_frame_is_read_once_and_small_ones_are_held_for_a_while() -> None:
    read: list[int] = []

    class Frames(list[np.ndarray]):
        def __getitem__(self, position):  # type: ignore[no-untyped-def]
            read.append(position)
            return np.full((4, 4, 3), position % 256, np.uint8)

        def __len__(self) -> int:
            return 400

    frames = Thumbnails(Frames())
    assert len(frames) == 400
    for position in range(300):
        frames[position]
    assert read == list(range(300))
    assert frames.of(0) is None
    assert [frames.of(k) is not None for k in (299 - THUMBNAILS, 300 - THUMBNAILS, 299)] == [False, True, True]


def test_masks_grow_within_the_picture() -> None:
    corner = np.zeros((5, 6), bool)
    corner[0, 0] = True
    assert grown(corner, 2).nonzero()[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert corner.sum() == 1
    assert histogram(np.array([3, 3, 5])).sum() == pytest.approx(math.sqrt(2 / 3) + math.sqrt(1 / 3))


def features(*parts: tuple[int, np.s_]) -> SimpleNamespace:
    """Return a state whose frame 0 has features that differ by part of an 8 x 8 map."""
    vision = torch.zeros(1, 4, 8, 8)
    vision[0, 0] = 1.0
    for channel, part in parts:
        vision[0, :, *part] = 0.0
        vision[0, channel, *part] = 1.0
    return SimpleNamespace(features={0: SimpleNamespace(vision_BChw=vision)})


def output(*parts: object) -> SimpleNamespace:
    logits = torch.full((len(parts), 1, 32, 32), -5.0)
    for row, part in enumerate(parts):
        logits[row, 0, *part] = 5.0       # type: ignore[misc]
    return SimpleNamespace(frame_idx=0, obj_ids=list(range(len(parts))), low_res_logits=logits)


def test_features_tell_seed_ring_and_others() -> None:
    looks, state = FeatureLooks(), features((1, np.s_[1:3, 1:3]), (2, np.s_[5:7, 5:7]))
    first = looks.of_frame(state, output(np.s_[4:12, 4:12], np.s_[20:28, 20:28]))
    assert first is not None
    assert first.tolist() == [pytest.approx([1.0, 0.0, 0.0], abs=1e-5)] * 2
    swapped = looks.of_frame(state, output(np.s_[20:28, 20:28], np.s_[20:28, 20:28]))
    assert swapped is not None
    assert swapped.tolist() == [pytest.approx([0.0, 0.0, 1.0], abs=1e-5), pytest.approx([1.0, 0.0, 0.0], abs=1e-5)]


def test_an_empty_mask_looks_like_nothing_and_is_no_seed() -> None:
    looks, state = FeatureLooks(), features((1, np.s_[1:3, 1:3]))
    none = looks.of_frame(state, output(np.s_[0:0, 0:0]))
    assert none is not None
    assert none.isnan().all()
    assert not looks.seeds
    later = looks.of_frame(state, output(np.s_[4:12, 4:12]))
    assert later is not None
    assert later[0, 0] == pytest.approx(1.0)
    assert later[0, 2].isnan()


def test_without_features_at_hand_there_are_none() -> None:
    assert FeatureLooks().of_frame(object(), output(np.s_[4:12, 4:12])) is None
    assert FeatureLooks().of_frame(SimpleNamespace(features={}), output(np.s_[4:12, 4:12])) is None
