"""The released settings as attributes of a built network: what can act acts when it is set, the rest refuses."""

import operator
from dataclasses import replace
from typing import Any, TypeVar

T = TypeVar("T")

FIXED: dict[str, Any] = {
    "backbone_stride": 16,
    "directly_add_no_mem_embed": True,
    "fixed_no_obj_ptr": True,
    "iou_prediction_use_sigmoid": True,
    "num_feature_levels": 3,
    "pred_obj_scores": True,
    "pred_obj_scores_mlp": True,
    "soft_no_obj_ptr": False,
    "use_high_res_features_in_sam": True,
    "use_mask_input_as_output_without_sam": True,
    "use_mlp_for_obj_ptr_proj": True,
    "use_multimask_token_for_obj_ptr": True,
}
# the same as keys of a configuration
KEYS_FIXED: dict[str, Any] = {name: value for name, value in FIXED.items() if name != "num_feature_levels"} | {
    "use_obj_ptrs_in_encoder": True
}
FOLLOWING = {
    "hidden_dim": "hidden_dim",
    "image_size": "image_size",
    "mem_dim": "memory_dim",
    "proj_tpos_enc_in_obj_ptrs": "proj_tpos_enc_in_obj_ptrs",
    "sam_image_embedding_size": "feature_side",
    "sam_prompt_embed_dim": "hidden_dim",
}
SETTINGS = (
    "add_all_frames_to_correct_as_cond",
    "add_tpos_enc_to_obj_ptrs",
    "binarize_mask_from_pts_for_mem_enc",
    "boxes_as_masks",
    "clear_non_cond_mem_around_input",
    "fill_hole_area",
    "kf_score_weight",
    "max_cond_frames_in_attn",
    "max_obj_ptrs_in_encoder",
    "memory_bank_iou_threshold",
    "memory_bank_kf_score_threshold",
    "memory_bank_obj_score_threshold",
    "memory_temporal_stride_for_eval",
    "min_obj_score_logits",
    "multimask_max_pt_num",
    "multimask_min_pt_num",
    "multimask_output_for_tracking",
    "multimask_output_in_sam",
    "non_overlap_masks",
    "non_overlap_masks_for_mem_enc",
    "num_maskmem",
    "only_obj_ptrs_in_the_past_for_eval",
    "pointers_of_visible_only",
    "promotion_area_change",
    "promotion_box_iou",
    "promotion_iou",
    "promotion_pause",
    "samurai_mode",
    "sigmoid_bias_for_mem_enc",
    "sigmoid_scale_for_mem_enc",
    "stable_frames_threshold",
    "stable_ious_threshold",
    "use_obj_ptrs_in_encoder",
    "use_signed_tpos_enc_to_obj_ptrs",
)


class Setting:
    """A choice of the config under its released name; setting it acts from the next frame on."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, network: Any, owner: type | None = None) -> Any:
        return self if network is None else getattr(network.config, self.name)

    def __set__(self, network: Any, value: Any) -> None:
        before = network.config
        after = replace(before, **{self.name: self._checked(getattr(before, self.name), value)})
        slots = network.maskmem_tpos_enc.shape[0]
        if after.num_maskmem > slots:
            raise ValueError(f"num_maskmem={value}: expected at most {slots}, the time slots that the weights know")
        for part in network.modules():
            if getattr(part, "config", None) is before:
                part.config = after

    def _checked(self, present: Any, value: Any) -> Any:
        """Return the value in the kind of what it replaces."""
        kind = bool if isinstance(present, bool) else type(present)
        try:
            if kind is float:
                return float(value)
            number = operator.index(bool(value) if type(value).__name__.startswith("bool") else value)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name}={value!r}: expected {kind.__name__}, as in {present!r}") from None
        if kind is bool and number not in (0, 1):
            raise ValueError(f"{self.name}={value!r}: expected True or False")
        return kind(number)


class Fixed:
    """What this network is, or was built as; setting it to anything else is a ValueError."""

    def __init__(self, name: str, remedy: str, *, value: Any = None, follows: str | None = None) -> None:
        self.name, self.remedy, self.value, self.follows = name, remedy, value, follows

    def __get__(self, network: Any, owner: type | None = None) -> Any:
        if network is None:
            return self
        return self.value if self.follows is None else getattr(network.config, self.follows)

    def __set__(self, network: Any, value: Any) -> None:
        present = self.__get__(network)
        if value != present:
            raise ValueError(f"{self.name}={value!r} cannot act: this network has {present!r}; {self.remedy}")


def with_settings(network_class: type[T]) -> type[T]:
    """Give a network class the released settings as attributes."""
    for name in SETTINGS:
        setattr(network_class, name, Setting(name))
    for name, value in FIXED.items():
        setattr(network_class, name, Fixed(name, "there is no other network here", value=value))
    for name, follows in FOLLOWING.items():
        remedy = f"build it with hydra_overrides_extra=['++model.{name}=...'] where that is an override"
        setattr(network_class, name, Fixed(name, remedy, follows=follows))
    return network_class


def of_kind(present: Any, value: Any, asked: str) -> Any:
    """Return the value in the kind of what it replaces; ValueError that quotes what was asked."""
    if isinstance(present, str):
        fits = isinstance(value, str)
    elif isinstance(present, bool):
        fits = isinstance(value, bool)
    elif isinstance(present, int):
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(present, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    else:
        fits = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        value = tuple(value) if fits else value
    if not fits:
        kinds = {bool: "true or false", int: "an integer", float: "a number", str: "a name"}
        kind = kinds.get(type(present), "a list of integers")
        raise ValueError(f"{asked}: expected {kind}, as in {present!r}, got {value!r}")
    return value
