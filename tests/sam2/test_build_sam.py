"""Models are built by the released calls."""

import inspect
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import (
    HF_MODEL_ID_TO_FILENAMES,
    build_sam2,
    build_sam2_hf,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
    compile_network,
)
from sam2.modeling.components import make_components, released_keys
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.propagation import FrameOutput
from sam2.variants import find_config
from tests.sam2.clips import NANO, assert_equal_outputs, drawn_clip, predictor

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


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """The hub's client, which has the weights of one model and notes what it is asked for."""
    asked: list[tuple[str, str]] = []
    path = tmp_path / "weights.pt"
    torch.save({"model": build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL).state_dict()}, path)

    def hf_hub_download(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return str(path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    return asked


def test_an_id_of_the_hub_is_fetched_by_its_own_client(hub: list[tuple[str, str]]) -> None:
    model_id = "facebook/sam2.1-hiera-tiny"
    image = SAM2ImagePredictor.from_pretrained(model_id, device="cpu", hydra_overrides_extra=SMALL, mask_threshold=0.5)
    video = SAM2VideoPredictor.from_pretrained(model_id, device="cpu", hydra_overrides_extra=SMALL)
    automatic = SAM2AutomaticMaskGenerator.from_pretrained(
        model_id, device="cpu", hydra_overrides_extra=SMALL, points_per_side=2, use_m2m=True
    )
    assert hub == [(model_id, "sam2.1_hiera_tiny.pt")] * 3
    assert (automatic.use_m2m, len(automatic.point_grids[0])) == (True, 4)
    assert torch.equal(automatic.predictor.model.no_mem_embed, image.model.no_mem_embed)
    assert (image.model.config.variant, image.mask_threshold) == ("sam2.1_hiera_t", 0.5)
    assert torch.equal(image.model.no_mem_embed, video.no_mem_embed)
    assert type(video) is SAM2VideoPredictor


def test_ids_of_the_hub_are_the_released_ones() -> None:
    assert HF_MODEL_ID_TO_FILENAMES["facebook/sam2-hiera-base-plus"] == (
        "configs/sam2/sam2_hiera_b+.yaml", "sam2_hiera_base_plus.pt",
    )  # fmt: skip
    assert len(HF_MODEL_ID_TO_FILENAMES) == 8
    for name, _ in HF_MODEL_ID_TO_FILENAMES.values():
        assert find_config(name).variant == name.split("/")[-1].removesuffix(".yaml")


def test_what_keeps_the_hub_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError, match="'facebook/sam3': expected one of facebook/sam2-hiera-tiny"):
        build_sam2_hf("facebook/sam3")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub; or run `labeling checkpoints fetch`"):
        build_sam2_video_predictor_hf("facebook/sam2-hiera-large")


class Own(SAM2VideoPredictor):
    """A predictor of a caller's, with a key of its own beside released ones."""

    def __init__(self, fill_hole_area: int = 0, my_key: float = 0.0, **kwargs: object) -> None:
        super().__init__(fill_hole_area=fill_hole_area, **kwargs)
        self.my_key, self.released_keys = my_key, kwargs


def test_a_class_of_the_caller_s_is_built_as_the_released_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Own=Own))
    overrides = [*SMALL, "++model._target_=mine.Own", "++model.my_key=0.5", "++model.num_maskmem=4"]
    own = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=overrides[:-1])
    assert type(own) is Own
    assert own.my_key == 0.5
    assert {"image_encoder", "memory_attention", "memory_encoder", "image_size"} <= set(own.released_keys)
    plain = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=SMALL)
    assert own.config == plain.config
    assert own.sam_mask_decoder_extra_args == plain.sam_mask_decoder_extra_args
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("variant", ["sam2_hiera_t", "sam2.1_hiera_t", "configs/samurai/sam2.1_hiera_t.yaml"])
def test_released_keys_say_all_of_a_network(variant: str) -> None:
    config = replace(find_config(variant), image_size=64, dynamic_multimask_via_stability=True, fill_hole_area=8)
    parts = make_components(config)
    built = SAM2Base(parts.image_encoder, parts.memory_attention, parts.memory_encoder, **released_keys(config))
    assert replace(built.config, variant=config.variant) == config
    assert {name: t.shape for name, t in built.state_dict().items()} == {
        name: t.shape for name, t in SAM2Base(config=config).state_dict().items()
    }


@pytest.mark.parametrize("target", ["mine.Own", "builtins.dict", "Own", "sam2.build_sam.Nobody"])
def test_a_class_that_is_no_network_is_refused(target: str) -> None:
    with pytest.raises((ValueError, TypeError), match="_target_"):
        build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=[*SMALL, f"++model._target_={target}"])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"soft_no_obj_ptr": True}, "soft_no_obj_ptr=True: this network has soft_no_obj_ptr=False"),
        ({"no_such_key": 1}, "no_such_key=1: there is no such key"),
        ({"num_maskmem": "7"}, "num_maskmem='7': expected an integer"),
        ({"memory_encoder": None}, "memory_encoder missing"),
    ],
)
def test_a_network_from_parts_checks_its_keys(keys: dict[str, object], words: str) -> None:
    parts = make_components(replace(find_config("sam2.1_nano"), image_size=64))
    made = {name: getattr(parts, name) for name in ("image_encoder", "memory_attention", "memory_encoder")}
    with pytest.raises(ValueError, match=re.escape(words)):
        SAM2Base(**made | keys)


def test_untrained_weights_are_drawn_as_released() -> None:
    torch.manual_seed(0)
    model = build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL)
    assert model.image_encoder.trunk.pos_embed.abs().max() == 0
    assert 0.01 < model.maskmem_tpos_enc.std() < 0.03
    assert torch.equal(model.memory_encoder.fuser.layers[0].gamma, torch.full((256,), 1e-6))
    again = build_sam2("sam2.1_hiera_t", device="cpu", hydra_overrides_extra=SMALL)
    assert not torch.equal(model.no_mem_embed, again.no_mem_embed)


def boxed(model: SAM2VideoPredictor, num_frames: int, objects: int) -> list[FrameOutput]:
    state = model.init_state(drawn_clip(num_frames))
    for obj_id in range(objects):
        model.add_new_points_or_box(state, 0, obj_id, box=[8 + 4 * obj_id, 8, 40 + 4 * obj_id, 40])
    return list(model.propagate(state))


def test_parts_are_compiled_for_one_and_for_any_number() -> None:
    plain, compiled = predictor(NANO), predictor(NANO)
    torch._dynamo.reset()
    compile_network(compiled, backend="eager")
    assert_equal_outputs(boxed(compiled, 3, 3), boxed(plain, 3, 3), 2e-3)
    for objects in (1, 2):
        boxed(compiled, 3, objects)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert len(boxed(compiled, 10, 5)) == 10


def test_what_a_machine_lacks_shows_before_the_first_frame() -> None:
    with pytest.raises(RuntimeError, match=r"does not work here on cpu; it needs a C\+\+ compiler"):
        compile_network(predictor(NANO), backend="no_such_backend")


def test_the_released_name_of_the_choice_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr("sam2.build_sam.compile_network", compiled.append)
    models = [build_sam2_video_predictor("sam2.1_nano", device="cpu", vos_optimized=asked) for asked in (False, True)]
    assert compiled == models[1:]


def test_torchs_compiler_is_loaded_by_those_who_ask_for_it() -> None:
    # It takes seconds, and every actor, command and notebook would pay them.
    program = "import sys, sam2.build_sam, sam2.sam2_image_predictor; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
