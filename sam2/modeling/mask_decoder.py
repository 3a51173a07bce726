"""Mask decoder: from features and prompts to candidate masks, how good each is, and whether the object is there.

Legend: B objects, M candidate masks, T tokens, N image tokens (h * w), C hidden channels, h, w the 1/16 map,
H, W the low-resolution mask (4 h).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import MLP, MapNorm, double_resolution
from sam2.modeling.two_way_transformer import TwoWayTransformer

NUM_MASKS = 4       # token 0 answers a clear prompt, tokens 1 to 3 an ambiguous one


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the mask decoder says before a candidate is chosen; M is 3 with `multimask`, else 1.

    `mask_logits_BMHW` float32, absence not yet applied (see `SAM2Base.mask_absent`); `predicted_iou_BM` in [0, 1];
    `tokens_BMC` the mask tokens that pointers are made from (with M = 1 always the single-mask token's, even where
    the mask was replaced for stability); `object_score_logits_B1` above the presence threshold means present.
    """

    mask_logits_BMHW: Tensor
    predicted_iou_BM: Tensor
    tokens_BMC: Tensor
    object_score_logits_B1: Tensor


class MaskDecoder(nn.Module):
    """Decode masks (Ravi et al. 2024, figure 9)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.config = config
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASKS, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            MapNorm(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, hidden=dim, dim_out=dim // 8, depth=3) for _ in range(NUM_MASKS)
        )
        self.iou_prediction_head = MLP(dim, hidden=config.iou_head_dim, dim_out=NUM_MASKS, depth=3)
        self.pred_obj_score_head = MLP(dim, hidden=dim, dim_out=1, depth=3)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool = False,
        high_res_features: list[Tensor] | tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer under the released call: masks, their predicted IoU, tokens, object score logits.

        `repeat_image` is accepted and not needed: an image of batch 1 serves any number of prompts.
        """
        if high_res_features is None:
            raise ValueError("high_res_features is None: expected the 1/4 and 1/8 maps that the image encoder returned")
        answer = self.decode(
            image_embeddings,
            (high_res_features[0], high_res_features[1]),
            tokens_BTC=sparse_prompt_embeddings,
            prompt_BChw=dense_prompt_embeddings,
            image_pos_1Chw=image_pe,
            multimask=multimask_output,
        )
        return answer.mask_logits_BMHW, answer.predicted_iou_BM, answer.tokens_BMC, answer.object_score_logits_B1

    def decode(
        self,
        vision_BChw: Tensor,
        high_res: tuple[Tensor, Tensor],
        *,
        tokens_BTC: Tensor,
        prompt_BChw: Tensor,
        image_pos_1Chw: Tensor,
        multimask: bool,
    ) -> Decoded:
        """Decode B prompts; whatever has batch 1 serves all of them."""
        spoken = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((spoken.expand(tokens_BTC.shape[0], -1, -1), tokens_BTC), dim=1)
        hw = vision_BChw.shape[-2:]
        # a map that is the same for every object stays one map until the objects' tokens have spoken to it
        prompt_BChw = prompt_BChw[:1] if prompt_BChw.stride(0) == 0 else prompt_BChw
        image = (vision_BChw + prompt_BChw).flatten(2).transpose(1, 2)
        tokens, image = self.transformer(image, image_pos_1Chw.flatten(2).transpose(1, 2), tokens)
        present, quality, mask_tokens = tokens[:, 0], tokens[:, 1], tokens[:, 2 : 2 + NUM_MASKS]
        candidates = self._candidates(multimask)
        mask_logits = self._masks(image.unflatten(1, hw), high_res, mask_tokens, candidates)
        predicted_iou = self.iou_prediction_head(quality).sigmoid()[:, candidates]
        if len(candidates) == NUM_MASKS:
            mask_logits, predicted_iou = self._replace_unstable(mask_logits, predicted_iou)
        tokens_kept = mask_tokens[:, 1:] if multimask else mask_tokens[:, :1]
        return Decoded(mask_logits, predicted_iou, tokens_kept, self.pred_obj_score_head(present))

    def _candidates(self, multimask: bool) -> list[int]:
        if multimask:
            return [1, 2, 3]
        stability_asked = self.config.dynamic_multimask_via_stability and not self.training
        return [0, 1, 2, 3] if stability_asked else [0]

    def _masks(self, image_BhwC: Tensor, high_res: tuple[Tensor, Tensor], tokens: Tensor, candidates: list[int]) -> Tensor:
        """Return mask logits (B, len(candidates), H, W): the product of each token's small network and a fine map."""
        enlarge, norm, _, enlarge_again, _ = self.output_upscaling
        at_4, at_8 = (x.permute(0, 2, 3, 1) for x in high_res)
        fine = F.gelu(norm.channels_last(double_resolution(enlarge, image_BhwC) + at_8))
        fine = F.gelu(double_resolution(enlarge_again, fine) + at_4)
        filters = torch.stack([self.output_hypernetworks_mlps[i](tokens[:, i]) for i in candidates], dim=1)
        return (filters @ fine.flatten(1, 2).transpose(1, 2)).unflatten(2, fine.shape[1:3])

    def _replace_unstable(self, mask_logits_B4HW: Tensor, predicted_iou_B4: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the single mask where its area hardly depends on the threshold; else take the best of the three."""
        delta = self.config.dynamic_multimask_stability_delta
        single = mask_logits_B4HW[:, 0].flatten(1)
        inner, outer = (single > delta).sum(1).float(), (single > -delta).sum(1).float()
        stability = torch.where(outer > 0, inner / outer, 1.0)
        best = 1 + predicted_iou_B4[:, 1:].argmax(1)
        chosen = torch.where(stability >= self.config.dynamic_multimask_stability_thresh, 0, best)
        rows = torch.arange(len(chosen), device=chosen.device)
        return mask_logits_B4HW[rows, chosen][:, None], predicted_iou_B4[rows, chosen][:, None]
