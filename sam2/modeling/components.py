"""The components of a network: made from a config, or handed in and read back into one."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from sam2.modeling import settings
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.config import ModelConfig
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer, RoPEAttention
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer

# released keys that have one value where a network is built: another would be another network
FIXED = settings.KEYS_FIXED
# where the released call's defaults are not a config's
RELEASED_DEFAULTS: dict[str, Any] = {
    "image_size": 512,
    "sigmoid_scale_for_mem_enc": 1.0,
    "sigmoid_bias_for_mem_enc": 0.0,
    "multimask_output_in_sam": False,
    "multimask_min_pt_num": 1,
    "multimask_output_for_tracking": False,
    "no_obj_embed_spatial": False,
    "proj_tpos_enc_in_obj_ptrs": False,
    "use_signed_tpos_enc_to_obj_ptrs": False,
    "only_obj_ptrs_in_the_past_for_eval": False,
}
WITHOUT_EFFECT = {"compile_image_encoder"}
STABILITY = tuple(f"dynamic_multimask_{end}" for end in ("via_stability", "stability_delta", "stability_thresh"))
_SIZES = {
    "variant", "trunk", "hidden_dim", "memory_dim", "memory_attention_layers", "memory_attention_ffn_dim",
    "memory_attention_dropout", "memory_fuser_layers",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Components:
    """What a network is made of, but for its own few weights."""

    image_encoder: nn.Module
    memory_attention: nn.Module
    memory_encoder: nn.Module
    sam_prompt_encoder: nn.Module
    sam_mask_decoder: nn.Module

    @staticmethod
    def around(
        config: ModelConfig, image_encoder: nn.Module, memory_attention: nn.Module, memory_encoder: nn.Module
    ) -> "Components":
        """Return parts that were made elsewhere with the prompt encoder and mask decoder that go with them."""
        return Components(image_encoder, memory_attention, memory_encoder, _prompt_encoder(config), _mask_decoder(config))


def make_components(config: ModelConfig) -> Components:
    """Make all parts of a network."""
    return Components.around(config, _image_encoder(config), _memory_attention(config), _memory_encoder(config))


def config_of(
    image_encoder: nn.Module | None,
    memory_attention: nn.Module | None,
    memory_encoder: nn.Module | None,
    keys: Mapping[str, Any],
) -> ModelConfig:
    """Return the config of a network that is built from parts and released keys.

    Raises ValueError for a missing part, a key that is not known, and a choice that the network does not have.
    """
    parts = {"image_encoder": image_encoder, "memory_attention": memory_attention, "memory_encoder": memory_encoder}
    if missing := [name for name, part in parts.items() if part is None]:
        raise ValueError(f"{', '.join(missing)} missing: pass the three parts, or config=ModelConfig(...)")
    hidden_dim = image_encoder.neck.d_model
    memory_dim = getattr(getattr(memory_encoder.out_proj, "weight", None), "shape", (hidden_dim,))[0]
    sizes = {"hidden_dim": hidden_dim, "memory_dim": memory_dim} | _sizes_inside(memory_attention, memory_encoder)
    if isinstance(image_encoder.trunk, Hiera):
        sizes["trunk"] = image_encoder.trunk.sizes
    plain = ModelConfig()
    choices = dict(keys) | dict(keys.get("sam_mask_decoder_extra_args") or {})
    choices.pop("sam_mask_decoder_extra_args", None)
    known = {f.name for f in fields(ModelConfig)} - {"trunk", "hidden_dim", "memory_dim", "use_obj_ptrs_in_encoder"}
    for name, value in choices.items():
        if name in FIXED and value != FIXED[name]:
            raise ValueError(f"{name}={value!r}: this network has {name}={FIXED[name]} and no other")
        if name not in known | set(FIXED) | WITHOUT_EFFECT:
            raise ValueError(f"{name}={value!r}: there is no such key; known are {', '.join(sorted(known))}")
    values = {name: value for name, value in (RELEASED_DEFAULTS | choices).items() if name in known}
    checked = {n: v if n == "variant" else settings.of_kind(getattr(plain, n), v, f"{n}={v!r}") for n, v in values.items()}
    return ModelConfig(**({"variant": "a network built from parts"} | sizes | checked))


def _sizes_inside(memory_attention: nn.Module, memory_encoder: nn.Module) -> dict[str, Any]:
    """Return the sizes of parts that are ours; what else was handed in keeps its own."""
    sizes: dict[str, Any] = {}
    if isinstance(memory_attention, MemoryAttention):
        sizes["memory_attention_layers"] = len(memory_attention.layers)
        if isinstance(layer := memory_attention.layers[0], MemoryAttentionLayer):
            sizes |= {"memory_attention_ffn_dim": layer.dim_feedforward, "memory_attention_dropout": layer.dropout_value}
    if isinstance(memory_encoder, MemoryEncoder) and isinstance(memory_encoder.fuser, Fuser):
        sizes["memory_fuser_layers"] = len(memory_encoder.fuser.layers)
    return sizes


def released_keys(config: ModelConfig) -> dict[str, Any]:
    """Return what a network's class is called with under the released call, beside its three parts."""
    values = {f.name: getattr(config, f.name) for f in fields(ModelConfig)}
    defaults = {name: getattr(ModelConfig(), name) for name in values} | RELEASED_DEFAULTS
    changed = {n: v for n, v in values.items() if v != defaults[n] and n not in _SIZES | set(STABILITY)}
    extra = {name: values[name] for name in STABILITY} if config.dynamic_multimask_via_stability else None
    fixed = {name: value for name, value in FIXED.items() if name != "backbone_stride" and value}
    return fixed | changed | ({"sam_mask_decoder_extra_args": extra} if extra else {})


def _image_encoder(config: ModelConfig) -> ImageEncoder:
    sizes = config.trunk
    trunk = Hiera(
        sizes.embed_dim,
        sizes.num_heads,
        stages=sizes.stages,
        window_pos_embed_bkg_spatial_size=sizes.window_pos_embed_bkg_spatial_size,
        window_spec=sizes.window_spec,
        global_att_blocks=sizes.global_att_blocks,
    )
    neck = FpnNeck(
        PositionEmbeddingSine(config.hidden_dim),
        config.hidden_dim,
        trunk.channel_list,
        fpn_interp_model="nearest",
        fpn_top_down_levels=(2, 3),
    )
    return ImageEncoder(trunk, neck, scalp=1)


def _memory_attention(config: ModelConfig) -> MemoryAttention:
    dim, dropout, map_hw = config.hidden_dim, config.memory_attention_dropout, (config.feature_side, config.feature_side)
    layer = MemoryAttentionLayer(
        activation="relu",
        cross_attention=RoPEAttention(dim, dropout=dropout, kv_in_dim=config.memory_dim, rope_k_repeat=True, feat_sizes=map_hw),
        d_model=dim,
        dim_feedforward=config.memory_attention_ffn_dim,
        dropout=dropout,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=RoPEAttention(dim, dropout=dropout, feat_sizes=map_hw),
    )
    return MemoryAttention(dim, True, layer, config.memory_attention_layers)


def _memory_encoder(config: ModelConfig) -> MemoryEncoder:
    dim = config.hidden_dim
    return MemoryEncoder(
        config.memory_dim,
        MaskDownSampler(dim, kernel_size=3, stride=2, padding=1),
        Fuser(CXBlock(dim), config.memory_fuser_layers),
        PositionEmbeddingSine(config.memory_dim),
        in_dim=dim,
    )


def _prompt_encoder(config: ModelConfig) -> PromptEncoder:
    map_hw, image_hw = (config.feature_side,) * 2, (config.image_size,) * 2
    return PromptEncoder(config.hidden_dim, map_hw, image_hw, config.mask_prompt_channels)


def _mask_decoder(config: ModelConfig) -> MaskDecoder:
    transformer = TwoWayTransformer(config.decoder_layers, config.hidden_dim, config.decoder_heads, config.decoder_mlp_dim)
    return MaskDecoder(
        transformer_dim=config.hidden_dim,
        transformer=transformer,
        iou_head_hidden_dim=config.iou_head_dim,
        **{name: getattr(config, name) for name in STABILITY},
    )
