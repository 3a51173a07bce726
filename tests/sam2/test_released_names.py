"""Names that programs for the released package import or read: they are public, and a clean-up must not take one away."""

import importlib

import pytest
import torch

from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_image_predictor import SAM2ImagePredictor

MODULES = {
    "sam2": "",
    "sam2.automatic_mask_generator": "SAM2AutomaticMaskGenerator MaskData",
    "sam2.build_sam": "HF_MODEL_ID_TO_FILENAMES build_sam2 build_sam2_hf build_sam2_video_predictor "
    "build_sam2_video_predictor_hf _hf_download _load_checkpoint",
    "sam2.modeling.backbones.hieradet": "do_pool Hiera MLP MultiScaleAttention MultiScaleBlock PatchEmbed window_partition "
    "window_unpartition DropPath",
    "sam2.modeling.backbones.image_encoder": "FpnNeck ImageEncoder",
    "sam2.modeling.backbones.utils": "PatchEmbed window_partition window_unpartition",
    "sam2.modeling.memory_attention": "MemoryAttention MemoryAttentionLayer RoPEAttention",
    "sam2.modeling.memory_encoder": "CXBlock Fuser MaskDownSampler MemoryEncoder",
    "sam2.modeling.position_encoding": "PositionEmbeddingRandom PositionEmbeddingSine apply_rotary_enc compute_axial_cis",
    "sam2.modeling.sam.mask_decoder": "LayerNorm2d MLP MaskDecoder",
    "sam2.modeling.sam.prompt_encoder": "LayerNorm2d PositionEmbeddingRandom PromptEncoder",
    "sam2.modeling.sam.transformer": "Attention MLP RoPEAttention TwoWayAttentionBlock TwoWayTransformer",
    "sam2.modeling.sam2_base": "NO_OBJ_SCORE SAM2Base",
    "sam2.modeling.sam2_utils": "DropPath LayerNorm2d MLP get_1d_sine_pe get_activation_fn get_clones "
    "select_closest_cond_frames",
    "sam2.sam2_image_predictor": "SAM2ImagePredictor",
    "sam2.sam2_video_predictor": "SAM2VideoPredictor SAM2VideoPredictorVOS",
    "sam2.sam2_video_predictor_legacy": "SAM2VideoPredictor",
    "sam2.utils.amg": "MaskData area_from_rle batch_iterator batched_mask_to_box box_xyxy_to_xywh build_all_layer_point_grids "
    "build_point_grid calculate_stability_score coco_encode_rle generate_crop_boxes is_box_near_crop_edge mask_to_rle_pytorch "
    "remove_small_regions rle_to_mask uncrop_boxes_xyxy uncrop_masks uncrop_points",
    "sam2.utils.misc": "AsyncVideoFrameLoader _load_img_as_tensor concat_points fill_holes_in_mask_scores "
    "get_connected_components get_sdpa_settings load_video_frames load_video_frames_from_jpg_images "
    "load_video_frames_from_video_file mask_to_box",
    "sam2.utils.transforms": "SAM2Transforms",
}
NETWORK = """
image_encoder memory_attention memory_encoder sam_prompt_encoder sam_mask_decoder mask_downsample obj_ptr_proj
obj_ptr_tpos_proj maskmem_tpos_enc no_mem_embed no_mem_pos_enc no_obj_ptr no_obj_embed_spatial device image_size
backbone_stride hidden_dim mem_dim num_maskmem num_feature_levels sam_prompt_embed_dim sam_image_embedding_size
sam_mask_decoder_extra_args use_high_res_features_in_sam use_obj_ptrs_in_encoder max_obj_ptrs_in_encoder
add_tpos_enc_to_obj_ptrs proj_tpos_enc_in_obj_ptrs use_signed_tpos_enc_to_obj_ptrs only_obj_ptrs_in_the_past_for_eval
directly_add_no_mem_embed sigmoid_scale_for_mem_enc sigmoid_bias_for_mem_enc binarize_mask_from_pts_for_mem_enc
non_overlap_masks_for_mem_enc memory_temporal_stride_for_eval use_mask_input_as_output_without_sam multimask_output_in_sam
multimask_min_pt_num multimask_max_pt_num multimask_output_for_tracking use_multimask_token_for_obj_ptr
iou_prediction_use_sigmoid pred_obj_scores pred_obj_scores_mlp fixed_no_obj_ptr soft_no_obj_ptr use_mlp_for_obj_ptr_proj
max_cond_frames_in_attn fill_hole_area non_overlap_masks clear_non_cond_mem_around_input add_all_frames_to_correct_as_cond
forward_image track_step _track_step _forward_sam_heads _use_mask_as_output _prepare_backbone_features
_prepare_memory_conditioned_features _encode_new_memory _encode_memory_in_output _use_multimask
_apply_non_overlapping_constraints from_pretrained init_state propagate_in_video image_encoder.trunk.blocks
image_encoder.trunk.patch_embed.proj image_encoder.trunk.pos_embed image_encoder.trunk.pos_embed_window
image_encoder.trunk.channel_list image_encoder.trunk.stage_ends image_encoder.trunk.q_pool_blocks
image_encoder.trunk.window_spec image_encoder.trunk.global_att_blocks image_encoder.trunk.get_num_layers
image_encoder.trunk.get_layer_id image_encoder.trunk.return_interm_layers image_encoder.neck.convs image_encoder.neck.d_model
image_encoder.scalp image_encoder.neck.backbone_channel_list image_encoder.neck.position_encoding
image_encoder.neck.fpn_top_down_levels memory_attention.d_model memory_attention.layers memory_attention.num_layers
memory_attention.pos_enc_at_input memory_encoder.mask_downsampler.encoder memory_encoder.pix_feat_proj
memory_encoder.fuser.layers memory_encoder.out_proj memory_encoder.position_encoding sam_prompt_encoder.embed_dim
sam_prompt_encoder.image_embedding_size sam_prompt_encoder.input_image_size sam_prompt_encoder.mask_input_size
sam_prompt_encoder.num_point_embeddings sam_prompt_encoder.pe_layer._pe_encoding
sam_prompt_encoder.pe_layer.forward_with_coords sam_prompt_encoder.get_dense_pe sam_prompt_encoder._embed_points
sam_prompt_encoder._embed_boxes sam_prompt_encoder._embed_masks sam_prompt_encoder.point_embeddings
sam_prompt_encoder.not_a_point_embed sam_prompt_encoder.no_mask_embed sam_prompt_encoder.mask_downscaling
sam_mask_decoder.transformer_dim sam_mask_decoder.transformer sam_mask_decoder.num_mask_tokens
sam_mask_decoder.num_multimask_outputs sam_mask_decoder.predict_masks sam_mask_decoder.iou_token sam_mask_decoder.mask_tokens
sam_mask_decoder.obj_score_token sam_mask_decoder.output_upscaling sam_mask_decoder.output_hypernetworks_mlps
sam_mask_decoder.iou_prediction_head sam_mask_decoder.pred_obj_score_head sam_mask_decoder.conv_s0 sam_mask_decoder.conv_s1
sam_mask_decoder.use_high_res_features sam_mask_decoder.pred_obj_scores sam_mask_decoder.use_multimask_token_for_obj_ptr
sam_mask_decoder.dynamic_multimask_via_stability sam_mask_decoder.dynamic_multimask_stability_delta
sam_mask_decoder.dynamic_multimask_stability_thresh sam_mask_decoder._get_stability_scores
sam_mask_decoder._dynamic_multimask_via_stability
"""
BLOCK = """
norm1 norm2 attn.qkv attn.proj attn.num_heads attn.dim attn.dim_out mlp.layers mlp.act drop_path dim dim_out window_size
"""
LAYER = """
self_attn.q_proj self_attn.freqs_cis cross_attn_image.k_proj cross_attn_image.v_proj cross_attn_image.out_proj linear1 linear2
norm1 norm2 norm3 dropout1 dropout2 dropout3 activation d_model dim_feedforward pos_enc_at_attn pos_enc_at_cross_attn_keys
pos_enc_at_cross_attn_queries
"""
IMAGE = """
model mask_threshold device _transforms _features _orig_hw _is_image_set _is_batch set_image set_image_batch predict
predict_batch _predict _prep_prompts get_image_embedding reset_predictor from_pretrained _transforms.mean _transforms.std
_transforms.resolution _transforms.to_tensor _transforms.transforms _transforms.forward_batch _transforms.transform_coords
_transforms.transform_boxes _transforms.postprocess_masks _transforms.mask_threshold _transforms.max_hole_area
_transforms.max_sprinkle_area
"""


def lacking(thing: object, names: str) -> list[str]:
    """Return the dotted names that a thing does not have."""
    missing = object()
    found = {}
    for name in names.split():
        place = thing
        for part in name.split("."):
            place = getattr(place, part, missing)
        found[name] = place
    return [name for name, place in found.items() if place is missing]


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_their_names(name: str) -> None:
    assert lacking(importlib.import_module(name), MODULES[name]) == []


def test_networks_and_predictors_have_their_attributes() -> None:
    network = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    assert lacking(network, NETWORK) == []
    assert lacking(network.image_encoder.trunk.blocks[0], BLOCK) == []
    assert lacking(network.memory_attention.layers[0], LAYER) == []
    assert lacking(SAM2ImagePredictor(network), IMAGE) == []


def test_the_names_stand_for_the_parts_of_a_network() -> None:
    network = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    parts = {
        "sam2.modeling.backbones.hieradet.Hiera": network.image_encoder.trunk,
        "sam2.modeling.backbones.hieradet.MultiScaleBlock": network.image_encoder.trunk.blocks[0],
        "sam2.modeling.backbones.hieradet.MultiScaleAttention": network.image_encoder.trunk.blocks[0].attn,
        "sam2.modeling.backbones.image_encoder.ImageEncoder": network.image_encoder,
        "sam2.modeling.sam.mask_decoder.MaskDecoder": network.sam_mask_decoder,
        "sam2.modeling.sam.prompt_encoder.PromptEncoder": network.sam_prompt_encoder,
        "sam2.modeling.sam.transformer.TwoWayTransformer": network.sam_mask_decoder.transformer,
        "sam2.modeling.sam.transformer.RoPEAttention": network.memory_attention.layers[0].self_attn,
        "sam2.modeling.memory_encoder.CXBlock": network.memory_encoder.fuser.layers[0],
        "sam2.modeling.sam2_utils.LayerNorm2d": network.memory_encoder.fuser.layers[0].norm,
        "sam2.modeling.sam2_utils.MLP": network.obj_ptr_proj,
    }
    for name, part in parts.items():
        module, _, kind = name.rpartition(".")
        assert type(part) is getattr(importlib.import_module(module), kind), name
    assert isinstance(SAM2ImagePredictor(network)._transforms, torch.nn.Module)
