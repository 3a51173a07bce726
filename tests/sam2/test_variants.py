"""Every variant has the released names, shapes and numbers; every name leads to one variant or is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import sam2
from sam2.modeling.backbones.hieradet import plan_blocks
from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from sam2.variants import CONFIGS, NANO, VARIANTS, find_config

STATE_DICTS = Path(__file__).resolve().parents[3] / "shared" / "parity" / "state_dicts"

# parameters and state-dict entries, as counted on the released models
COUNTS = {
    "sam2.1_hiera_t": (38_962_498, 471),
    "sam2.1_hiera_s": (46_060_354, 519),
    "sam2.1_hiera_b+": (80_850_178, 615),
    "sam2.1_hiera_l": (224_446_642, 903),
    "sam2_hiera_t": (38_945_986, 468),
    "sam2_hiera_s": (46_043_842, 516),
    "sam2_hiera_b+": (80_833_666, 612),
    "sam2_hiera_l": (224_430_130, 900),
}


Hollow = Callable[[ModelConfig], SAM2Base]


def shapes(model: SAM2Base) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_are_as_many_as_released(variant: str, hollow: Hollow) -> None:
    model = hollow(VARIANTS[variant])
    assert (sum(p.numel() for p in model.parameters()), len(model.state_dict())) == COUNTS[variant]
    assert list(dict(model.named_buffers())) == ["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]


@pytest.mark.skipif(not STATE_DICTS.is_dir(), reason="the shared folder with the released names and shapes is absent")
@pytest.mark.parametrize("variant", COUNTS)
def test_names_and_shapes_are_the_released_ones(variant: str, hollow: Hollow) -> None:
    lines = (STATE_DICTS / f"{variant}.tsv").read_text().splitlines()
    released = {name: tuple(map(int, shape.split("x"))) for name, shape in (line.split("\t") for line in lines)}
    assert shapes(hollow(VARIANTS[variant])) == released


def test_21_adds_three_tensors_to_20(hollow: Hollow) -> None:
    new, old = (shapes(hollow(VARIANTS[name])) for name in ("sam2.1_hiera_t", "sam2_hiera_t"))
    added = new.items() - old.items()
    assert dict(added) == {
        "no_obj_embed_spatial": (1, 64),
        "obj_ptr_tpos_proj.weight": (64, 256),
        "obj_ptr_tpos_proj.bias": (64,),
    }


def test_nano_is_small_and_has_the_parts_of_the_others(hollow: Hollow) -> None:
    nano, tiny = hollow(NANO), hollow(VARIANTS["sam2.1_hiera_t"])
    assert sum(p.numel() for p in nano.parameters()) <= 3_000_000
    assert NANO.image_size == 384
    assert numberless(nano) == numberless(tiny)
    # the released code divides by the window of a block that halves the map
    assert all(plan.window for plan in plan_blocks(NANO.trunk) if plan.halves)


def numberless(model: SAM2Base) -> set[str]:
    return {".".join(part for part in name.split(".") if not part.isdigit()) for name in model.state_dict()}


@pytest.mark.parametrize(
    ("variant", "global_blocks", "halving_blocks", "windows"),
    [
        ("sam2.1_hiera_t", [5, 7, 9], [1, 3, 10], [8, 8, 4, 4, 14]),
        ("sam2.1_hiera_s", [7, 10, 13], [1, 3, 14], [8, 8, 4, 4, 14]),
        ("sam2.1_hiera_b+", [12, 16, 20], [2, 5, 21], [8, 8, 8, 4, 4]),
        ("sam2.1_hiera_l", [23, 33, 43], [2, 8, 44], [8, 8, 8, 4, 4]),
    ],
)
def test_blocks_follow_the_published_plan(
    variant: str, global_blocks: list[int], halving_blocks: list[int], windows: list[int]
) -> None:
    plans = plan_blocks(VARIANTS[variant].trunk)
    assert [i for i, plan in enumerate(plans) if plan.window == 0] == global_blocks
    assert [i for i, plan in enumerate(plans) if plan.halves] == halving_blocks
    assert [plan.window for plan in plans[:5]] == windows
    assert plans[-1].heads == 8 * plans[0].heads


@pytest.mark.parametrize(
    ("name", "variant", "samurai"),
    [
        ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_b+", False),
        ("configs/sam2/sam2_hiera_l.yaml", "sam2_hiera_l", False),
        ("configs/samurai/sam2.1_hiera_s.yaml", "sam2.1_hiera_s", True),
        ("sam2_hiera_l.yaml", "sam2_hiera_l", False),
        ("sam2.1_hiera_t.yaml", "sam2.1_hiera_t", False),
        ("sam2.1_hiera_b+", "sam2.1_hiera_b+", False),
        ("configs/sam2.1/sam2.1_hiera_t", "sam2.1_hiera_t", False),
        ("sam2.1_nano", "sam2.1_nano", False),
        ("configs/samurai/sam2.1_nano.yaml", "sam2.1_nano", True),
        (Path("configs/sam2.1/sam2.1_hiera_t.yaml"), "sam2.1_hiera_t", False),
    ],
)
def test_names_lead_to_variants(name: str | Path, variant: str, samurai: bool) -> None:
    config = find_config(name)
    assert (config.variant, config.samurai_mode) == (variant, samurai)


@pytest.mark.parametrize(
    "name",
    ["sam2.1_hiera_xl.yaml", "my/sam2.1_hiera_t.yaml", "configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml", ""],
)
def test_other_yaml_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="not known") as refusal:
        find_config(name)
    message = str(refusal.value)
    assert repr(name) in message
    assert "configs/sam2.1/sam2.1_hiera_b+.yaml" in message
    assert "configs/samurai/sam2.1_hiera_l.yaml" in message


def test_samurai_weighs_motion_as_its_released_files_do() -> None:
    weights = {name: c.kf_score_weight for name, c in CONFIGS.items() if "samurai/" in name and "hiera" in name}
    released = {"t": 0.25, "s": 0.25, "b+": 0.25, "l": 0.15}
    assert weights == {f"configs/samurai/sam2.1_hiera_{letter}": weight for letter, weight in released.items()}
    config = find_config("configs/samurai/sam2.1_hiera_t.yaml")
    thresholds = (config.stable_frames_threshold, config.stable_ious_threshold, config.min_obj_score_logits)
    assert thresholds == (15, 0.3, -1.0)
    assert (config.presence_threshold, find_config("sam2.1_hiera_t").presence_threshold) == (-1.0, 0.0)


@pytest.mark.parametrize(
    "name",
    [
        "./configs/sam2.1/sam2.1_hiera_b+.yaml",
        "/configs/sam2.1/sam2.1_hiera_b+.yaml",
        "//opt/sam2/sam2/configs/sam2.1/sam2.1_hiera_b+.yaml",
        "configs\\sam2.1\\sam2.1_hiera_b+.yaml",
        "/home/me/configs/sam2/configs/sam2.1/sam2.1_hiera_b+",
        "sam2.1/sam2.1_hiera_b+.yaml",
    ],
)
def test_a_path_leads_to_a_released_file_from_anywhere(name: str) -> None:
    assert find_config(name) is VARIANTS["sam2.1_hiera_b+"]


@pytest.mark.parametrize("name", ["configs/sam2/sam2.1_hiera_t.yaml", "mine/sam2.1_hiera_t.yaml", "", "configs", "/"])
def test_a_path_to_something_else_is_not_known(name: str) -> None:
    with pytest.raises(ValueError, match="is not known"):
        find_config(name)


def test_a_bare_name_in_the_working_folder_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path(sam2.__path__[0]) / "configs/samurai/sam2.1_hiera_l.yaml"
    Path("configs/samurai").mkdir(parents=True)
    for name in ("sam2.1_hiera_l.yaml", "configs/samurai/sam2.1_hiera_l.yaml"):
        Path(name).write_text(shipped.read_text().replace("num_maskmem: 7", "num_maskmem: 5"))
        assert find_config(name).num_maskmem == 5


def test_a_file_of_a_released_name_is_read_for_what_it_says(tmp_path: Path) -> None:
    """A copy that somebody edited must not pass for the released file in silence."""
    shipped = Path(sam2.__path__[0]) / "configs/sam2.1/sam2.1_hiera_t.yaml"
    own = tmp_path / "configs" / "sam2.1" / shipped.name
    own.parent.mkdir(parents=True)
    own.write_text(shipped.read_text().replace("1e-06", "1e-6"))
    assert find_config(own) == VARIANTS["sam2.1_hiera_t"]
    own.write_text(shipped.read_text().replace("image_size: 1024", "image_size: 512\n  compile_image_encoder: False"))
    assert find_config(own) == replace(VARIANTS["sam2.1_hiera_t"], image_size=512)
    own.write_text(shipped.read_text().replace("scalp: 1", "scalp: 0"))
    with pytest.raises(ValueError, match="scalp=0.*and no other"):
        find_config(own)
    own.write_text("no tree")
    with pytest.raises(ValueError, match="cannot be read as a tree below `model`"):
        find_config(str(own))
