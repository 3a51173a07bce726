"""Hydra finds the package's configurations where it is installed, and a program's own state comes first."""

import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

import sam2
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.sam2_base import SAM2Base
from sam2.variants import CONFIGS, find_config

FOLDER = Path(sam2.__path__[0])
NAMES = sorted(name for name in CONFIGS if name.startswith("configs/"))


def run(program: str) -> str:
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_every_configuration_has_its_file() -> None:
    files = sorted(str(path.relative_to(FOLDER)).removesuffix(".yaml") for path in FOLDER.glob("configs/*/*.yaml"))
    assert files == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if "_t" in name or "nano" in name])
def test_a_file_makes_the_network_of_its_name(name: str) -> None:
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        composed = hydra.compose(f"{name}.yaml", overrides=["++model.image_size=64"])
    model = instantiate(composed.model, _recursive_=True)
    expected = find_config(name)
    assert type(model) is SAM2Base
    assert isinstance(model.image_encoder.trunk, Hiera)
    own = {field: getattr(model.config, field) for field in expected.__slots__ if field not in ("variant", "image_size")}
    assert own == {field: getattr(expected, field) for field in own}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(("_t", "nano"))])
def test_sizes_of_the_large_ones_are_in_their_files(name: str) -> None:
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        model = hydra.compose(f"{name}.yaml").model
    trunk = find_config(name).trunk
    for field in trunk.__slots__:
        value = model.image_encoder.trunk[field]
        assert (tuple(value) if hasattr(value, "__iter__") else value) == getattr(trunk, field)
    assert list(model.image_encoder.neck.backbone_channel_list) == list(trunk.stage_dims[::-1])
    assert model.get("kf_score_weight", 0.15) == find_config(name).kf_score_weight


@pytest.mark.parametrize("first", ["import sam2; import hydra", "import hydra; import sam2"])
def test_it_finds_them_whichever_is_imported_first(first: str) -> None:
    program = f"{first}; print(hydra.compose('configs/sam2.1/sam2.1_hiera_t.yaml').model.image_size)"
    assert run(program) == "1024"


def test_importing_sam2_does_not_import_hydra() -> None:
    assert run("import sys, sam2; print('hydra' in sys.modules, 'torch' in sys.modules)") == "False False"


def test_a_program_s_own_configurations_come_first(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("answer: 42\n")
    compose = "print(hydra.compose('own').answer)"
    begin = f"hydra.initialize_config_dir({str(tmp_path)!r}, version_base='1.3')"
    shipped = "hydra.compose('configs/sam2.1/sam2.1_hiera_t.yaml')"
    assert run(f"import hydra; {begin}; import sam2; {compose}") == "42"
    assert run(f"import sam2, hydra; {begin}; {compose}") == "42"
    assert run(f"import sam2, hydra; {shipped}; {begin}; {compose}") == "42"
    assert run(f"import sam2, hydra\nwith {begin}: {compose}\n{shipped}\nprint('again')") == "42\nagain"
    cleared = "from hydra.core.global_hydra import GlobalHydra; GlobalHydra.instance().clear()"
    assert run(f"import sam2, hydra; {cleared}; {begin}; {compose}") == "42"


def test_what_hydra_was_told_is_left_alone() -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        before = GlobalHydra.instance().hydra
        sam2.offer_configs()
        assert GlobalHydra.instance().hydra is before


def test_a_network_is_built_from_parts_by_hand() -> None:
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        tree = hydra.compose("configs/sam2.1/sam2.1_nano.yaml", overrides=["++model.image_size=64"]).model
    parts = {name: instantiate(tree[name]) for name in ("image_encoder", "memory_attention", "memory_encoder")}
    model = SAM2Base(**parts, image_size=64, no_obj_embed_spatial=True)
    with torch.inference_mode():
        maps = model.forward_image(torch.zeros(1, 3, 64, 64))["backbone_fpn"]
    assert [tuple(x.shape) for x in maps] == [(1, 12, 16, 16), (1, 24, 8, 8), (1, 96, 4, 4)]
