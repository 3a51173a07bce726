"""Overrides in Hydra's notation, `++model.image_size=512`, read without Hydra and its global state."""

import logging
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from sam2.modeling.config import POLICY_SETTINGS, ModelConfig, TrunkSizes
from sam2.modeling.settings import KEYS_FIXED, of_kind

log = logging.getLogger(__name__)

OVERRIDE = re.compile(r"^(?:\+\+|\+)?model\.(?P<key>[\w.]+)=(?P<value>.*)$", re.DOTALL)

_STABILITY = ("via_stability", "stability_delta", "stability_thresh")
_NESTED = {
    **{f"sam_mask_decoder_extra_args.dynamic_multimask_{end}": f"dynamic_multimask_{end}" for end in _STABILITY},
    "memory_attention.num_layers": "memory_attention_layers",
    "memory_attention.layer.dim_feedforward": "memory_attention_ffn_dim",
    "memory_attention.layer.dropout": "memory_attention_dropout",
    "memory_encoder.fuser.num_layers": "memory_fuser_layers",
}
_OUR_OWN = {"variant", "trunk", "hidden_dim", "memory_dim", "mask_prompt_channels", "iou_head_dim"} | {
    f"decoder_{end}" for end in ("layers", "heads", "mlp_dim")
}
_AFTER_BUILDING = {"use_obj_ptrs_in_encoder"}

# released key -> field of ModelConfig
KEYS = _NESTED | {
    f.name: f.name for f in fields(ModelConfig) if f.name not in _OUR_OWN | _AFTER_BUILDING and f.name not in _NESTED.values()
}
TRUNK_KEYS = {f"image_encoder.trunk.{f.name}": f.name for f in fields(TrunkSizes)}

# released keys whose other values would be another network, which is not here
FIXED: dict[str, Any] = KEYS_FIXED | {
    "image_encoder.neck.fpn_interp_model": "nearest",
    "image_encoder.neck.fpn_top_down_levels": (2, 3),
    "image_encoder.scalp": 1,
    "memory_attention.layer.cross_attention.rope_theta": 10000.0,
    "memory_attention.layer.self_attention.rope_theta": 10000.0,
}

# released keys that change no answer: tables are made for the map at hand, and nothing is compiled
WITHOUT_EFFECT = {
    "compile_image_encoder",
    "memory_attention.layer.cross_attention.feat_sizes",
    "memory_attention.layer.self_attention.feat_sizes",
}


def split_target(overrides: Iterable[str]) -> tuple[str | None, list[str]]:
    """Return the class that `++model._target_=package.module.Class` names last, or None, and the other overrides."""
    if isinstance(overrides, str):
        raise ValueError(f"hydra_overrides_extra={overrides!r} is one string: expected a list of strings")
    target, rest = None, []
    for override in overrides:
        match = OVERRIDE.match(override.strip())
        if match is not None and match["key"] == "_target_":
            target = str(parse_value(match["value"]))
        else:
            rest.append(override)
    return target, rest


def apply_overrides(
    config: ModelConfig, overrides: Iterable[str], unknown: dict[str, Any] | None = None
) -> ModelConfig:
    """Return the config with each `++model.KEY=VALUE` (also `+model.` and `model.`) applied; the last of a key wins.

    `++model.memory_policy=NAME` brings what that policy is published with (`POLICY_SETTINGS`), which the other keys change.
    Keys that are not known are noted in `unknown`, where a class of the caller's may know them. Raises ValueError for
    one otherwise (with near matches), for a value of the wrong kind, and for a choice that the network does not have.
    """
    if isinstance(overrides, str):
        raise ValueError(f"hydra_overrides_extra={overrides!r} is one string: expected a list of strings")
    changes: dict[str, Any] = {}
    trunk: dict[str, Any] = {}
    for override in overrides:
        _note(override, config, changes, trunk, unknown)
    changes = {**POLICY_SETTINGS.get(changes.get("memory_policy", ""), {}), **changes}
    # made at once: sizes that follow from each other may come in any order
    return replace(config, **changes, trunk=replace(config.trunk, **trunk))


def _note(
    override: str,
    config: ModelConfig,
    changes: dict[str, Any],
    trunk: dict[str, Any],
    unknown: dict[str, Any] | None,
) -> None:
    """Add what one override says to the changes of the config or of its trunk."""
    match = OVERRIDE.match(override.strip())
    if match is None:
        raise ValueError(f"override {override!r} is not understood: expected '++model.KEY=VALUE'")
    key, value = match["key"], parse_value(match["value"])
    if key in KEYS:
        changes[KEYS[key]] = of_kind(getattr(config, KEYS[key]), value, f"override {override!r}")
    elif key in TRUNK_KEYS:
        trunk[TRUNK_KEYS[key]] = of_kind(getattr(config.trunk, TRUNK_KEYS[key]), value, f"override {override!r}")
    elif key in FIXED:
        if value != FIXED[key]:
            raise ValueError(f"override {override!r}: this network has {key}={FIXED[key]} and no other")
    elif key in WITHOUT_EFFECT:
        log.info("%s changes no answer here", override)
    elif unknown is not None and "." not in key:
        unknown[key] = value
    else:
        raise ValueError(f"override {override!r}: there is no key model.{key}. {_near(key)}")


def _near(key: str) -> str:
    known = sorted([*KEYS, *TRUNK_KEYS, *FIXED, *WITHOUT_EFFECT])
    last = key.rsplit(".", 1)[-1]
    near = get_close_matches(key, known, n=3) or [k for k in known if last in k][:3]
    return f"Near it: {', '.join(f'model.{k}' for k in near)}" if near else f"Known: {', '.join(KEYS)}"


def parse_value(text: str) -> Any:
    """Read a value as Hydra does: null, true or false, a number, a quoted or bare string, a list of these."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return tuple(parse_value(item) for item in inner.split(",")) if inner else ()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    plain = {"null": None, "true": True, "false": False}
    if text.lower() in plain:
        return plain[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
