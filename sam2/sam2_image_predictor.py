"""Segment still images by prompts: embed an image once, ask it often.

Legend: B prompts (or images), N points of a prompt, M masks (3 with `multimask_output`, else 1), H, W the image,
h, w the low-resolution mask (a quarter of the model's side).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from torch import Tensor

from sam2.build_sam import build_sam2_hf
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.transforms import (
    SAM2Transforms,
    checked_boxes,
    checked_image,
    checked_mask_prompt,
    checked_points,
    corners_and_points,
)

Answer = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
LOGIT_LIMIT = 32.0      # of the low-resolution logits handed back as the next call's mask prompt


class SAM2ImagePredictor:
    """Ask a SAM 2 model for masks of still images, under the released calls.

    `mask_threshold`: the logit above which a pixel belongs to a mask. `max_hole_area`, `max_sprinkle_area`: fill holes
    and remove islands of up to so many low-resolution pixels; 0 leaves them.
    """

    def __init__(
        self,
        sam_model: SAM2Base,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.model = sam_model
        self.mask_threshold = mask_threshold
        self._transforms = SAM2Transforms(sam_model.image_size, mask_threshold, max_hole_area, max_sprinkle_area)
        self.reset_predictor()

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> "SAM2ImagePredictor":
        """Build a predictor with the weights of an id of Hugging Face's hub; arguments are its own and `build_sam2`'s."""
        names = ("mask_threshold", "max_hole_area", "max_sprinkle_area")
        options = {name: kwargs.pop(name) for name in names if name in kwargs}
        return cls(build_sam2_hf(model_id, **kwargs), **options)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def reset_predictor(self) -> None:
        """Forget the image."""
        self._is_image_set = False
        self._is_batch = False
        self._features: dict[str, Any] | None = None
        self._orig_hw: list[tuple[int, int]] | None = None

    def set_image(self, image: NDArray[Any] | Image, image_format: str = "RGB") -> None:
        """Embed one image: (H, W, 3) pixels in 0..255 (or floats in 0..1), or a PIL image.

        `image_format` is the order of an array's channels, "RGB" or "BGR". Raises ValueError for anything else.
        """
        self._embed([image], image_format)

    def set_image_batch(self, image_list: Sequence[NDArray[Any] | Image], image_format: str = "RGB") -> None:
        """Embed several images, of any sizes, for `predict_batch`."""
        if not isinstance(image_list, list | tuple) or not image_list:
            raise ValueError(f"image_list is {type(image_list).__name__}: expected a list of at least one image")
        self._embed(list(image_list), image_format)
        self._is_batch = True

    @torch.no_grad()
    def _embed(self, images: list[NDArray[Any] | Image], image_format: str) -> None:
        self.reset_predictor()
        pixels = [checked_image(image, image_format) for image in images]
        features = self.model.encode_image(self._transforms.forward_batch(pixels).to(self.device))
        self._features = {
            "image_embed": self.model.without_memory(features),
            "high_res_feats": list(features.high_res),
        }
        self._orig_hw = [(p.height, p.width) if isinstance(p, Image) else (p.shape[0], p.shape[1]) for p in pixels]
        self._is_image_set = True

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Answer:
        """Return masks (M, H, W) as 0 and 1 (or logits), their predicted IoU (M,), and low-resolution logits (M, h, w).

        `point_coords` (N, 2) x, y in image pixels, or shares of the sides without `normalize_coords`;
        `point_labels` (N,) 1 inside, 0 outside; `box` (4,) x0, y0, x1, y1; `mask_input` (1, h, w) logits of an earlier
        answer. With a leading axis B of points or boxes the answers get one too. Raises ValueError for prompts that
        do not fit together or are not finite, RuntimeError before an image is set.
        """
        self._require_image()
        return self._predict_one(
            -1, point_coords, point_labels, box, mask_input, multimask_output, return_logits, normalize_coords
        )

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Return what `predict` returns, as three lists with one entry for each image of `set_image_batch`."""
        self._require_image()
        if not self._is_batch or self._orig_hw is None:
            raise RuntimeError("predict_batch needs images set with set_image_batch(...); for one image use predict")
        count = len(self._orig_hw)
        named = {
            "point_coords_batch": point_coords_batch,
            "point_labels_batch": point_labels_batch,
            "box_batch": box_batch,
            "mask_input_batch": mask_input_batch,
        }
        for name, batch in named.items():
            if batch is not None and len(batch) != count:
                raise ValueError(f"{name} has {len(batch)} entries: expected one for each of the {count} images")
        prompts = zip(*[batch if batch is not None else [None] * count for batch in named.values()], strict=True)
        answers = [
            self._predict_one(index, *prompt, multimask_output, return_logits, normalize_coords)
            for index, prompt in enumerate(prompts)
        ]
        masks, predicted_iou, low_res = (list(column) for column in zip(*answers, strict=True))
        return masks, predicted_iou, low_res

    def get_image_embedding(self) -> Tensor:
        """Return the image's features (B, C, S/16, S/16)."""
        self._require_image()
        assert self._features is not None
        return self._features["image_embed"]

    def _predict_one(
        self,
        img_idx: int,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        mask_input: ArrayLike | None,
        multimask_output: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> Answer:
        mask, coords, labels, corners = self._prep_prompts(
            point_coords, point_labels, box, mask_input, normalize_coords, img_idx=img_idx
        )
        answer = self._predict(coords, labels, corners, mask, multimask_output, return_logits, img_idx)
        masks, predicted_iou, low_res = (part.squeeze(0).float().cpu().numpy() for part in answer)
        return masks, predicted_iou, low_res

    def _prep_prompts(
        self,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        mask_logits: ArrayLike | None,
        normalize_coords: bool,
        img_idx: int = -1,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """Return mask logits (B, 1, h, w), points (B, N, 2), labels (B, N), box corners (B, 2, 2) for the model."""
        assert self._orig_hw is not None
        orig_hw = self._orig_hw[img_idx]
        coords = labels = corners = mask = None
        if point_coords is not None and point_labels is None:
            raise ValueError("point_coords came without point_labels: expected one label for each point")
        # labels alone say nothing, and callers that draw boxes pass them
        if point_coords is not None:
            coords, labels = checked_points(point_coords, point_labels, device=self.device)
            coords = self._transforms.transform_coords(coords, normalize_coords, orig_hw)
        if box is not None:
            boxes = checked_boxes(box, device=self.device)
            corners = self._transforms.transform_boxes(boxes, normalize_coords, orig_hw)
        if mask_logits is not None:
            mask = checked_mask_prompt(mask_logits, side=self.model.config.low_res_side, device=self.device)
        if coords is not None and corners is not None and len(coords) != len(corners):
            raise ValueError(f"{len(coords)} sets of points and {len(corners)} boxes: expected as many of each")
        return mask, coords, labels, corners

    @torch.no_grad()
    def _predict(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        img_idx: int = -1,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer prompts that are tensors in model pixels already; shapes as `_prep_prompts` returns them.

        Returns masks (B, M, H, W), predicted IoU (B, M) and low-resolution logits (B, M, h, w).
        """
        mask_logits_BMhw, predicted_iou_BM = self._decode(
            point_coords, point_labels, boxes, mask_input, multimask_output, img_idx
        )
        assert self._orig_hw is not None
        masks = self._transforms.postprocess_masks(mask_logits_BMhw, self._orig_hw[img_idx])
        low_res = mask_logits_BMhw.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        return masks if return_logits else masks > self.mask_threshold, predicted_iou_BM, low_res

    @torch.no_grad()
    def _decode(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        img_idx: int = -1,
    ) -> tuple[Tensor, Tensor]:
        """Answer what `_predict` answers by the decoder's own logits (B, M, h, w), and predicted IoU (B, M)."""
        self._require_image()
        assert self._features is not None
        row = slice(img_idx, img_idx + 1 or None)
        encoder = self.model.sam_prompt_encoder
        points = corners_and_points(point_coords, point_labels, boxes)
        tokens, prompt = encoder(points=points, boxes=None, masks=mask_input)
        mask_logits_BMhw, predicted_iou_BM, _, _ = self.model.sam_mask_decoder(
            image_embeddings=self._features["image_embed"][row],
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=prompt,
            multimask_output=multimask_output,
            repeat_image=len(tokens) > 1,
            high_res_features=[x[row] for x in self._features["high_res_feats"]],
        )
        return mask_logits_BMhw, predicted_iou_BM

    def _require_image(self) -> None:
        if not self._is_image_set:
            raise RuntimeError("no image is set: call set_image(...) or set_image_batch(...) first")
