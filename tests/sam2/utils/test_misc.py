"""Small helpers under their released names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.modeling.backbones.utils import window_partition, window_unpartition
from sam2.modeling.sam.transformer import apply_rotary_enc, compute_axial_cis
from sam2.modeling.sam2_utils import get_1d_sine_pe, get_activation_fn, get_clones, select_closest_cond_frames
from sam2.utils.misc import (
    concat_points,
    fill_holes_in_mask_scores,
    get_connected_components,
    get_sdpa_settings,
    load_video_frames,
    load_video_frames_from_jpg_images,
    mask_to_box,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(3):
        Image.new("RGB", (30, 20), (80 * k, 128, 255)).save(tmp_path / f"{k:05d}.jpg", quality=95)
    return tmp_path


def test_components_have_labels_and_areas() -> None:
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, 0, 0, :2] = mask[0, 0, 1, 2] = mask[0, 0, 3, 4] = mask[1, 0, 2] = True
    labels, areas = get_connected_components(mask)
    assert areas[0, 0].tolist() == [[3, 3, 0, 0, 0], [0, 0, 3, 0, 0], [0] * 5, [0, 0, 0, 0, 1]]
    assert areas[1, 0, 2].tolist() == [5] * 5
    assert len({labels[0, 0, 0, 0].item(), labels[0, 0, 3, 4].item(), labels[1, 0, 2, 0].item(), 0}) == 4
    assert labels[0, 0, 0, 0] == labels[0, 0, 1, 2]
    none, _ = get_connected_components(torch.zeros(1, 1, 3, 3))
    assert none.sum() == 0


def test_holes_are_filled_just_above_the_edge() -> None:
    logits = torch.full((1, 1, 6, 6), 3.0)
    logits[..., 2, 2] = -1.0
    assert fill_holes_in_mask_scores(logits, 1)[0, 0, 2, 2].item() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="max_area=0"):
        fill_holes_in_mask_scores(logits, 0)


def test_a_box_holds_its_mask_s_first_and_last_pixels() -> None:
    masks = torch.zeros(2, 1, 6, 8, dtype=torch.bool)
    masks[0, 0, 1:4, 2:7] = True
    assert mask_to_box(masks).tolist() == [[[2, 1, 6, 3]], [[8, 6, -1, -1]]]


def test_points_are_put_behind_earlier_ones() -> None:
    new = concat_points(None, torch.ones(1, 1, 2), torch.ones(1, 1))
    both = concat_points(new, torch.zeros(1, 2, 2), torch.zeros(1, 2))
    assert both["point_labels"].tolist() == [[1, 0, 0]]
    assert both["point_coords"].shape == (1, 3, 2)


def test_frames_of_a_folder_come_at_once_or_in_a_thread(folder: Path) -> None:
    frames, height, width = load_video_frames(str(folder), 16, True)
    assert (tuple(frames.shape), height, width) == ((3, 3, 16, 16), 20, 30)
    shares = torch.tensor([160, 128, 255]) / 255
    expected = (shares - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(frames[2, :, 8, 8], expected, atol=0.06, rtol=0)
    loader, height, width = load_video_frames_from_jpg_images(str(folder), 16, True, async_loading_frames=True)
    assert (len(loader), height, width) == (3, 20, 30)
    torch.testing.assert_close(torch.stack([loader[k] for k in range(3)]), frames)
    plain, _, _ = load_video_frames(folder, 16, False, img_mean=(0, 0, 0), img_std=(1, 1, 1), compute_device="cpu")
    assert 0 <= plain.min() <= plain.max() <= 1


def test_what_a_thread_met_with_is_raised_where_a_frame_is_asked_for(folder: Path) -> None:
    (folder / "00002.jpg").write_bytes(b"no image")
    loader, _, _ = load_video_frames(folder, 16, True, async_loading_frames=True)
    loader.thread.join()
    with pytest.raises(RuntimeError, match="a frame could not be loaded"):
        loader[1]
    with pytest.raises(NotImplementedError, match="no folder of JPEG frames"):
        load_video_frames_from_jpg_images(str(folder / "00001.jpg"), 16, True)


def test_attention_s_settings_are_three_flags() -> None:
    assert all(isinstance(flag, bool) for flag in get_sdpa_settings())


def test_windows_are_filled_and_put_back() -> None:
    x = torch.randn(1, 10, 13, 4)
    windows, filled_hw = window_partition(x, 4)
    assert (tuple(windows.shape), filled_hw) == ((12, 4, 4, 4), (12, 16))
    assert torch.equal(window_unpartition(windows, 4, filled_hw, (10, 13)), x)


def test_the_nearest_conditioning_frames_are_selected() -> None:
    chosen, left_out = select_closest_cond_frames(5, dict.fromkeys([0, 3, 9, 12, 7], "answer"), 3)
    assert (set(chosen), set(left_out)) == ({3, 7, 9}, {0, 12})
    assert select_closest_cond_frames(5, {1: "answer"}, -1) == ({1: "answer"}, {})
    with pytest.raises(ValueError, match="max_cond_frame_num=1"):
        select_closest_cond_frames(5, {1: 0, 2: 0}, 1)


def test_queries_and_keys_are_turned_alike() -> None:
    turns = compute_axial_cis(8, 3, 3)
    x = torch.randn(1, 2, 9, 8)
    queries, keys = apply_rotary_enc(x, torch.cat((x, x), dim=2), turns, repeat_freqs_k=True)
    torch.testing.assert_close(keys, torch.cat((queries, queries), dim=2))
    torch.testing.assert_close(queries.norm(dim=-1), x.norm(dim=-1))
    with pytest.raises(ValueError, match="18 keys for 9 rotations"):
        apply_rotary_enc(x, torch.cat((x, x), dim=2), turns)


def test_small_parts_are_there() -> None:
    assert get_1d_sine_pe(torch.tensor([0.0]), 4).tolist() == [[0, 0, 1, 1]]
    assert get_activation_fn("gelu") is torch.nn.functional.gelu
    with pytest.raises(RuntimeError, match="activation='tanh'"):
        get_activation_fn("tanh")
    first, second = get_clones(torch.nn.Linear(2, 2), 2)
    assert np.array_equal(first.weight.detach(), second.weight.detach())
    assert first.weight is not second.weight
