"""Mask decoder: from features and prompts to candidate masks, how good each is, and whether the object is there.

Legend: B objects, M candidate masks, T tokens, N image tokens (h * w), C hidden channels, h, w the 1/16 map,
H, W the low-resolution mask (4 h).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sam2.modeling.layers import MLP, LayerNorm2d, double_resolution, only
from sam2.modeling.settings import Fixed

__all__ = ["MLP", "LayerNorm2d", "MaskDecoder"]


class Decoded(NamedTuple):
    """What the mask decoder says before a candidate is chosen; M is 3 with `multimask_output`, else 1.

    `mask_logits_BMHW`, absence not yet applied (see `SAM2Base.mask_absent`); `predicted_iou_BM` in [0, 1];
    `tokens_BMC` the mask tokens that pointers are made from (with M = 1 always the single-mask token's, even where
    the mask was replaced for stability); `object_score_logits_B1` above the presence threshold means present.
    """

    mask_logits_BMHW: Tensor
    predicted_iou_BM: Tensor
    tokens_BMC: Tensor
    object_score_logits_B1: Tensor


class MaskDecoder(nn.Module):
    """Decode masks (Ravi et al. 2024, figure 9). Token 0 answers a clear prompt, the others an ambiguous one.

    The three choices of `dynamic_multimask` are read at each call.
    """

    use_high_res_features = Fixed("use_high_res_features", "there is no other decoder here", value=True)
    pred_obj_scores = Fixed("pred_obj_scores", "there is no other decoder here", value=True)

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: nn.Module,
        num_multimask_outputs: int = 3,
        activation: type[nn.Module] = nn.GELU,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
        use_high_res_features: bool = True,
        iou_prediction_use_sigmoid: bool = True,
        dynamic_multimask_via_stability: bool = False,
        dynamic_multimask_stability_delta: float = 0.05,
        dynamic_multimask_stability_thresh: float = 0.98,
        pred_obj_scores: bool = True,
        pred_obj_scores_mlp: bool = True,
        use_multimask_token_for_obj_ptr: bool = True,
    ) -> None:
        super().__init__()
        heads = {"pred_obj_scores": (pred_obj_scores, True), "pred_obj_scores_mlp": (pred_obj_scores_mlp, True)}
        only("MaskDecoder", use_high_res_features=(use_high_res_features, True), **heads)
        dim = self.transformer_dim = transformer_dim
        self.num_multimask_outputs, self.num_mask_tokens = num_multimask_outputs, num_multimask_outputs + 1
        self.use_multimask_token_for_obj_ptr = use_multimask_token_for_obj_ptr
        self.dynamic_multimask_via_stability = dynamic_multimask_via_stability
        self.dynamic_multimask_stability_delta = dynamic_multimask_stability_delta
        self.dynamic_multimask_stability_thresh = dynamic_multimask_stability_thresh
        self.transformer = transformer
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            activation(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            activation(),
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens))
        self.iou_prediction_head = MLP(
            dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth, sigmoid_output=iou_prediction_use_sigmoid
        )
        self.pred_obj_score_head = MLP(dim, dim, 1, 3)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool = False,
        high_res_features: Sequence[Tensor] | None = None,
    ) -> Decoded:
        """Decode B prompts: maps (1 or B, C, h, w), tokens (B, T, C), the 1/4 and 1/8 maps as the image encoder's.

        Whatever has batch 1 serves all prompts, so that `repeat_image` is not needed.
        """
        if multimask_output:
            candidates = list(range(1, self.num_mask_tokens))
        else:
            doubted = self.dynamic_multimask_via_stability and not self.training
            candidates = list(range(self.num_mask_tokens)) if doubted else [0]
        masks, predicted_iou, tokens, present = self._predict(
            image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, high_res_features, candidates
        )
        if not multimask_output and len(candidates) > 1:
            masks, predicted_iou = self._dynamic_multimask_via_stability(masks, predicted_iou)
        several = multimask_output and self.use_multimask_token_for_obj_ptr
        return Decoded(masks, predicted_iou, tokens[:, 1:] if several else tokens[:, :1], present)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        repeat_image: bool = False,
        high_res_features: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the masks of all tokens (B, 4, H, W), their predicted IoU, the tokens, and the object's score logit."""
        return self._predict(
            image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, high_res_features,
            list(range(self.num_mask_tokens)),
        )  # fmt: skip

    def _predict(
        self,
        vision_BChw: Tensor,
        pos_1Chw: Tensor,
        prompt_BTC: Tensor,
        prompt_BChw: Tensor,
        high_res: Sequence[Tensor] | None,
        candidates: list[int],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if high_res is None:
            raise ValueError("high_res_features is None: expected the 1/4 and 1/8 maps that the image encoder returned")
        spoken = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((spoken.expand(prompt_BTC.shape[0], -1, -1), prompt_BTC), dim=1)
        # a map that is the same for every object stays one map until the objects' tokens have spoken to it
        prompt_BChw = prompt_BChw[:1] if prompt_BChw.stride(0) == 0 else prompt_BChw
        tokens, image = self.transformer(vision_BChw + prompt_BChw, pos_1Chw, tokens)
        present, quality, mask_tokens = tokens[:, 0], tokens[:, 1], tokens[:, 2 : 2 + self.num_mask_tokens]
        masks = self._masks(image.unflatten(1, vision_BChw.shape[-2:]), high_res, mask_tokens, candidates)
        predicted_iou = self.iou_prediction_head(quality)[:, candidates]
        return masks, predicted_iou, mask_tokens, self.pred_obj_score_head(present)

    def _masks(self, image_BhwC: Tensor, high_res: Sequence[Tensor], tokens: Tensor, candidates: list[int]) -> Tensor:
        """Return mask logits (B, len(candidates), H, W): the product of each token's small network and a fine map."""
        enlarge, norm, activate, enlarge_again, activate_again = self.output_upscaling
        at_4, at_8 = (x.permute(0, 2, 3, 1) for x in high_res)
        fine = norm((double_resolution(enlarge, image_BhwC) + at_8).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        fine = activate_again(double_resolution(enlarge_again, activate(fine)) + at_4)
        filters = torch.stack([self.output_hypernetworks_mlps[i](tokens[:, i]) for i in candidates], dim=1)
        return (filters @ fine.flatten(1, 2).transpose(1, 2)).unflatten(2, fine.shape[1:3])

    def _get_stability_scores(self, mask_logits: Tensor) -> Tensor:
        """Return how little the area of masks (..., H, W) depends on the threshold: 1 for not at all, or for no area."""
        delta, logits = self.dynamic_multimask_stability_delta, mask_logits.flatten(-2)
        inner, outer = (logits > delta).sum(-1).float(), (logits > -delta).sum(-1).float()
        return torch.where(outer > 0, inner / outer, 1.0)

    def _dynamic_multimask_via_stability(self, all_mask_logits: Tensor, all_iou_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the single mask where its area hardly depends on the threshold; else take the best of the others."""
        stability_B = self._get_stability_scores(all_mask_logits[:, 0])
        best_B = 1 + all_iou_scores[:, 1:].argmax(1)
        chosen_B = torch.where(stability_B >= self.dynamic_multimask_stability_thresh, 0, best_B)
        rows_B = torch.arange(len(chosen_B), device=chosen_B.device)
        return all_mask_logits[rows_B, chosen_B][:, None], all_iou_scores[rows_B, chosen_B][:, None]



