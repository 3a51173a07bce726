"""Building models and predictors by the released calls."""

import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch

from sam2.checkpoint import load_weights
from sam2.compiling import compile_network
from sam2.embedded import embedded_weights
from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from sam2.overrides import apply_overrides
from sam2.variants import find_config

if TYPE_CHECKING:
    from sam2.sam2_video_predictor import SAM2VideoPredictor

log = logging.getLogger(__name__)
Model = TypeVar("Model", bound=SAM2Base)


def build_sam2(
    config_file: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Iterable[str] = (),
    apply_postprocessing: bool = True,
    **kwargs: Any,
) -> SAM2Base:
    """Build the network of a named variant, for `SAM2ImagePredictor`.

    `config_file`: a released path, file name or short name (`sam2.variants`). Without `ckpt_path` the weights are those
    that the package holds (of `sam2.1_nano`), or random, with a warning. `device`: "cuda" unless given; without
    a GPU the CPU serves, with a warning. `apply_postprocessing`: replace an unstable single mask by the best of three.
    `hydra_overrides_extra`: `["++model.KEY=VALUE", ...]`, applied last. Raises ValueError for a name, key or
    checkpoint that does not fit.
    """
    _warn_of_ignored(kwargs)
    config = find_config(config_file)
    if apply_postprocessing:
        config = replace(config, dynamic_multimask_via_stability=True)
    config = apply_overrides(config, hydra_overrides_extra)
    return _build(SAM2Base, config, ckpt_path, device=device, mode=mode)


def build_sam2_video_predictor(
    config_file: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Iterable[str] = (),
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    **kwargs: Any,
) -> "SAM2VideoPredictor":
    """Build a video predictor; arguments as in `build_sam2`.

    `apply_postprocessing` also binarises prompted masks for the memory and fills holes of up to 8 low-resolution
    pixels. `vos_optimized` compiles the network (`sam2.compiling`): masks may differ by rounding. Raises RuntimeError
    where this machine cannot compile.
    """
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    _warn_of_ignored(kwargs)
    config = find_config(config_file)
    if apply_postprocessing:
        config = replace(
            config,
            dynamic_multimask_via_stability=True,
            binarize_mask_from_pts_for_mem_enc=True,
            fill_hole_area=8,
        )
    config = apply_overrides(config, hydra_overrides_extra)
    predictor = _build(SAM2VideoPredictor, config, ckpt_path, device=device, mode=mode)
    if vos_optimized:
        compile_network(predictor)
    return predictor


def build_sam2_hf(model_id: str, **kwargs: Any) -> NoReturn:
    """Refuse: nothing here downloads on its own."""
    refuse_download(model_id)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> NoReturn:
    """Refuse: nothing here downloads on its own."""
    refuse_download(model_id)


def refuse_download(model_id: str) -> NoReturn:
    """Raise RuntimeError that says how to get the weights of a model hub's id."""
    raise RuntimeError(
        f"{model_id!r} names a model on a hub, and this package downloads nothing by itself: run `labeling checkpoints "
        "fetch`, then pass the file to build_sam2(config_file, ckpt_path) or build_sam2_video_predictor(...)"
    )


def _build(
    kind: type[Model],
    config: ModelConfig,
    ckpt_path: str | os.PathLike[str] | None,
    *,
    device: str | torch.device | None,
    mode: str,
) -> Model:
    # built under a caller's inference_mode, weights could never be trained, nor changes to them be seen
    with torch.inference_mode(False), torch.no_grad():
        model = kind(config=config)
        ckpt_path = embedded_weights(config.variant) if ckpt_path is None else ckpt_path
        if ckpt_path is not None:
            load_weights(model, ckpt_path, variant=config.variant)
        else:
            log.warning("%s runs untrained: no checkpoint was given", config.variant)
        model = model.to(_choose_device(device))
    return model.train(mode != "eval")


def _choose_device(device: str | torch.device | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    warnings.warn("no GPU was found: the model runs on the CPU; pass device='cpu' to say so", stacklevel=4)
    return torch.device("cpu")


def _warn_of_ignored(kwargs: dict[str, Any]) -> None:
    if kwargs:
        warnings.warn(f"ignored, as in the released package: {', '.join(kwargs)}", stacklevel=3)
