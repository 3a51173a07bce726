"""Clips out of folders in DAVIS layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2.training.batches import Batches
from sam2.training.datasets.davis import Davis
from tests.sam2.training.layouts import SIZE_HW, frame_of, square, still, write_davis


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_davis(tmp_path_factory.mktemp("davis"), {"bear": [True] * 5, "cat": [False, True, True]})
    sets = made / "ImageSets" / "2017"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("cat\n")
    return made


def test_the_first_clips_begin_with_the_first_objects(root: Path) -> None:
    source = Davis(root)
    bear, cat = source.clip(0, 3), source.clip(1, 8)
    assert [frame_of(frame) for frame in bear.frames_THW3] == [0, 1, 2]
    assert bear.frames_THW3.shape == (3, *SIZE_HW, 3)
    np.testing.assert_array_equal(bear.masks_NTHW, np.stack([square(t) for t in range(3)])[None])   # 255 is no object
    assert [frame_of(frame) for frame in cat.frames_THW3] == [1, 2]
    np.testing.assert_array_equal(cat.masks_NTHW[:, 0], np.stack([square(1), still()]))
    assert cat.name == "cat frame 1"


def test_a_split_is_a_list(root: Path) -> None:
    assert Davis(root, "train").videos == ("cat",)
    assert Davis(root, first=1, count=1).videos == ("cat",)
    with pytest.raises(ValueError, match=r"split is 'val', and .* has no such list; it has train"):
        Davis(root, "val")


def test_a_plain_layout_and_another_level_are_read(tmp_path: Path) -> None:
    for level in ("", "Full-Resolution"):
        source = Davis(write_davis(tmp_path / f"at{level}", {"one": [True, True]}, level=level), size_hw=(24, 32))
        assert source.clip(0, 2).masks_NTHW.shape == (1, 2, 24, 32)


def test_it_serves_training(root: Path) -> None:
    batch = Batches(Davis(root), 0, 2, 2, 4, 32)[3]
    assert batch.masks_VOTSS.shape == (2, 2, 4, 32, 32)
    assert bool(batch.truth(0).flatten(1).any(1).all())


def test_what_is_no_such_folder_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder Annotations; expected the DAVIS layout"):
        Davis(tmp_path)
    broken = write_davis(tmp_path / "broken", {"one": [True, True]})
    (broken / "JPEGImages" / "480p" / "one" / "00001.jpg").unlink()
    with pytest.raises(ValueError, match="has no frame 00001, which is labelled"):
        Davis(broken).clip(0, 2)
    Image.new("RGB", (64, 48)).save(broken / "Annotations" / "480p" / "one" / "00001.png")
    write_davis(tmp_path / "colour", {"one": [True]})
    Image.new("RGB", (64, 48)).save(tmp_path / "colour" / "Annotations" / "480p" / "one" / "00000.png")
    with pytest.raises(ValueError, match="expected a PNG with a palette, or of 8-bit grey"):
        Davis(tmp_path / "colour").clip(0, 1)
    (tmp_path / "colour" / "Annotations" / "480p" / "one" / "00000.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"00000.png cannot be read as an image"):
        Davis(tmp_path / "colour").clip(0, 1)
