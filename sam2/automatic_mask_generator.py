"""Masks of everything in a still image, prompted by a grid of points (Kirillov et al. 2023, "Segment Anything", section B).

Legend: P points, M masks a point (3 with `multimask_output`, else 1), N masks, H, W the image or a crop of it,
h, w the low-resolution mask.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from sam2.build_sam import build_sam2_hf
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import LOGIT_LIMIT, SAM2ImagePredictor
from sam2.utils import amg
from sam2.utils.amg import MaskData
from sam2.utils.transforms import checked_image

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")
PIXELS_AT_ONCE = 1 << 26        # of logits at the image's size: 256 MiB; more serves no GPU


class SAM2AutomaticMaskGenerator:
    """Find the masks of an image without prompts, under the released calls.

    `points_per_side` 32 makes a grid of 32 x 32 points; or `point_grids` has one (P, 2) for the image and one for each
    layer of crops, in shares of the sides. `points_per_batch` of them are asked at once, each for three masks with
    `multimask_output`, else for one; with `use_m2m` each answer is asked once more, with itself as a mask prompt.
    A mask stays with a predicted IoU above `pred_iou_thresh`, and a stability of at least `stability_score_thresh` at
    `mask_threshold` plus and minus `stability_score_offset`; 0 leaves either out. Of masks whose boxes have an IoU above
    `box_nms_thresh` the one of highest predicted IoU stays. `crop_n_layers` n asks crops too: 2^i x 2^i of them in layer
    i <= n, that overlap by `crop_overlap_ratio` of the short side; masks cut off by a crop's edge go, and of two alike
    (`crop_nms_thresh`) the one of the smaller crop stays. Layer i has `crop_n_points_downscale_factor`^i times fewer
    points a side. `min_mask_region_area` fills holes and removes islands of up to so many low-resolution pixels.
    `output_mode`: "binary_mask", "uncompressed_rle" or "coco_rle". Raises ValueError for what does not fit.
    """

    def __init__(
        self,
        model: SAM2Base,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: list[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        **kwargs: Any,
    ) -> None:
        if points_per_batch < 1:
            raise ValueError(f"points_per_batch={points_per_batch}: expected 1 or more")
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"output_mode={output_mode!r}: expected one of {', '.join(OUTPUT_MODES)}")
        self.point_grids = _grids(points_per_side, point_grids, crop_n_layers, crop_n_points_downscale_factor)
        self.predictor = SAM2ImagePredictor(
            model, max_hole_area=min_mask_region_area, max_sprinkle_area=min_mask_region_area
        )
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.mask_threshold = mask_threshold
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.use_m2m = use_m2m
        self.multimask_output = multimask_output

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> "SAM2AutomaticMaskGenerator":
        """Build a generator with the weights of an id of Hugging Face's hub; arguments are its own and `build_sam2`'s."""
        names = inspect.signature(cls).parameters.keys() - {"model", "kwargs"}
        own = {name: kwargs.pop(name) for name in names & kwargs.keys()}
        return cls(build_sam2_hf(model_id, **kwargs), **own)

    @torch.no_grad()
    def generate(self, image: NDArray[Any] | Image) -> list[dict[str, Any]]:
        """Return the masks of an image (H, W, 3), RGB in 0..255 (or floats in 0..1), or a PIL image, by falling score.

        Each is a dict: `segmentation` (a boolean (H, W), or run lengths), `area` in pixels, `bbox` [x, y, width, height],
        `predicted_iou`, `point_coords` [[x, y]] that it was asked by, `stability_score`, and `crop_box` as `bbox`.
        With crops, those of smaller crops come first. Raises ValueError for anything that is no image.
        """
        data = self._generate_masks(np.asarray(checked_image(image, "RGB")))
        return [
            {
                "segmentation": self._in_output_mode(rle),
                "area": amg.area_from_rle(rle),
                "bbox": amg.box_xyxy_to_xywh(data["boxes"][row]).tolist(),
                "predicted_iou": data["iou_preds"][row].item(),
                "point_coords": [data["points"][row].tolist()],
                "stability_score": data["stability_score"][row].item(),
                "crop_box": amg.box_xyxy_to_xywh(data["crop_boxes"][row]).tolist(),
            }
            for row, rle in enumerate(data["rles"])
        ]

    def _in_output_mode(self, rle: amg.RunLengths) -> NDArray[np.bool_] | amg.RunLengths:
        if self.output_mode == "binary_mask":
            return amg.rle_to_mask(rle)
        return amg.coco_encode_rle(rle) if self.output_mode == "coco_rle" else rle

    def _generate_masks(self, image: NDArray[Any]) -> MaskData:
        """Return the masks of all crops, those of small crops before the same of large ones."""
        size_hw = image.shape[:2]
        boxes, layers = amg.generate_crop_boxes(size_hw, self.crop_n_layers, self.crop_overlap_ratio)
        data = MaskData()
        for box, layer in zip(boxes, layers, strict=True):
            data.cat(self._process_crop(image, box, layer, size_hw))
        if len(boxes) > 1:
            x0, y0, x1, y1 = data["crop_boxes"].unbind(dim=1)
            data.filter(_distinct(data["boxes"], 1 / ((x1 - x0) * (y1 - y0)), self.crop_nms_thresh))
        data.to_numpy()
        return data

    def _process_crop(
        self, image: NDArray[Any], crop_box: list[int], crop_layer_idx: int, orig_size: tuple[int, int]
    ) -> MaskData:
        """Return the masks of one crop in the image's pixels, by falling predicted IoU."""
        x0, y0, x1, y1 = crop_box
        self.predictor.set_image(image[y0:y1, x0:x1])
        points_P2 = self.point_grids[crop_layer_idx] * np.array([x1 - x0, y1 - y0])
        data = MaskData()
        for (asked_P2,) in amg.batch_iterator(self.points_per_batch, points_P2):
            data.cat(self._process_batch(asked_P2, (y1 - y0, x1 - x0), crop_box, orig_size, normalize=True))
        self.predictor.reset_predictor()
        data.filter(_distinct(data["boxes"], data["iou_preds"], self.box_nms_thresh))
        data["boxes"] = amg.uncrop_boxes_xyxy(data["boxes"], crop_box)
        data["points"] = amg.uncrop_points(data["points"], crop_box)
        data["crop_boxes"] = torch.tensor(crop_box).repeat(len(data["rles"]), 1)
        return data

    def _process_batch(
        self,
        points: NDArray[Any],
        im_size: tuple[int, int],
        crop_box: list[int],
        orig_size: tuple[int, int],
        normalize: bool = False,
    ) -> MaskData:
        """Return the masks that points (P, 2) of a crop lead to and that are good enough: run lengths, boxes, scores."""
        points_P2 = torch.as_tensor(points, dtype=torch.float32, device=self.predictor.device)
        coords_P2 = self.predictor._transforms.transform_coords(points_P2, normalize, im_size)
        low_PMhw, iou_PM = self.predictor._decode(
            coords_P2[:, None], _inside(coords_P2)[:, None], multimask_output=self.multimask_output
        )
        answers = MaskData(
            low_res=low_PMhw.flatten(0, 1),
            iou_preds=iou_PM.flatten(),
            points=points_P2.repeat_interleave(low_PMhw.shape[1], dim=0),
            coords=coords_P2.repeat_interleave(low_PMhw.shape[1], dim=0),
        )
        data = MaskData()
        for part in self._refined(answers) if self.use_m2m else self._enlarged(answers, im_size):
            data.cat(self._encoded(part, crop_box, orig_size))
        return data

    def _enlarged(self, answers: MaskData, im_size: tuple[int, int]) -> Iterator[MaskData]:
        """Yield few answers at once with logits (N, H, W) of the crop; those of low predicted IoU never get that large."""
        answers.filter(self._promising(answers["iou_preds"]))
        at_once = max(1, PIXELS_AT_ONCE // (im_size[0] * im_size[1]))
        for low_Nhw, iou_N, points_N2 in _parts(answers, at_once, "low_res", "iou_preds", "points"):
            masks_N1HW = self.predictor._transforms.postprocess_masks(low_Nhw[:, None], im_size)
            yield MaskData(masks=masks_N1HW[:, 0], iou_preds=iou_N, points=points_N2)

    def _refined(self, answers: MaskData) -> Iterator[MaskData]:
        """Yield what the answers become when each is a mask prompt beside its point."""
        for low_Nhw, points_N2, coords_N2 in _parts(answers, self.points_per_batch, "low_res", "points", "coords"):
            prompt_Nhw = low_Nhw.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            masks_N1HW, iou_N1 = self.refine_with_m2m(coords_N2, _inside(coords_N2), prompt_Nhw, self.points_per_batch)
            refined = MaskData(masks=masks_N1HW[:, 0], iou_preds=iou_N1[:, 0], points=points_N2)
            refined.filter(self._promising(refined["iou_preds"]))
            yield refined

    def _promising(self, iou_N: Tensor) -> Tensor:
        return iou_N > self.pred_iou_thresh if self.pred_iou_thresh > 0 else torch.ones_like(iou_N, dtype=torch.bool)

    def _encoded(self, data: MaskData, crop_box: list[int], orig_size: tuple[int, int]) -> MaskData:
        """Return the stable ones of logits (N, H, W) that no edge of a crop cuts, as run lengths of the image."""
        data["stability_score"] = amg.calculate_stability_score(
            data["masks"], self.mask_threshold, self.stability_score_offset
        )
        data["masks"] = data["masks"] > self.mask_threshold
        if self.stability_score_thresh > 0:
            data.filter(data["stability_score"] >= self.stability_score_thresh)
        data["boxes"] = amg.batched_mask_to_box(data["masks"])
        height, width = orig_size
        data.filter(~amg.is_box_near_crop_edge(data["boxes"], crop_box, [0, 0, width, height]))
        data["rles"] = amg.mask_to_rle_pytorch(amg.uncrop_masks(data["masks"], crop_box, height, width))
        del data["masks"]
        return data

    @torch.no_grad()
    def refine_with_m2m(
        self, points: Tensor, point_labels: Tensor, low_res_masks: Tensor, points_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        """Ask each point (N, 2), in model pixels, again beside a mask prompt (N, h, w): logits (N, 1, H, W), IoU (N, 1)."""
        answers = [
            self.predictor._predict(
                xy[:, None], labels[:, None], mask_input=prompt[:, None], multimask_output=False, return_logits=True
            )[:2]
            for xy, labels, prompt in amg.batch_iterator(points_per_batch, points, point_labels, low_res_masks)
        ]
        masks, predicted_iou = zip(*answers, strict=True)
        return torch.cat(masks), torch.cat(predicted_iou)

    @staticmethod
    def postprocess_small_regions(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
        """Rid masks of holes and islands below `min_area` pixels of the image, in place, then drop those alike by now.

        For programs that ask for it; `generate` follows `min_mask_region_area` before masks are enlarged. Of two alike
        the mask that needed no change stays.
        """
        if not mask_data["rles"]:
            return mask_data
        boxes, untouched = [], []
        for row, rle in enumerate(mask_data["rles"]):
            mask, filled = amg.remove_small_regions(amg.rle_to_mask(rle), min_area, mode="holes")
            mask, cleared = amg.remove_small_regions(mask, min_area, mode="islands")
            mask_1HW = torch.from_numpy(mask)[None]
            boxes.append(amg.batched_mask_to_box(mask_1HW)[0])
            untouched.append(float(not (filled or cleared)))
            if filled or cleared:
                mask_data["rles"][row] = amg.mask_to_rle_pytorch(mask_1HW)[0]
                mask_data["boxes"][row] = boxes[-1]
        mask_data.filter(_distinct(torch.stack(boxes), torch.tensor(untouched), nms_thresh))
        return mask_data


def _grids(
    points_per_side: int | None, point_grids: Sequence[NDArray[Any]] | None, layers: int, downscale: int
) -> list[NDArray[Any]]:
    """Return a grid for the image and one for each layer of crops."""
    if (points_per_side is None) == (point_grids is None):
        raise ValueError(
            f"points_per_side={points_per_side} and point_grids {'are' if point_grids is None else 'is'} given: expected "
            "one of both, the other None"
        )
    if point_grids is None:
        return amg.build_all_layer_point_grids(points_per_side, layers, downscale)
    if len(point_grids) <= layers:
        raise ValueError(f"point_grids has {len(point_grids)} grids: expected {layers + 1}, the image's and one a layer")
    for k, grid in enumerate(point_grids):
        if np.ndim(grid) != 2 or np.shape(grid)[1] != 2 or not len(grid):
            raise ValueError(f"point_grids[{k}] has shape {np.shape(grid)}: expected (P, 2), one point or more")
    return [np.asarray(grid) for grid in point_grids]


def _inside(coords_P2: Tensor) -> Tensor:
    return torch.ones(len(coords_P2), dtype=torch.int, device=coords_P2.device)


def _parts(data: MaskData, rows: int, *names: str) -> Iterator[tuple[Tensor, ...]]:
    """Yield columns by so many rows; without any row, one empty part that has their types."""
    yield from zip(*(data[name].split(rows) for name in names), strict=True)


def _distinct(boxes_N4: Tensor, scores_N: Tensor, max_iou: float) -> Tensor:
    """Return rows by falling score, without those whose box has a higher IoU with a better one's."""
    # importing torchvision takes longer than importing torch
    from torchvision.ops import batched_nms

    boxes_N4 = boxes_N4.float()
    kind_N = torch.zeros(len(boxes_N4), dtype=torch.long, device=boxes_N4.device)
    return batched_nms(boxes_N4, scores_N.to(boxes_N4), kind_N, iou_threshold=max_iou)
