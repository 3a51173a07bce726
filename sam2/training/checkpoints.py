"""Files of a training run: the checkpoint it goes on from, and weights in the formats that `build_sam2` reads.

`python -m sam2.training.checkpoints WEIGHTS [VARIANT]` puts trained weights into the package, in float16, with their SHA-256.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from sam2.checkpoint import FOLDER, load_weights, read_weights
from sam2.modeling.sam2_base import SAM2Base
from sam2.training.recipe import Recipe
from sam2.variants import find_config


@contextmanager
def written_beside(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well: a kill leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def save_checkpoint(path: Path, values: Mapping[str, Any]) -> None:
    """Write what a training goes on from, whole or not at all."""
    with written_beside(path) as file:
        torch.save(dict(values), file)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights in the released format, `{"model": state_dict}`."""
    save_checkpoint(path, {"model": {name: value.detach().cpu() for name, value in weights.items()}})


def save_half(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights as float16 safetensors, as the package keeps its own."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as file:
        file.write(save({name: value.detach().cpu().half().contiguous() for name, value in weights.items()}))


def load_checkpoint(path: Path, recipe: Mapping[str, Any], *, device: str) -> dict[str, Any] | None:
    """Return what a checkpoint holds, or None without one; a ValueError if another recipe made it.

    Stages may have been added or made longer, as long as those that are done stay what they were.
    """
    if not path.is_file():
        return None
    checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    defaults = {field.name: field.default for field in fields(Recipe)}     # of what the checkpoint does not know yet
    changed = [
        name for name in recipe if name != "stages" and checkpoint["recipe"].get(name, defaults.get(name)) != recipe[name]
    ]
    changed += _changed_stages(checkpoint["recipe"]["stages"], recipe["stages"], checkpoint["step"])
    free = {"save_every", "log_every", "init"}
    if wrong := [name for name in changed if name not in free]:
        raise ValueError(
            f"{path} was made by another recipe: {', '.join(wrong)} differ. Train into another folder, or start from its "
            "weights.pt with init"
        )
    return checkpoint


def _changed_stages(old: Any, new: Any, step: int) -> list[str]:
    """Name the stages that `step` has reached and whose values are not what they were."""
    names = []
    for index, stage in enumerate(old):
        if step <= 0:
            break
        # a field that the checkpoint does not know yet had its default
        if index >= len(new) or any(new[index].get(name) != value for name, value in stage.items()):
            names.append(f"stage {stage['name']}")
        step -= stage["steps"]
    return names


LARGEST_BYTES = 8 * 2**20


def embed(weights: Path, variant: str = "sam2.1_nano", folder: Path = FOLDER) -> Path:
    """Write a variant's weights as the package holds them; a ValueError where they do not fit, or are over 8 MiB."""
    load_weights(SAM2Base(config=find_config(variant)), weights, variant=variant)
    path = folder / f"{variant}.safetensors"
    save_half(path, read_weights(weights))
    if path.stat().st_size > LARGEST_BYTES:
        path.unlink()
        raise ValueError(f"{variant} takes more than {LARGEST_BYTES} bytes in float16: too much to keep in the package")
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return path


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python -m sam2.training.checkpoints WEIGHTS [VARIANT]")
    print(embed(Path(sys.argv[1]), *sys.argv[2:]))
