"""A folder of JPEGs is read by the released pixel path."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.video import jpeg_folder
from sam2.video.jpeg_folder import JpegFolder
from sam2.video.source import normalised, shrink


def folder_of(path: Path, names: list[str], size_wh: tuple[int, int] = (40, 30)) -> Path:
    rng = np.random.default_rng(3)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)).save(path / name)
    return path


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = JpegFolder(folder_of(tmp_path, ["10.jpg", "9.JPEG", "00002.jpg"]), side=32)
    assert (frames.num_frames, frames.size_hw) == (3, (30, 40))
    for frame_idx, name in enumerate(["00002.jpg", "9.JPEG", "10.jpg"]):
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB").resize((32, 32)))
        np.testing.assert_array_equal(frames.rgb_SS3(frame_idx), expected)


def test_other_files_are_left_aside(tmp_path: Path) -> None:
    folder_of(tmp_path, ["0.jpg"])
    (tmp_path / "notes.txt").write_text("no frame")
    assert JpegFolder(tmp_path, side=32).num_frames == 1


def test_grey_frames_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "0.jpg")
    assert JpegFolder(tmp_path, side=16).rgb_SS3(0).shape == (16, 16, 3)


def test_the_network_sees_normalised_channels() -> None:
    image = normalised(np.full((4, 4, 3), 255, np.uint8), torch.device("cpu"))
    assert image.shape == (3, 4, 4)
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert image[:, 0, 0].tolist() == pytest.approx(expected)


def test_shrinking_smooths_as_bicubic_with_antialias() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = shrink(np.repeat(board[..., None], 3, 2).astype(np.uint8), 16)
    assert abs(int(small[8, 8, 0]) - 128) < 8


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames in"):
        JpegFolder(tmp_path, side=32)
    (tmp_path / "0.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"frame 0 is not an image that can be read: .*0\.jpg"):
        JpegFolder(tmp_path, side=32)
    folder_of(tmp_path, ["0.jpg", "first.jpg"])
    with pytest.raises(ValueError, match=r"first\.jpg is not named by a frame number"):
        JpegFolder(tmp_path, side=32)


def test_a_cut_off_picture_names_its_frame(tmp_path: Path) -> None:
    folder_of(tmp_path, ["0.jpg", "1.jpg"], (200, 200))
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="frame 1 cannot be decoded"):
        JpegFolder(tmp_path, side=32).rgb_SS3(1)


def test_a_folder_that_is_held_may_go(tmp_path: Path) -> None:
    folder_of(tmp_path, ["0.jpg", "1.jpg"])
    frames = JpegFolder(tmp_path, side=16, hold=True)
    expected = JpegFolder(tmp_path, side=16).rgb_SS3(1)
    (tmp_path / "1.jpg").unlink()
    np.testing.assert_array_equal(frames.rgb_SS3(1), expected)


def test_a_file_that_changed_or_went_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, ["0.jpg", "1.jpg", "2.jpg"])
    frames = JpegFolder(tmp_path, side=16)
    Image.new("RGB", (40, 30)).save(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").unlink()
    with pytest.raises(ValueError, match=r"frame 1 has changed since the video was opened: .*1\.jpg"):
        frames.rgb_SS3(1)
    with pytest.raises(ValueError, match=r"frame 2 is gone: .*2\.jpg"):
        frames.rgb_SS3(2)


def test_a_folder_beyond_the_bound_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_folder, "HELD_BYTES", 100)
    frames = JpegFolder(folder_of(tmp_path, ["0.jpg", "1.jpg"]), side=16, hold=True)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(ValueError, match="frame 1 is gone"):
        frames.rgb_SS3(1)


def test_the_turn_that_a_camera_notes_is_left_aside_as_released(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "0.jpg", exif=exif)
    assert JpegFolder(tmp_path, side=32).size_hw == (30, 40)


def test_what_is_no_file_or_no_picture_is_refused_at_once(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"expected files such as .*; most files are \.png"):
        JpegFolder(tmp_path, side=32)
    folder_of(tmp_path, ["0.jpg"])
    os.mkfifo(tmp_path / "1.jpg")
    with pytest.raises(ValueError, match=r"1\.jpg is no regular file"):
        JpegFolder(tmp_path, side=32)
    (tmp_path / "1.jpg").unlink()
    (tmp_path / "1.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match="frame 1 is not an image that can be read") as refused:
        JpegFolder(tmp_path, side=32).rgb_SS3(1)
    assert "Adobe" not in str(refused.value)


def test_numbers_as_released(tmp_path: Path) -> None:
    frames = JpegFolder(folder_of(tmp_path, ["-1.jpg", "007.jpg", "3.jpg"]), side=32)
    assert frames.num_frames == 3
    np.testing.assert_array_equal(frames.rgb_SS3(0), shrink(Image.open(tmp_path / "-1.jpg"), 32))
