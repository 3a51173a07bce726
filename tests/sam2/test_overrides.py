"""Overrides in Hydra's notation are read without Hydra; what is not known is refused with a way out."""

import subprocess
import sys

import pytest

from sam2.overrides import apply_overrides, parse_value
from sam2.variants import find_config

STABILITY = "sam_mask_decoder_extra_args.dynamic_multimask"
TINY = find_config("sam2.1_hiera_t")


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("++model.image_size=512", "image_size", 512),
        ("+model.image_size=512", "image_size", 512),
        ("model.image_size=512", "image_size", 512),
        ("  ++model.image_size=512 ", "image_size", 512),
        ("++model.samurai_mode=true", "samurai_mode", True),
        ("++model.samurai_mode=True", "samurai_mode", True),
        ("++model.kf_score_weight=0.4", "kf_score_weight", 0.4),
        ("++model.min_obj_score_logits=-2", "min_obj_score_logits", -2.0),
        ("++model.max_cond_frames_in_attn=4", "max_cond_frames_in_attn", 4),
        ("++model.add_all_frames_to_correct_as_cond=false", "add_all_frames_to_correct_as_cond", False),
        ("++model.fill_hole_area=0", "fill_hole_area", 0),
        (f"++model.{STABILITY}_stability_thresh=0.9", "dynamic_multimask_stability_thresh", 0.9),
        (f"++model.{STABILITY}_via_stability=true", "dynamic_multimask_via_stability", True),
        ("++model.memory_attention.num_layers=2", "memory_attention_layers", 2),
        ("++model.memory_attention.layer.dim_feedforward=512", "memory_attention_ffn_dim", 512),
    ],
)  # fmt: skip
def test_a_choice_is_taken(override: str, field: str, value: object) -> None:
    changed = getattr(apply_overrides(TINY, [override]), field)
    assert changed == value
    assert type(changed) is type(value)


def test_the_last_override_wins_and_the_config_given_stays() -> None:
    changed = apply_overrides(TINY, ["++model.image_size=512", "++model.image_size=256"])
    assert (changed.image_size, TINY.image_size) == (256, 1024)


def test_the_trunk_can_be_changed() -> None:
    overrides = [
        "++model.image_encoder.trunk.stages=[1, 1, 2, 1]",
        "++model.image_encoder.trunk.global_att_blocks=[]",
        "++model.image_encoder.trunk.embed_dim=48",
    ]
    trunk = apply_overrides(TINY, overrides).trunk
    assert (trunk.stages, trunk.global_att_blocks, trunk.embed_dim) == ((1, 1, 2, 1), (), 48)


@pytest.mark.parametrize(
    "override",
    [
        "++model.memory_attention.layer.self_attention.feat_sizes=[32,32]",
        "++model.compile_image_encoder=true",
        "++model.use_obj_ptrs_in_encoder=true",
        "++model.image_encoder.neck.fpn_top_down_levels=[2,3]",
    ],
)
def test_released_keys_that_change_nothing_are_accepted(override: str) -> None:
    assert apply_overrides(TINY, [override]) == TINY


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("++model.image_sise=512", "Near it: .*model.image_size"),
        ("++model.dynamic_multimask_stability=0.9", "Near it: .*dynamic_multimask"),
        ("++model.sam_mask_decoder_extra_args.stability_thresh=0.9", "there is no key"),
        ("++model.use_obj_ptrs_in_encoder=false", "use_obj_ptrs_in_encoder=True and no other"),
        ("++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor", "there is no key"),
        ("++model.hidden_dim=128", "there is no key"),
        ("++model.dynamic_multimask_via_stability=true", "Near it: model.sam_mask_decoder_extra_args.dynamic_multimask_via"),
        ("++model.kf_score_weight=high", "expected a number, as in 0.15, got 'high'"),
        ("++model.image_encoder.trunk.window_pos_embed_bkg_spatial_size=[7]", "2 entries"),
        ("++model.image_encoder.trunk.global_att_blocks=[12]", r"global_att_blocks=\(12,\)"),
        ("++model.image_encoder.trunk.num_heads=5", "num_heads=5 must divide embed_dim=96"),
        ("++model.image_size=half", "expected an integer, as in 1024, got 'half'"),
        ("++model.image_size=512.0", "expected an integer"),
        ("++model.image_size=true", "expected an integer"),
        ("++model.samurai_mode=1", "expected true or false"),
        ("++model.samurai_mode=null", "expected true or false"),
        ("++model.image_encoder.trunk.stages=4", "expected a list of integers"),
        ("++model.image_size=1000", "image_size=1000: expected a positive multiple of 32"),
        ("++model.num_maskmem=0", "num_maskmem=0"),
        ("++model.image_encoder.trunk.stages=[1,2]", "4 stages"),
        ("~model.image_size", "not understood"),
        ("image_size=512", "not understood"),
        ("++model.image_size", "not understood"),
    ],
)
def test_what_cannot_be_followed_is_refused(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        apply_overrides(TINY, [override])


def test_one_string_is_not_a_list_of_overrides() -> None:
    with pytest.raises(ValueError, match="expected a list of strings"):
        apply_overrides(TINY, "++model.image_size=512")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("-1", -1), ("NULL", None), ("'512'", "512"), ('"a b"', "a b"), ("nearest", "nearest"),
        ("[7, 7]", (7, 7)), ("[]", ()), ("[true, x]", (True, "x")),
    ],
)  # fmt: skip
def test_values_are_read_as_hydra_reads_them(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_nothing_heavy_is_imported() -> None:
    """Hydra's global state clashes with a caller's own; torchvision's import takes longer than torch's."""
    program = (
        "import sys, sam2.build_sam, sam2.sam2_image_predictor, sam2.utils.misc, sam2.automatic_mask_generator; "
        "heavy = {'hydra', 'omegaconf', 'torchvision', 'scipy', 'cv2', 'labeling', 'flows', 'huggingface_hub'}; "
        "print(heavy & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
