"""The small parts of automatic masks, each by itself."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from sam2.utils.amg import (
    MaskData,
    area_from_rle,
    batch_iterator,
    batched_mask_to_box,
    box_xyxy_to_xywh,
    build_all_layer_point_grids,
    build_point_grid,
    calculate_stability_score,
    coco_encode_rle,
    generate_crop_boxes,
    is_box_near_crop_edge,
    mask_to_rle_pytorch,
    remove_small_regions,
    rle_to_mask,
    uncrop_boxes_xyxy,
    uncrop_masks,
    uncrop_points,
)


@pytest.fixture
def masks() -> torch.Tensor:
    """Random ones, one empty, one full, one whose first pixel is inside."""
    masks = torch.from_numpy(np.random.RandomState(0).rand(6, 7, 9) > 0.6)
    masks[1], masks[2] = False, True
    masks[3, 0, 0] = True
    return masks


def test_columns_keep_their_rows_together() -> None:
    data = MaskData(scores=torch.tensor([0.1, 0.9, 0.5]), names=["a", "b", "c"], boxes=np.arange(12).reshape(3, 4))
    data.filter(data["scores"] > 0.3)
    assert (data["scores"].tolist(), data["names"]) == (pytest.approx([0.9, 0.5]), ["b", "c"])
    data.filter(torch.tensor([1, 0]))
    assert (data["names"], data["boxes"].tolist()) == (["c", "b"], [[8, 9, 10, 11], [4, 5, 6, 7]])


def test_columns_are_put_below_one_another_and_copied() -> None:
    more = MaskData(scores=torch.tensor([0.5]), names=["a"], boxes=np.zeros((1, 4)))
    data = MaskData()
    data.cat(more)
    data.cat(more)
    data["names"].append("c")
    assert (len(data["scores"]), data["names"], data["boxes"].shape) == (2, ["a", "a", "c"], (2, 4))
    assert more["names"] == ["a"]
    del data["names"]
    data.to_numpy()
    assert [(name, type(column), column.dtype) for name, column in data.items()] == [
        ("scores", np.ndarray, np.float32), ("boxes", np.ndarray, np.float64),
    ]  # fmt: skip


def test_a_column_is_a_list_an_array_or_a_tensor() -> None:
    with pytest.raises(ValueError, match="'boxes' is int: expected a list"):
        MaskData(boxes=3)


def test_rows_come_in_batches() -> None:
    assert [tuple(map(list, batch)) for batch in batch_iterator(2, "abc", range(3))] == [
        (["a", "b"], [0, 1]), (["c"], [2]),
    ]  # fmt: skip
    assert not list(batch_iterator(2, []))
    with pytest.raises(ValueError, match=r"lengths \[2, 3\]"):
        list(batch_iterator(2, "ab", "abc"))


def test_grids_are_middles_of_cells() -> None:
    assert build_point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    assert [len(grid) for grid in build_all_layer_point_grids(8, 2, 2)] == [64, 16, 4]
    with pytest.raises(ValueError, match="n_per_side=0"):
        build_all_layer_point_grids(2, 2, 2)


def test_crops_cover_the_image_and_overlap() -> None:
    boxes, layers = generate_crop_boxes((300, 400), 2, 512 / 1500)
    assert layers == [0] + [1] * 4 + [2] * 16
    assert boxes[:3] == [[0, 0, 400, 300], [0, 0, 251, 201], [0, 99, 251, 300]]
    for layer in (1, 2):
        covered = np.zeros((300, 400), int)
        for (x0, y0, x1, y1), at in zip(boxes, layers, strict=True):
            covered[y0:y1, x0:x1] += at == layer
        assert covered.min() == 1
        assert covered.max() == 4


def test_what_a_crop_has_is_moved_to_its_place() -> None:
    crop = [10, 5, 30, 25]
    assert uncrop_points(torch.tensor([[1.0, 2.0]]), crop).tolist() == [[11.0, 7.0]]
    assert uncrop_points(torch.ones(2, 3, 2), crop).tolist() == [[[11.0, 6.0]] * 3] * 2
    assert uncrop_boxes_xyxy(torch.tensor([[0, 1, 2, 3]]), crop).tolist() == [[10, 6, 12, 8]]
    moved = uncrop_masks(torch.ones(2, 20, 20, dtype=torch.bool), crop, orig_h=40, orig_w=50)
    assert moved.shape == (2, 40, 50)
    assert moved[0].nonzero().min(0).values.tolist() == [5, 10]
    assert moved.sum() == 2 * 20 * 20
    whole = torch.ones(1, 40, 50)
    assert uncrop_masks(whole, [0, 0, 50, 40], 40, 50) is whole


def test_a_box_at_the_edge_of_a_crop_is_cut_off_there_but_not_at_the_image_s() -> None:
    boxes = torch.tensor([[0, 40, 60, 60], [40, 40, 79, 60], [40, 40, 81, 60], [25, 25, 70, 70]])
    near = is_box_near_crop_edge(boxes, [0, 100, 100, 200], [0, 0, 300, 200])
    assert near.tolist() == [False, False, True, False]
    assert is_box_near_crop_edge(boxes, [0, 100, 100, 200], [0, 0, 300, 200], atol=10).tolist() == [False] * 4


def test_boxes_have_width_and_height_on_request() -> None:
    box = [1.0, 2.0, 4.0, 8.0]
    assert box_xyxy_to_xywh(box) == [1, 2, 3, 6]
    assert box_xyxy_to_xywh(torch.tensor(box)).tolist() == [1, 2, 3, 6]
    assert box == [1, 2, 4, 8]


def test_boxes_hold_the_outermost_pixels(masks: torch.Tensor) -> None:
    for mask, box in zip(masks, batched_mask_to_box(masks).tolist(), strict=True):
        rows, columns = np.nonzero(mask.numpy())
        edges = [columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0, 0, 0, 0]
        assert box == edges
    assert torch.equal(batched_mask_to_box(masks.view(2, 3, 7, 9)).flatten(0, 1), batched_mask_to_box(masks))
    assert batched_mask_to_box(masks[0]).tolist() == batched_mask_to_box(masks)[0].tolist()
    assert batched_mask_to_box(masks[:0]).shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stability_compares_a_narrow_cut_with_a_wide_one(dtype: torch.dtype) -> None:
    logits = torch.full((3, 10, 10), -5.0, dtype=dtype)
    logits[0, :2] = 5
    logits[1, :2], logits[1, 2:5] = 5, 0.5
    scores = calculate_stability_score(logits, 0.0, 1.0)
    assert scores[:2].tolist() == pytest.approx([1, 0.4])
    assert scores[2].isnan()
    assert calculate_stability_score(logits.view(3, 1, 10, 10), 0.0, 1.0).shape == (3, 1)
    assert calculate_stability_score(logits, 1.0, 0.2)[1] == 1


def test_run_lengths_are_those_of_coco(masks: torch.Tensor) -> None:
    runs = mask_to_rle_pytorch(masks)
    assert runs[1] == {"size": [7, 9], "counts": [63]}
    assert runs[2] == {"size": [7, 9], "counts": [0, 63]}
    for mask, run in zip(masks.numpy(), runs, strict=True):
        packed = coco_encode_rle(run)
        assert packed["counts"].encode() == coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
        np.testing.assert_array_equal(rle_to_mask(run), mask)
        assert area_from_rle(run) == mask.sum()
    assert mask_to_rle_pytorch(masks[:0]) == []


def test_small_holes_and_islands_go() -> None:
    mask = np.zeros((12, 14), bool)
    mask[2:9, 2:9] = True
    mask[4, 4] = mask[5, 5] = False         # one hole of two, by a corner
    mask[11, 12:] = True
    filled, changed = remove_small_regions(mask, 3, "holes")
    assert changed
    assert filled.sum() == mask.sum() + 2
    cleared, changed = remove_small_regions(mask, 3, "islands")
    assert changed
    assert cleared.sum() == mask.sum() - 2
    same, changed = remove_small_regions(mask, 2, "islands")
    assert not changed
    np.testing.assert_array_equal(same, mask)
    largest, changed = remove_small_regions(mask, 1000, "islands")
    assert changed
    np.testing.assert_array_equal(largest, cleared)
    with pytest.raises(ValueError, match="mode='dots'"):
        remove_small_regions(mask, 1, "dots")
