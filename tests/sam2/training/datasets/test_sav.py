"""Clips out of folders in the layouts of SA-V."""

import json
from pathlib import Path

import numpy as np
import pytest

from sam2.training.datasets.sav import Sav
from tests.sam2.training.layouts import SIZE_HW, frame_of, square, still, write_sav_pictures, write_sav_video

# pycocotools' own arrays do not know NumPy 2's copy argument.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train")
    write_sav_video(root / "sav_000", "sav_000001")
    write_sav_video(root / "sav_001", "sav_001002")
    (root / "sav_001" / "sav_001002_auto.json").unlink()
    return root


def test_every_fourth_frame_of_a_video_is_labelled(videos: Path) -> None:
    source = Sav(videos)
    assert source.videos == ("sav_000/sav_000001", "sav_001/sav_001002")
    clip = source.clip(0, 8)
    assert [frame_of(frame) for frame in clip.frames_THW3] == [0, 1, 2]
    expected = [[square(t) for t in range(3)], [still()] * 3]
    np.testing.assert_array_equal(clip.masks_NTHW, np.array(expected))
    assert source.clip(1, 8).masks_NTHW.shape == (1, 3, *SIZE_HW)


def test_kinds_of_labels_are_splits(videos: Path) -> None:
    assert Sav(videos, "auto").videos == ("sav_000/sav_000001",)
    np.testing.assert_array_equal(Sav(videos, "auto").clip(0, 1).masks_NTHW[:, 0], still()[None])
    np.testing.assert_array_equal(Sav(videos, "manual").clip(0, 1).masks_NTHW[:, 0], square(0)[None])
    with pytest.raises(ValueError, match="split is 'train'; expected one of manual, auto"):
        Sav(videos, "train")


def test_a_missing_masklet_is_an_absent_object(videos: Path, tmp_path: Path) -> None:
    write_sav_video(tmp_path, "one")
    path = tmp_path / "one_manual.json"
    table = json.loads(path.read_text())
    table["masklet"][0][0] = None
    path.write_text(json.dumps(table))
    assert [frame_of(frame) for frame in Sav(tmp_path, "manual").clip(0, 3).frames_THW3] == [1, 2]
    assert Sav(tmp_path).clip(0, 3).masks_NTHW.shape[0] == 1      # the other object begins on frame 0
    path.write_text('{"masklet": ')
    with pytest.raises(ValueError, match="labels of one cannot be read"):
        Sav(tmp_path).clip(0, 1)


def test_pictures_have_a_folder_of_masks_for_each_object(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_sav_pictures(tmp_path, name)
    (tmp_path / "sav_val.txt").write_text("b\n")
    assert Sav(tmp_path).videos == ("a", "b")
    source = Sav(tmp_path, "sav_val", starts=40)
    clip = source.clip(0, 3)
    assert [frame_of(frame) for frame in clip.frames_THW3] == [0, 1, 2]
    np.testing.assert_array_equal(clip.masks_NTHW, np.stack([square(t) for t in range(3)])[None])
    late = next(c for c in (source.clip(i, 2) for i in range(1, 40)) if frame_of(c.frames_THW3[0]) == 1)
    np.testing.assert_array_equal(late.masks_NTHW[:, 0], np.stack([square(1), still()]))
    with pytest.raises(ValueError, match=r"sav_test.txt does not exist"):
        Sav(tmp_path, "sav_test")


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other_manual.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no SA-V: expected Annotations_6fps and JPEGImages_24fps, or videos NAME.mp4"):
        Sav(tmp_path)
