"""Prompt encoder: clicks, boxes and mask logits become tokens and a map that the mask decoder reads.

Legend: B objects, P points, N tokens, C hidden channels, h, w the 1/16 map, H, W the low-resolution mask.
"""

import torch
from torch import Tensor, nn

from sam2.modeling.layers import LayerNorm2d
from sam2.modeling.position_encoding import PositionEmbeddingRandom

__all__ = ["LayerNorm2d", "PositionEmbeddingRandom", "PromptEncoder"]


PADDING, NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = -1, 0, 1, 2, 3


class PromptEncoder(nn.Module):
    """Encode prompts (Kirillov et al. 2023, "Segment Anything", section A); coordinates are in model pixels.

    Sizes are (height, width): of the 1/16 map and of the image.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size, self.input_image_size = tuple(image_embedding_size), tuple(input_image_size)
        self.mask_input_size = (4 * image_embedding_size[0], 4 * image_embedding_size[1])
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.num_point_embeddings = 4
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(self.num_point_embeddings))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            activation(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            activation(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Tensor:
        """Return the (1, C, h, w) encoding of the cells of the feature map."""
        return self.pe_layer(self.image_embedding_size)[None]

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, N, C) and a map (B, C, h, w).

        `points` are (B, P, 2) coordinates and (B, P) labels; without boxes a padding point is appended. `boxes` are
        (B, 4) corners. `masks` are (B, 1, H, W) logits. With none of the three B is 1 and there are no tokens.
        """
        batch = self._get_batch_size(points, boxes, masks)
        tokens = [torch.empty(batch, 0, self.embed_dim, device=self._get_device(), dtype=self.no_mask_embed.weight.dtype)]
        if points is not None:
            tokens.append(self._embed_points(*points, pad=boxes is None))
        if boxes is not None:
            tokens.append(self._embed_boxes(boxes))
        if masks is not None:
            return torch.cat(tokens, dim=1), self._embed_masks(masks)
        none = self.no_mask_embed.weight.view(1, -1, 1, 1)
        return torch.cat(tokens, dim=1), none.expand(batch, -1, *self.image_embedding_size)

    def _embed_points(self, points: Tensor, labels: Tensor, pad: bool) -> Tensor:
        """Return (B, P, C) tokens of points and their labels, and one of padding if asked."""
        if pad:
            points = torch.cat((points, points.new_zeros(points.shape[0], 1, 2)), dim=1)
            labels = torch.cat((labels, labels.new_full((labels.shape[0], 1), PADDING)), dim=1)
        labels_BP1 = labels.unsqueeze(-1)
        # a click lies in the middle of its pixel
        positions = self.pe_layer.forward_with_coords(points + 0.5, self.input_image_size)
        tokens = torch.where(labels_BP1 == PADDING, self.not_a_point_embed.weight, positions)
        for label, embedding in enumerate(self.point_embeddings):
            tokens = torch.where(labels_BP1 == label, tokens + embedding.weight, tokens)
        return tokens

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        """Return (B, 2, C) tokens of corners."""
        labels = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]], device=boxes.device)
        corners = boxes.reshape(-1, 2, 2)
        return self._embed_points(corners, labels.expand(corners.shape[0], 2), pad=False)

    def _embed_masks(self, masks: Tensor) -> Tensor:
        """Return (B, C, h, w) of mask logits."""
        return self.mask_downscaling(masks)

    def _get_batch_size(self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None) -> int:
        prompts = [x for x in (points[0] if points else None, boxes, masks) if x is not None]
        return prompts[0].shape[0] if prompts else 1

    def _get_device(self) -> torch.device:
        return self.no_mask_embed.weight.device



