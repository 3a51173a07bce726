"""The models there are, by name, and the sizes of each."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam2.modeling.config import ModelConfig, TrunkSizes
from sam2.overrides import apply_overrides

TRUNKS = {
    "t": TrunkSizes(embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_att_blocks=(5, 7, 9)),
    "s": TrunkSizes(embed_dim=96, num_heads=1, stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13)),
    "b+": TrunkSizes(
        embed_dim=112,
        num_heads=2,
        stages=(2, 3, 16, 3),
        global_att_blocks=(12, 16, 20),
        window_pos_embed_bkg_spatial_size=(14, 14),
    ),
    "l": TrunkSizes(
        embed_dim=144, num_heads=2, stages=(2, 6, 36, 4), global_att_blocks=(23, 33, 43), window_spec=(8, 4, 16, 8)
    ),
}

# The same network with small numbers, for laptops, tests and the demo: 256-pixel input, 2.7 million parameters.
# At that size the third stage's map is 16 x 16, one window of its own.
NANO = ModelConfig(
    variant="sam2.1_nano",
    trunk=TrunkSizes(
        embed_dim=24, num_heads=1, stages=(1, 2, 4, 1), global_att_blocks=(4, 5, 6), window_spec=(8, 4, 24, 12)
    ),
    image_size=384,
    hidden_dim=96,
    memory_dim=32,
    memory_attention_layers=2,
    memory_attention_ffn_dim=256,
    # Below 0, as SAMURAI has it, keeps masks that this network's scores call absent: J&F 0.64 instead of 0.67
    min_obj_score_logits=0.0,
)

# SAMURAI's released files give the motion score a weight of 0.15 in the large model and of 0.25 in the others
SAMURAI_MOTION_WEIGHTS = {"t": 0.25, "s": 0.25, "b+": 0.25, "l": 0.15, "nano": 0.25}


def _sam21(letter: str) -> ModelConfig:
    return ModelConfig(variant=f"sam2.1_hiera_{letter}", trunk=TRUNKS[letter])


def _sam20(letter: str) -> ModelConfig:
    return replace(
        _sam21(letter),
        variant=f"sam2_hiera_{letter}",
        no_obj_embed_spatial=False,
        add_tpos_enc_to_obj_ptrs=False,
        proj_tpos_enc_in_obj_ptrs=False,
        use_signed_tpos_enc_to_obj_ptrs=False,
    )


VARIANTS = {
    config.variant: config for config in [*map(_sam21, TRUNKS), *map(_sam20, TRUNKS), NANO]
}


def _samurai(config: ModelConfig) -> ModelConfig:
    weight = SAMURAI_MOTION_WEIGHTS[config.variant.rsplit("_", 1)[1]]
    return replace(config, samurai_mode=True, kf_score_weight=weight)


def _all_configs() -> dict[str, ModelConfig]:
    """Map every accepted name, without `.yaml`, to its config: short names and the released paths."""
    named = dict(VARIANTS)
    for variant, config in VARIANTS.items():
        if variant.startswith("sam2.1"):
            named[f"configs/sam2.1/{variant}"] = config
            named[f"configs/samurai/{variant}"] = _samurai(config)
        else:
            named[f"configs/sam2/{variant}"] = config
    return named


CONFIGS = _all_configs()


def find_config(name: str | os.PathLike[str]) -> ModelConfig:
    """Return the config that a released path, a bare file name or a short name stands for.

    A path may lead to the released file from anywhere: `./configs/...`, `/opt/sam2/sam2/configs/...`; where there is a
    file, its values count. Raises ValueError, with the names there are, for any other.
    """
    config_name = os.fspath(name)
    parts = [part for part in config_name.replace("\\", "/").removesuffix(".yaml").split("/") if part not in ("", ".")]
    under_configs = parts[len(parts) - 1 - parts[::-1].index("configs") :] if "configs" in parts else parts
    config = CONFIGS.get("/".join(under_configs)) or CONFIGS.get("/".join(["configs", *parts]))
    if config is None:
        known = ", ".join(f"{path}.yaml" for path in CONFIGS if "/" in path)
        raise ValueError(
            f"config {config_name!r} is not known: expected one of {known}; a bare file name or {', '.join(VARIANTS)}. "
            "Other YAML files are not read: change choices with hydra_overrides_extra=['++model.KEY=VALUE']"
        )
    return _as_in_file(config, Path(config_name)) if Path(config_name).is_file() else config


def _as_in_file(config: ModelConfig, path: Path) -> ModelConfig:
    """Return the config with what a file of a released name says otherwise than the package's own file.

    Raises ValueError for a file that is no such tree, or says what this network cannot be.
    """
    import yaml

    folder = "samurai" if config.samurai_mode else config.variant.split("_")[0]
    packaged = Path(__file__).parent / "configs" / folder / f"{config.variant}.yaml"
    try:
        ours, theirs = (dict(_leaves(yaml.safe_load(file.read_text())["model"])) for file in (packaged, path))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"config {path} cannot be read as a tree below `model`: {error}") from error
    changes = [f"++model.{key}={_spoken(value)}" for key, value in theirs.items() if _spoken(ours.get(key)) != _spoken(value)]
    try:
        return apply_overrides(config, changes)
    except ValueError as error:
        raise ValueError(f"config {path}: {error}") from error


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _spoken(value: Any) -> str:
    """Return a value as an override spells it; YAML takes `1e-6` for a string."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_spoken, value)) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:
        number = float(value)
    except ValueError:
        return str(value)
    return str(int(number)) if isinstance(value, int) else str(number)
