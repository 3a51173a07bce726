"""Read weights, strictly: the released format, safetensors, and those that the package itself holds."""

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sam2.variants import VARIANTS

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 3


def read_weights(path: str | os.PathLike[str]) -> "dict[str, Tensor]":
    """Return the tensors of a checkpoint by name: `{"model": state_dict}`, a bare state dict, or safetensors.

    Nothing in the file is executed. Raises FileNotFoundError, or ValueError for a file that is none of these.
    """
    import torch  # what only asks for the package's own weights does without it

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} is not a file; `labeling checkpoints fetch` brings the released ones")
    if path.suffix == ".safetensors":
        state_dict = _read_safetensors(path)
    else:
        try:
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:       # damaged bytes are read as opcodes, and those raise whatever they run into
            raise ValueError(f"checkpoint {path} cannot be read: {_first_line(error)}; is it whole?") from error
    if isinstance(state_dict, Mapping) and isinstance(state_dict.get("model"), Mapping):
        state_dict = state_dict["model"]
    tensors = isinstance(state_dict, Mapping) and all(isinstance(v, torch.Tensor) for v in state_dict.values())
    if not tensors or not state_dict:
        raise ValueError(f"checkpoint {path} holds no state dict: expected {{'model': state_dict}}")
    return dict(state_dict)


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {_first_line(error)}; is it whole?") from error


def load_weights(model: "nn.Module", path: str | os.PathLike[str], *, variant: str) -> None:
    """Load a checkpoint into a model, every tensor by name and shape.

    Raises ValueError that names the first tensors that do not fit, the file, the variant, and the variant that the
    file looks like.
    """
    weights = read_weights(path)
    expected = model.state_dict()
    problems = _missing(expected, weights) + _unexpected(expected, weights) + _misshapen(expected, weights)
    if problems:
        guess = guess_variant(weights)
        hint = f"it looks like {guess}" if guess else "it looks like none of the known variants"
        raise ValueError(f"checkpoint {path} does not fit {variant}; {hint}. {'; '.join(problems)}")
    model.load_state_dict(weights)


def guess_variant(weights: "Mapping[str, Tensor]") -> str | None:
    """Return the variant whose trunk, width and version a state dict has, or None."""
    patch = weights.get("image_encoder.trunk.patch_embed.proj.weight")
    width = weights.get("no_mem_embed")
    if patch is None or width is None:
        return None
    blocks = {name.split(".")[3] for name in weights if name.startswith("image_encoder.trunk.blocks.")}
    sizes = (patch.shape[0], len(blocks), width.shape[-1], "no_obj_embed_spatial" in weights)
    for name, config in VARIANTS.items():
        trunk = config.trunk
        if sizes == (trunk.embed_dim, sum(trunk.stages), config.hidden_dim, config.no_obj_embed_spatial):
            return name
    return None


def _missing(own: "Mapping[str, Tensor]", weights: "Mapping[str, Tensor]") -> list[str]:
    return _listed("missing", [name for name in own if name not in weights])


def _unexpected(own: "Mapping[str, Tensor]", weights: "Mapping[str, Tensor]") -> list[str]:
    return _listed("not expected", [name for name in weights if name not in own])


def _misshapen(own: "Mapping[str, Tensor]", weights: "Mapping[str, Tensor]") -> list[str]:
    wrong = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    return _listed("of another shape", wrong)


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{what} ({len(names)}): {', '.join(names[:SHOWN])}{more}"]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


FOLDER = Path(__file__).parent / "weights"


def embedded_weights(variant: str) -> Path | None:
    """Return the file with a variant's weights, or None where the package has none.

    Raises ValueError where the file is not the one whose SHA-256 is written beside it.
    """
    path = FOLDER / f"{variant}.safetensors"
    if not path.is_file():
        return None
    digest, expected = embedded_digest(path), path.with_suffix(".sha256").read_text().split()[0]
    if digest != expected:
        raise ValueError(f"{path} has SHA-256 {digest}; expected {expected}. Install the package again")
    return path


@lru_cache(maxsize=4)
def embedded_digest(path: Path) -> str:
    """Return the SHA-256 of a file of the package, which does not change while it is installed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
