"""A config that no network can have is refused where it is made."""

from dataclasses import replace

import pytest

from sam2.modeling.config import ModelConfig, TrunkSizes


@pytest.mark.parametrize("image_size", [0, -32, 48, 1000])
def test_the_side_is_a_multiple_of_32(image_size: int) -> None:
    with pytest.raises(ValueError, match=f"image_size={image_size}: expected a positive multiple of 32"):
        ModelConfig(image_size=image_size)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_maskmem": 0}, "num_maskmem=0"),
        ({"memory_dim": 60}, "memory_dim=60 must divide hidden_dim=256"),
    ],
)
def test_sizes_must_fit_together(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(ModelConfig(), **change)


@pytest.mark.parametrize("change", [{"stages": (1, 2, 3)}, {"stages": (1, 0, 1, 1)}, {"window_spec": (8, 4, 14)}])
def test_the_trunk_has_four_stages(change: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="stages="):
        TrunkSizes(**change)


def test_sides_follow_from_the_image() -> None:
    config = ModelConfig(image_size=512)
    assert (config.feature_side, config.low_res_side) == (32, 128)
