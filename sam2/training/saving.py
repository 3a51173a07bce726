"""Files of a training run: the checkpoint it goes on from, and weights in the formats that `build_sam2` reads."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from sam2.training.recipe import Recipe


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
    held: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    defaults = {field.name: field.default for field in fields(Recipe)}     # of what the checkpoint does not know yet
    changed = [
        name for name in recipe if name != "stages" and held["recipe"].get(name, defaults.get(name)) != recipe[name]
    ]
    changed += _changed_stages(held["recipe"]["stages"], recipe["stages"], held["step"])
    free = {"save_every", "log_every", "init"}
    if wrong := [name for name in changed if name not in free]:
        raise ValueError(
            f"{path} was made by another recipe: {', '.join(wrong)} differ. Train into another folder, or start from its "
            "weights.pt with init"
        )
    return held


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
