"""Prompt encoder: clicks, boxes and mask logits become tokens and a map that the mask decoder reads.

Legend: B objects, P points, N tokens, C hidden channels, h, w the 1/16 map, H, W the low-resolution mask.
"""

import torch
from torch import Tensor, nn

from sam2.modeling.config import ModelConfig
from sam2.modeling.layers import MapNorm
from sam2.modeling.position_encoding import FourierPoints

PADDING, NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = -1, 0, 1, 2, 3


class PromptEncoder(nn.Module):
    """Encode prompts (Kirillov et al. 2023, "Segment Anything", section A); coordinates are in model pixels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, narrow = config.hidden_dim, config.mask_prompt_channels
        self.image_size, self.side = config.image_size, config.feature_side
        self.mask_input_size = (config.low_res_side, config.low_res_side)
        self.pe_layer = FourierPoints(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, narrow // 4, kernel_size=2, stride=2),
            MapNorm(narrow // 4),
            nn.GELU(),
            nn.Conv2d(narrow // 4, narrow, kernel_size=2, stride=2),
            MapNorm(narrow),
            nn.GELU(),
            nn.Conv2d(narrow, dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def get_dense_pe(self) -> Tensor:
        """Return the (1, C, h, w) encoding of the cells of the feature map."""
        return self.pe_layer.grid(self.side)

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, N, C) and a map (B, C, h, w).

        `points` are (B, P, 2) coordinates and (B, P) labels; without boxes a padding point is appended. `boxes` are
        (B, 4) corners. `masks` are (B, 1, H, W) logits. With none of the three B is 1 and there are no tokens.
        """
        given = [x for x in (points[0] if points else None, boxes, masks) if x is not None]
        batch = given[0].shape[0] if given else 1
        tokens = [self.no_mask_embed.weight.new_zeros(batch, 0, self.no_mask_embed.embedding_dim)]
        if points is not None:
            tokens.append(self._points(*points, pad=boxes is None))
        if boxes is not None:
            labels = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]], device=boxes.device)
            tokens.append(self._points(boxes.reshape(-1, 2, 2), labels.expand(boxes.shape[0], 2), pad=False))
        return torch.cat(tokens, dim=1), self._map(masks, batch)

    def _points(self, xy_BP2: Tensor, labels_BP: Tensor, *, pad: bool) -> Tensor:
        if pad:
            xy_BP2 = torch.cat((xy_BP2, xy_BP2.new_zeros(xy_BP2.shape[0], 1, 2)), dim=1)
            labels_BP = torch.cat((labels_BP, labels_BP.new_full((labels_BP.shape[0], 1), PADDING)), dim=1)
        labels_BP1 = labels_BP.unsqueeze(-1)
        # a click lies in the middle of its pixel
        place = self.pe_layer((xy_BP2 + 0.5) / self.image_size)
        tokens = torch.where(labels_BP1 == PADDING, self.not_a_point_embed.weight, place)
        for label, embedding in enumerate(self.point_embeddings):
            tokens = torch.where(labels_BP1 == label, tokens + embedding.weight, tokens)
        return tokens

    def _map(self, mask_logits_B1HW: Tensor | None, batch: int) -> Tensor:
        if mask_logits_B1HW is not None:
            return self.mask_downscaling(mask_logits_B1HW)
        return self.no_mask_embed.weight.view(1, -1, 1, 1).expand(batch, -1, self.side, self.side)
