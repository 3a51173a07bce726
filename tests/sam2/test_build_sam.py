"""Models are built by the released calls."""

import inspect
import logging

import pytest
import torch

from sam2 import build_sam
from sam2.build_sam import build_sam2, build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

SMALL = ["++model.image_size=64"]


def test_signatures_are_the_released_ones() -> None:
    image = ["config_file", "ckpt_path", "device", "mode", "hydra_overrides_extra", "apply_postprocessing"]
    assert list(inspect.signature(build_sam2).parameters) == [*image, "kwargs"]
    assert list(inspect.signature(build_sam2_video_predictor).parameters) == [*image, "vos_optimized", "kwargs"]


def test_postprocessing_is_chosen_as_released() -> None:
    image = build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL).config
    video = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL).config
    plain = build_sam2_video_predictor(
        "sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL, apply_postprocessing=False
    ).config

    def choices(c: object) -> tuple[object, ...]:
        names = ("dynamic_multimask_via_stability", "binarize_mask_from_pts_for_mem_enc", "fill_hole_area")
        return tuple(getattr(c, name) for name in names)

    assert choices(image) == (True, False, 0)
    assert choices(video) == (True, True, 8)
    assert choices(plain) == (False, False, 0)
    assert (video.dynamic_multimask_stability_delta, video.dynamic_multimask_stability_thresh) == (0.05, 0.98)


def test_overrides_win_over_postprocessing() -> None:
    overrides = [*SMALL, "++model.fill_hole_area=0", "++model.binarize_mask_from_pts_for_mem_enc=false"]
    config = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=overrides).config
    assert (config.fill_hole_area, config.binarize_mask_from_pts_for_mem_enc) == (0, False)


def test_a_video_predictor_is_a_network() -> None:
    predictor = build_sam2_video_predictor(
        "configs/samurai/sam2.1_nano.yaml", device="cpu", hydra_overrides_extra=SMALL
    )
    assert isinstance(predictor, SAM2VideoPredictor)
    assert predictor.image_size == 64
    assert predictor.device == torch.device("cpu")
    assert predictor.config.samurai_mode


def test_mode_is_eval_unless_asked() -> None:
    assert not build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL).training
    assert build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL, mode="train").training


def test_a_model_without_a_checkpoint_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL)
    assert "sam2.1_hiera_t runs untrained" in caplog.text


def test_nano_finds_the_weights_of_the_package(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        first, second = (build_sam2("sam2.1_nano", device="cpu").state_dict() for _ in range(2))
    assert not caplog.records
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.dtype == torch.float32 for value in first.values())


def test_the_cpu_is_used_with_a_warning_only_where_no_device_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="no GPU was found"):
        assert build_sam2("sam2.1_nano", hydra_overrides_extra=SMALL).device == torch.device("cpu")
    with pytest.raises((AssertionError, RuntimeError)):
        build_sam2("sam2.1_nano", device="cuda", hydra_overrides_extra=SMALL)


def test_unknown_arguments_are_ignored_aloud() -> None:
    with pytest.warns(UserWarning, match="ignored.*hydra_overides_extra"):
        build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL, hydra_overides_extra=[])


@pytest.mark.parametrize("name", ["build_sam2_hf", "build_sam2_video_predictor_hf"])
def test_nothing_is_downloaded(name: str) -> None:
    with pytest.raises(RuntimeError, match="'facebook/sam2-hiera-large'.*labeling checkpoints fetch"):
        getattr(build_sam, name)("facebook/sam2-hiera-large")


def test_untrained_weights_are_drawn_as_released() -> None:
    torch.manual_seed(0)
    model = build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL)
    assert model.image_encoder.trunk.pos_embed.abs().max() == 0
    assert 0.01 < model.maskmem_tpos_enc.std() < 0.03
    assert torch.equal(model.memory_encoder.fuser.layers[0].gamma, torch.full((256,), 1e-6))
    again = build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL)
    assert not torch.equal(model.no_mem_embed, again.no_mem_embed)
