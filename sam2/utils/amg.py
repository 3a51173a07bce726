"""The released import path of the small parts of automatic masks: columns of answers, grids, crops, boxes, run lengths.

Legend: N masks, P points, H, W an image or mask, K a grid's points a side. Boxes are x0, y0, x1, y1 in pixels unless a
name says XYWH; those of masks hold the last pixel inside. A crop is such a box, its right and lower edges outside.
"""

import math
from collections.abc import ItemsView, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch import Tensor

from sam2.tracking.postprocess import components

Column = list[Any] | NDArray[Any] | Tensor
RunLengths = dict[str, Any]         # size: [H, W]; counts: runs down the columns, outside and inside in turn
CROP_EDGE_PIXELS = 20.0             # this near the edge of a crop, a mask is taken to be cut off


class MaskData:
    """Columns of one length: a row is a mask with all that is known of it.

    A column is a list, an array or a tensor. Raises ValueError for anything else.
    """

    def __init__(self, **columns: Column) -> None:
        self._stats: dict[str, Column] = {}
        for name, column in columns.items():
            self[name] = column

    def __setitem__(self, key: str, item: Column) -> None:
        if not isinstance(item, list | np.ndarray | Tensor):
            raise ValueError(f"column {key!r} is {type(item).__name__}: expected a list, an array or a tensor")
        self._stats[key] = item

    def __getitem__(self, key: str) -> Any:
        return self._stats[key]

    def __delitem__(self, key: str) -> None:
        del self._stats[key]

    def items(self) -> ItemsView[str, Column]:
        return self._stats.items()

    def filter(self, keep: Tensor) -> None:
        """Keep the rows that `keep` marks, or those whose indices it holds, in its order."""
        indices = keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep.long()
        listed = indices.cpu().numpy()
        for name, column in self._stats.items():
            if isinstance(column, Tensor):
                self._stats[name] = column[indices.to(column.device)]
            else:
                self._stats[name] = [column[row] for row in listed] if isinstance(column, list) else column[listed]

    def cat(self, new_stats: "MaskData") -> None:
        """Put the rows of another below; a column that is only there comes as it is."""
        for name, more in new_stats.items():
            have = self._stats.get(name)
            if have is None:
                self._stats[name] = deepcopy(more)
            elif isinstance(more, Tensor):
                self._stats[name] = torch.cat([have, more])
            elif isinstance(more, np.ndarray):
                self._stats[name] = np.concatenate([have, more])
            else:
                self._stats[name] = [*have, *deepcopy(more)]

    def to_numpy(self) -> None:
        """Make arrays of all tensors, of float32 whatever they held."""
        for name, column in self._stats.items():
            if isinstance(column, Tensor):
                self._stats[name] = column.detach().float().cpu().numpy()


def batch_iterator(batch_size: int, *args: Any) -> Iterator[list[Any]]:
    """Yield slices of at most `batch_size` rows of each argument; ValueError where their lengths differ."""
    lengths = {len(rows) for rows in args}
    if len(lengths) != 1:
        raise ValueError(f"batch_iterator got lengths {sorted(lengths)}: expected one or more arguments of one length")
    for start in range(0, lengths.pop(), batch_size):
        yield [rows[start : start + batch_size] for rows in args]


def build_point_grid(n_per_side: int) -> NDArray[np.float64]:
    """Return (K * K, 2) x, y in shares of the sides, row by row: the middles of K x K equal cells."""
    if n_per_side < 1:
        raise ValueError(f"n_per_side={n_per_side}: expected 1 or more points a side")
    margin = 1 / (2 * n_per_side)
    y, x = np.meshgrid(*[np.linspace(margin, 1 - margin, n_per_side)] * 2, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def build_all_layer_point_grids(n_per_side: int, n_layers: int, scale_per_layer: int) -> list[NDArray[np.float64]]:
    """Return the image's grid and one for each layer of crops, whose points a side are divided by the scale each time."""
    return [build_point_grid(int(n_per_side / scale_per_layer**layer)) for layer in range(n_layers + 1)]


def generate_crop_boxes(
    im_size: Sequence[int], n_layers: int, overlap_ratio: float
) -> tuple[list[list[int]], list[int]]:
    """Return crops of an image (H, W) and the layer of each: the image itself, then layer i of 2^i x 2^i, by columns.

    Crops of layer 1 share `overlap_ratio` of the image's short side with their neighbours, each later layer half as much.
    """
    height, width = im_size
    boxes, layers = [[0, 0, width, height]], [0]
    for layer in range(1, n_layers + 1):
        parts = 2**layer
        shared = int(overlap_ratio * min(height, width) * (2 / parts))
        crop_w, crop_h = (math.ceil((side + shared * (parts - 1)) / parts) for side in (width, height))
        for column, row in product(range(parts), repeat=2):
            x0, y0 = column * (crop_w - shared), row * (crop_h - shared)
            boxes.append([x0, y0, min(x0 + crop_w, width), min(y0 + crop_h, height)])
            layers.append(layer)
    return boxes, layers


def uncrop_points(points: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Return points (..., 2) of a crop as points of the image."""
    return points + torch.tensor(crop_box[:2], device=points.device)


def uncrop_boxes_xyxy(boxes: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Return boxes (..., 4) of a crop as boxes of the image."""
    return boxes + torch.tensor([*crop_box[:2], *crop_box[:2]], device=boxes.device)


def uncrop_masks(masks: Tensor, crop_box: Sequence[int], orig_h: int, orig_w: int) -> Tensor:
    """Return masks (..., H, W) of a crop at the image's size, zero outside the crop; those of the image as they are."""
    x0, y0, x1, y1 = crop_box
    if (x0, y0, x1, y1) == (0, 0, orig_w, orig_h):
        return masks
    return F.pad(masks, (x0, orig_w - x1, y0, orig_h - y1), value=0)


def is_box_near_crop_edge(
    boxes: Tensor, crop_box: Sequence[int], orig_box: Sequence[int], atol: float = CROP_EDGE_PIXELS
) -> Tensor:
    """Return (N,) whether a box of the crop comes within `atol` pixels of an edge of it that is none of the image's.

    `boxes` (N, 4) are the crop's, `crop_box` and `orig_box` the image's.
    """
    sides_N4 = uncrop_boxes_xyxy(boxes, crop_box).float()
    cut_N4, real_N4 = (
        (sides_N4 - torch.tensor(edges, dtype=torch.float32, device=boxes.device)).abs() <= atol
        for edges in (crop_box, orig_box)
    )
    return (cut_N4 & ~real_N4).any(dim=1)


def box_xyxy_to_xywh(box_xyxy: Any) -> Any:
    """Return a copy of one box (4,), as a list, an array or a tensor, with width and height for its right and lower edge."""
    box_xywh = deepcopy(box_xyxy)
    box_xywh[2], box_xywh[3] = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    return box_xywh


def batched_mask_to_box(masks: Tensor) -> Tensor:
    """Return the boxes (..., 4) around boolean masks (..., H, W); zeros for an empty mask."""
    if not masks.numel():
        return torch.zeros(*masks.shape[:-2], 4, device=masks.device)
    pixels = masks.bool().view(torch.uint8)
    edges = []
    for axis in (-2, -1):
        # the greatest of bytes is found in a tenth of the time of any()
        inside = pixels.amax(dim=axis)
        # argmax gives the first of equals
        edges += [inside.argmax(dim=-1), inside.shape[-1] - 1 - inside.flip(-1).argmax(dim=-1)]
    left, right, top, bottom = edges
    return torch.stack([left, top, right, bottom], dim=-1) * inside.amax(dim=-1, keepdim=True)


def calculate_stability_score(masks: Tensor, mask_threshold: float, threshold_offset: float) -> Tensor:
    """Return for mask logits (..., H, W) the area above threshold + offset by the area above threshold - offset.

    How little the mask depends on where it is cut, as the IoU of a narrow and a wide cut (Kirillov et al. 2023,
    "Segment Anything", section B). NaN for a mask that is empty at both.
    """
    return _areas(masks, mask_threshold + threshold_offset) / _areas(masks, mask_threshold - threshold_offset)


def _areas(masks: Tensor, threshold: float) -> Tensor:
    """Return (...) how many of logits (..., H, W) are above a threshold; on a CPU NumPy counts three times as fast as torch."""
    if masks.device.type != "cpu" or masks.dtype == torch.bfloat16:
        return (masks > threshold).flatten(-2).sum(dim=-1)
    flat = masks.detach().reshape(-1, *masks.shape[-2:]).numpy()
    return torch.tensor([np.count_nonzero(logits > threshold) for logits in flat]).reshape(masks.shape[:-2])


def mask_to_rle_pytorch(tensor: Tensor) -> list[RunLengths]:
    """Return the run lengths of masks (N, H, W), uncompressed, as COCO has them: down the columns, the first run outside."""
    count, height, width = tensor.shape
    pixels_NL = tensor.transpose(1, 2).flatten(1)
    starts_inside = pixels_NL[:, 0].bool().tolist() if height * width else [False] * count
    runs = []
    for steps, inside in zip(_steps(pixels_NL), starts_inside, strict=True):
        lengths = np.diff(steps, prepend=0, append=height * width).tolist()
        runs.append({"size": [height, width], "counts": [0, *lengths] if inside else lengths})
    return runs


def _steps(pixels_NL: Tensor) -> list[NDArray[np.int64]]:
    """Return for each row where it differs from the pixel before."""
    if pixels_NL.device.type == "cpu":
        return [np.flatnonzero(row[1:] != row[:-1]) + 1 for row in pixels_NL.numpy()]
    # a GPU is waited for once, not once a mask
    rows, columns = (pixels_NL[:, 1:] != pixels_NL[:, :-1]).nonzero().cpu().numpy().T
    return [columns[start:end] + 1 for start, end in pairwise(np.searchsorted(rows, np.arange(len(pixels_NL) + 1)))]


def rle_to_mask(rle: RunLengths) -> NDArray[np.bool_]:
    """Return the mask (H, W) of uncompressed run lengths; its columns lie in one piece."""
    height, width = rle["size"]
    inside = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(inside, rle["counts"]).reshape(width, height).T


def area_from_rle(rle: RunLengths) -> int:
    """Return the pixels inside."""
    return sum(rle["counts"][1::2])


def coco_encode_rle(uncompressed_rle: RunLengths) -> RunLengths:
    """Return run lengths as COCO compresses them, `counts` a str that JSON can hold."""
    packed = coco.frPyObjects(uncompressed_rle, *uncompressed_rle["size"])
    return {"size": packed["size"], "counts": packed["counts"].decode("ascii")}


def remove_small_regions(mask: NDArray[np.bool_], area_thresh: float, mode: str) -> tuple[NDArray[np.bool_], bool]:
    """Return a mask (H, W) without "holes", or without "islands", of fewer than so many pixels, and whether it changed.

    Regions hold together by corners too. Of a mask that is small islands alone the largest stays.
    """
    if mode not in ("holes", "islands"):
        raise ValueError(f"mode={mode!r}: expected 'holes' or 'islands'")
    mask = np.asarray(mask, bool)
    regions_1HW, areas_1HW = components((~mask if mode == "holes" else mask)[None])
    regions, areas = regions_1HW[0], areas_1HW[0]
    small = (regions > 0) & (areas < area_thresh)
    if not small.any():
        return mask, False
    if mode == "holes":
        return mask | small, True
    kept = mask & ~small
    return (kept if kept.any() else regions == regions.flat[areas.argmax()]), True
