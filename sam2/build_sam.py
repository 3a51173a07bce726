"""Building models and predictors by the released calls."""

import importlib
import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from sam2.checkpoint import embedded_weights, load_weights
from sam2.modeling.components import make_components, released_keys
from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from sam2.overrides import apply_overrides, split_target
from sam2.variants import TRUNKS, find_config

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
    pixels. `vos_optimized` compiles the network (`compile_network`): masks may differ by rounding. Raises RuntimeError
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
    """Build what `build_sam2` builds, with the weights of an id of Hugging Face's hub."""
    config_name, ckpt_path = _hf_download(model_id)
    return build_sam2(config_file=config_name, ckpt_path=ckpt_path, **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> "SAM2VideoPredictor":
    """Build what `build_sam2_video_predictor` builds, with the weights of an id of Hugging Face's hub."""
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
    class_keys: dict[str, Any] | None = None if target is None else {}
    config = apply_overrides(config, overrides, class_keys)
    # built under a caller's inference_mode, weights could never be trained, nor changes to them be seen
    with torch.inference_mode(False), torch.no_grad():
        model = kind(config=config) if target is None else _build_target(target, config, class_keys or {})
        ckpt_path = embedded_weights(config.variant) if ckpt_path is None else ckpt_path
        if ckpt_path is None:
            log.warning("%s runs untrained: no checkpoint was given", config.variant)
        _load_checkpoint(model, ckpt_path)
        model = model.to(_choose_device(device))
    return model.train(mode != "eval")


def _build_target(target: str, config: ModelConfig, class_keys: dict[str, Any]) -> SAM2Base:
    """Call a class that `_target_` names as the released configuration does: with three parts and keys."""
    module, _, name = target.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_={target}: expected package.module.Class that can be imported: {error}") from error
    parts = make_components(config)
    made = {"image_encoder": parts.image_encoder, "memory_attention": parts.memory_attention}
    if not (isinstance(kind, type) and issubclass(kind, SAM2Base)):
        raise ValueError(f"_target_={target} is {kind!r}: expected a subclass of SAM2Base")
    model = kind(**made, memory_encoder=parts.memory_encoder, **released_keys(config) | class_keys)
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


LETTERS = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}

# id on the hub -> configuration, file of weights
HF_MODEL_ID_TO_FILENAMES = {
    f"facebook/{version}-hiera-{LETTERS[letter]}": (
        f"configs/{version}/{version}_hiera_{letter}.yaml", f"{version}_hiera_{LETTERS[letter].replace('-', '_')}.pt"
    )
    for version in ("sam2", "sam2.1")
    for letter in TRUNKS
}  # fmt: skip


def hub_files(model_id: str) -> tuple[str, str]:
    """Return the name of the configuration and the path of the weights that a hub's id stands for.

    The hub's client fetches what its cache lacks, and nothing where `HF_HUB_OFFLINE` says so. Raises KeyError for an
    unknown id, ImportError without the client, and what the client raises where the file cannot be had.
    """
    if model_id not in HF_MODEL_ID_TO_FILENAMES:
        raise KeyError(f"model_id={model_id!r}: expected one of {', '.join(HF_MODEL_ID_TO_FILENAMES)}")
    config_name, file_name = HF_MODEL_ID_TO_FILENAMES[model_id]
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"{model_id!r} is fetched by huggingface_hub, which is not installed: pip install huggingface_hub; or run "
            "`labeling checkpoints fetch` and pass the file to build_sam2 or build_sam2_video_predictor"
        ) from error
    try:
        return config_name, hf_hub_download(repo_id=model_id, filename=file_name)
    except Exception as error:
        error.add_note(f"{file_name} of {model_id} could not be had from the hub; `labeling checkpoints fetch` brings it, too")
        raise


def compile_network(network: SAM2Base, *, backend: str = "inductor") -> None:
    """Have the parts of the network compiled when they are first called, which takes a minute or more.

    Sizes that change on the way (objects, memories, pointers, frames at once) are symbols: a part is compiled for one,
    then for any number. Masks differ from the plain network's by rounding. Raises RuntimeError where
    this machine cannot compile.
    """
    _check_compiler(network.device, backend)
    layers = network.memory_attention.layers
    for part in (network.image_encoder, *layers, network.sam_mask_decoder, network.memory_encoder):
        part.compile(backend=backend, dynamic=None)


def _check_compiler(device: torch.device, backend: str) -> None:
    """Compile next to nothing, so that what is missing shows before the first frame."""
    try:
        torch.compile(lambda x: x.sin() + 1, backend=backend)(torch.ones(8, device=device))
    except Exception as error:
        required = "a C++ compiler (g++)" if device.type == "cpu" else "Triton and a C compiler"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeError(f"torch.compile does not work here on {device}; it needs {required}: {reason}") from error
