"""Building models and predictors by the released calls."""

import importlib
import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from sam2.checkpoint import load_weights
from sam2.compiling import compile_network
from sam2.embedded import embedded_weights
from sam2.hub import HF_MODEL_ID_TO_FILENAMES, hub_files
from sam2.modeling.config import ModelConfig
from sam2.modeling.parts import parts_of, released_keys
from sam2.modeling.sam2_base import SAM2Base
from sam2.overrides import apply_overrides, split_target
from sam2.variants import find_config

if TYPE_CHECKING:
    from sam2.sam2_video_predictor import SAM2VideoPredictor

__all__ = [
    "HF_MODEL_ID_TO_FILENAMES", "build_sam2", "build_sam2_hf", "build_sam2_video_predictor", "build_sam2_video_predictor_hf",
]  # fmt: skip

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
    `hydra_overrides_extra`: `["++model.KEY=VALUE", ...]`, applied last; `++model._target_=package.module.Class` builds a
    class of yours, which is called as the released one and gets keys that are not known here. Raises ValueError for a
    name, key, class or checkpoint that does not fit.
    """
    _warn_of_ignored(kwargs)
    config = find_config(config_file)
    if apply_postprocessing:
        config = replace(config, dynamic_multimask_via_stability=True)
    return _build(SAM2Base, config, hydra_overrides_extra, ckpt_path, device=device, mode=mode)


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
    from sam2.sam2_video_predictor import SAM2VideoPredictor, SAM2VideoPredictorVOS

    _warn_of_ignored(kwargs)
    config = find_config(config_file)
    if apply_postprocessing:
        config = replace(
            config,
            dynamic_multimask_via_stability=True,
            binarize_mask_from_pts_for_mem_enc=True,
            fill_hole_area=8,
        )
    kind = SAM2VideoPredictorVOS if vos_optimized else SAM2VideoPredictor
    predictor = _build(kind, config, hydra_overrides_extra, ckpt_path, device=device, mode=mode)
    if vos_optimized:
        compile_network(predictor)
    return predictor


def build_sam2_hf(model_id: str, **kwargs: Any) -> SAM2Base:
    """Build what `build_sam2` builds, with the weights of an id of Hugging Face's hub (`sam2.hub`)."""
    config_name, ckpt_path = _hf_download(model_id)
    return build_sam2(config_file=config_name, ckpt_path=ckpt_path, **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> "SAM2VideoPredictor":
    """Build what `build_sam2_video_predictor` builds, with the weights of an id of Hugging Face's hub (`sam2.hub`)."""
    config_name, ckpt_path = _hf_download(model_id)
    return build_sam2_video_predictor(config_file=config_name, ckpt_path=ckpt_path, **kwargs)


def _hf_download(model_id: str) -> tuple[str, str]:
    return hub_files(model_id)


def _load_checkpoint(model: SAM2Base, ckpt_path: str | os.PathLike[str] | None) -> None:
    """Load a checkpoint into a network, every tensor by name and shape; nothing without a path."""
    if ckpt_path is not None:
        load_weights(model, ckpt_path, variant=model.config.variant)


def _build(
    kind: type[Model],
    config: ModelConfig,
    overrides: Iterable[str],
    ckpt_path: str | os.PathLike[str] | None,
    *,
    device: str | torch.device | None,
    mode: str,
) -> Model:
    target, overrides = split_target(overrides)
    own_keys: dict[str, Any] | None = None if target is None else {}
    config = apply_overrides(config, overrides, own_keys)
    # built under a caller's inference_mode, weights could never be trained, nor changes to them be seen
    with torch.inference_mode(False), torch.no_grad():
        model = kind(config=config) if target is None else _build_target(target, config, own_keys or {})
        ckpt_path = embedded_weights(config.variant) if ckpt_path is None else ckpt_path
        if ckpt_path is None:
            log.warning("%s runs untrained: no checkpoint was given", config.variant)
        _load_checkpoint(model, ckpt_path)
        model = model.to(_choose_device(device))
    return model.train(mode != "eval")


def _build_target(target: str, config: ModelConfig, own_keys: dict[str, Any]) -> SAM2Base:
    """Call a class that `_target_` names as the released configuration does: with three parts and keys."""
    module, _, name = target.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_={target}: expected package.module.Class that can be imported: {error}") from error
    parts = parts_of(config)
    made = {"image_encoder": parts.image_encoder, "memory_attention": parts.memory_attention}
    if not (isinstance(kind, type) and issubclass(kind, SAM2Base)):
        raise ValueError(f"_target_={target} is {kind!r}: expected a subclass of SAM2Base")
    model = kind(**made, memory_encoder=parts.memory_encoder, **released_keys(config) | own_keys)
    model.config = replace(model.config, variant=config.variant)
    return model


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
