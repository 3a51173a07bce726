"""Seeds of a grid: small parts, background and what is known already go; what comes later is found, once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.track.grid import GridRule, find_seeds, masks_of
from labeling.track.predictor import arithmetic, build_predictor, recipe_of

SIZE_HW = (96, 128)
RULE = GridRule(min_pixels=30)


def square(x: int, y: int, side: int = 24) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, bool)
    mask[y : y + side, x : x + side] = True
    return mask


class Scene(Sequence[npt.NDArray[np.uint8]]):
    """A bright square that moves right, and from frame 20 on another one that stands still; every tenth frame."""

    frame_indices = (0, 10, 20, 30)

    def shapes(self, position: int) -> list[npt.NDArray[np.bool_]]:
        return [square(10 + 6 * position, 20), *([square(90, 60)] if position >= 2 else [])]

    def __len__(self) -> int:
        return len(self.frame_indices)

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        rgb_HW3 = np.full((*SIZE_HW, 3), (30, 50, 40), np.uint8)
        for mask, colour in zip(self.shapes(position), [(230, 180, 40), (60, 90, 240)], strict=False):
            rgb_HW3[mask] = colour
        return rgb_HW3

    def pts_seconds(self, position: int) -> float:
        return position / 2


class Finder:
    """Answers with given masks, call by call."""

    def __init__(self, *answers: list[npt.NDArray[np.bool_]]) -> None:
        self.answers = list(answers)

    def generate(self, image: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        return [{"segmentation": mask, "predicted_iou": 0.9} for mask in self.answers.pop(0)]


def test_small_parts_holes_and_background_go() -> None:
    ragged, dot, background = square(10, 10), square(100, 80, 5), ~square(60, 60)
    ragged[15:18, 15:18] = False
    ragged[80:84, 5:9] = True
    found = list(masks_of(Finder([ragged, dot, background]), np.zeros((*SIZE_HW, 3), np.uint8), RULE))
    assert [score for _, score in found] == [0.9]
    np.testing.assert_array_equal(rle.decode(found[0][0]), square(10, 10))


def test_an_object_that_is_followed_is_found_once_and_a_later_one_too() -> None:
    scene = Scene()
    network = NetworkConfig(config="sam2.1_nano", image_size=256)
    predictor = build_predictor(recipe_of(network, PrecisionConfig(), TrackerConfig("sam2")), None, device="cpu")
    finder = Finder(scene.shapes(0), scene.shapes(2), scene.shapes(3))
    with arithmetic("fp32", device="cpu"):
        seeds = list(find_seeds(predictor, finder, scene, [0, 2, 3], rule=RULE))
    assert [(seed.object_id, seed.frame_idx) for seed in seeds] == [(1, 0), (2, 20)]
    np.testing.assert_array_equal(rle.decode(seeds[1].prompt.mask), square(90, 60))
    assert (seeds[1].score, seeds[1].found_by) == (0.9, "grid")


def test_of_masks_that_overlap_on_one_frame_the_first_stays() -> None:
    finder = Finder([square(10, 10), square(12, 10), square(60, 10)])
    seeds = list(find_seeds(None, finder, Scene(), [0], rule=RULE))  # type: ignore[arg-type]
    assert [seed.prompt.mask for seed in seeds] == [rle.encode(square(10, 10)), rle.encode(square(60, 10))]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"points_per_side": 0}, "points_per_side.*0.*1 to 256"), ({"min_iou": 1.5}, "min_iou.*1.5.*share")],
)
def test_a_rule_checks_itself(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridRule(**values)
