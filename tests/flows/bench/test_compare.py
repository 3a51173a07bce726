"""Beside the released package: how agreement is counted, what is refused, and, where SAM2_PEER names a checkout, a run.

Legend: T frames, N objects, H, W height and width.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from flows.bench.compare import agreement, compare, like_the_release
from flows.bench.peer_process import Peer, check_checkout, released_config, released_overrides
from flows.bench.results import BenchCase
from flows.configure import load_bench
from labeling.errors import BadConfiguration, LabelingError
from labeling.track.predictor import TrackerRecipe, recipe_of

MISSING = "import no_such_module_here"


def recipe(*overrides: str) -> TrackerRecipe:
    config = load_bench(["model.allow_untrained=true", *overrides])
    return recipe_of(config.model, config.precision, config.tracker)


def packed(masks_TNHW: np.ndarray) -> np.ndarray:
    return np.packbits(masks_TNHW, axis=-1)


def test_agreement_counts_frames_objects_and_pixels() -> None:
    one, other = np.zeros((2, 2, 4, 10), bool), np.zeros((2, 2, 4, 10), bool)
    one[0, 0, :2] = True        # 20 pixels, of which the other has 10
    other[0, 0, :1] = True
    one[1, 1], other[1, 1] = True, True
    found = agreement(packed(one), packed(other), width=10)
    assert found.mean_iou == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert found.equal_pixels == pytest.approx(1 - 10 / 160)
    assert found.visible == 0.5


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the same frames"):
        agreement(packed(np.zeros((2, 1, 4, 8), bool)), packed(np.zeros((3, 1, 4, 8), bool)), width=8)


def test_a_path_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sam2").mkdir()
    with pytest.raises(BadConfiguration, match="expected a checkout of the released package"):
        check_checkout(tmp_path)


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        (MISSING, BadConfiguration, "the module '(no_such_module_here|torchvision|iopath|tqdm)'.*pip install torchvision"),
        ("raise OSError('a broken checkout')", LabelingError, "a broken checkout"),
        ("import os; os._exit(3)", LabelingError, "ended without an answer"),
    ],
)
def test_a_checkout_that_does_not_import_is_said(tmp_path: Path, source: str, error: type[Exception], said: str) -> None:
    if source != MISSING and any(importlib.util.find_spec(name) is None for name in ("torchvision", "iopath", "tqdm")):
        pytest.skip("the released package needs torchvision, iopath and tqdm")
    (tmp_path / "sam2" / "configs").mkdir(parents=True)
    (tmp_path / "sam2" / "__init__.py").write_text(source + "\n")
    (tmp_path / "sam2" / "build_sam.py").touch()
    with Peer(tmp_path) as peer, pytest.raises(error, match=f"(?s){said}"):
        peer.load(config="", checkpoint="", overrides=[], device="cpu", threads=1)


@pytest.mark.parametrize(
    ("model", "name"),
    [("tiny", "sam2.1/sam2.1_hiera_t"), ("sam2_large", "sam2/sam2_hiera_l"), ("nano", "sam2.1/sam2.1_hiera_t")],
)
def test_networks_have_their_released_names(model: str, name: str) -> None:
    assert released_config(recipe(f"model={model}")) == f"configs/{name}.yaml"


def test_the_release_is_told_size_and_choices() -> None:
    told = released_overrides(recipe("model=tiny", "model.image_size=256"))
    assert {"++model.image_size=256", "++model.fill_hole_area=0"} <= set(told)
    assert "++model.binarize_mask_from_pts_for_mem_enc=true" in told
    bare = released_overrides(recipe("model=tiny", "model.apply_postprocessing=false"))
    assert bare == ["++model.image_size=1024", "++model.fill_hole_area=0"]
    assert "++model.image_encoder.trunk.stages=[1,2,4,1]" in released_overrides(recipe("model=nano"))


def test_both_track_as_sam_2() -> None:
    shared = like_the_release(recipe("tracker=samurai"))
    assert (shared.tracker, shared.overrides) == ("sam2", {"fill_hole_area": 0})


@pytest.mark.skipif("SAM2_PEER" not in os.environ, reason="SAM2_PEER names no checkout of the released package")
def test_the_released_package_gives_the_same_masks() -> None:
    case = BenchCase(recipe("model=nano"), None, "cpu", 2, 3, (96, 128), 1)
    (row,) = compare(Path(os.environ["SAM2_PEER"]), [case], threads=1)
    assert (row.objects, row.length) == (2, 3)
    assert row.visible > 0
    assert row.mean_iou > 0.99
    assert row.equal_pixels > 0.999
    assert min(row.ours_s, row.peer_s) > 0
