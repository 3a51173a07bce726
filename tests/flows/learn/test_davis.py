"""A folder of results in the DAVIS layout against the truth, with PNGs drawn by formula."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.learn.config import DataConfig
from flows.learn.davis import compared, videos_with_truth
from labeling.errors import BadConfiguration
from tests.flows.fixtures_evaluation import SIZE_HW, square_clip


def write_numbers(folder: Path, masks_NTHW: np.ndarray, *, void: bool = False) -> None:
    """Write masks as palette PNGs, object n as number n + 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(masks_NTHW.shape[1]):
        numbers = np.zeros(SIZE_HW, np.uint8)
        for n, mask in enumerate(masks_NTHW[:, t]):
            numbers[mask] = n + 1
        if void:
            numbers[-2:] = 255
        picture = Image.fromarray(numbers)
        picture.putpalette(bytes(range(256)) * 3)
        picture.save(folder / f"{t:05d}.png")


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """A dataset of two videos with truth and frames."""
    root = tmp_path / "DAVIS"
    for name in ("bear", "cow"):
        clip = square_clip()
        write_numbers(root / "Annotations/480p" / name, clip.masks_NTHW, void=True)
        (root / "JPEGImages/480p" / name).mkdir(parents=True)
        for t, frame in enumerate(clip.frames_THW3):
            Image.fromarray(frame).save(root / f"JPEGImages/480p/{name}/{t:05d}.jpg")
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("bear\ncow\n")
    return root


def results_of(folder, davis, videos=("bear", "cow"), **options):
    return list(compared(folder, davis, videos, **options))


@pytest.mark.parametrize("layout", ["", "Annotations/Full-Resolution"])
def test_right_and_shifted_results(davis, tmp_path, layout):
    clip, folder = square_clip(), tmp_path / "results"
    write_numbers(folder / layout / "bear", clip.masks_NTHW)
    write_numbers(folder / layout / "cow", np.roll(clip.masks_NTHW, 2, axis=3))
    right, shifted = results_of(folder, davis)
    assert [track.accuracy.j_and_f for track in right.tracks] == [1.0, 1.0]
    assert [track.accuracy.object_number for track in right.tracks] == [1, 2]
    assert [len(track.accuracy.j_per_frame) for track in right.tracks] == [4, 2]
    assert [track.accuracy.j for track in shifted.tracks] == pytest.approx([80 / 120] * 2)
    assert right.tracks[0].accuracy.predicted_iou == ()
    # The frames are there for pictures, from the prompt's on: a JPEG is close to what was drawn.
    shown = right.tracks[1].frames
    assert len(shown) == 3
    assert np.abs(shown[0].astype(int) - clip.frames_THW3[2]).mean() < 8


def test_results_on_another_number_are_swaps_and_on_ground_drift(davis, tmp_path):
    clip, ground = square_clip(), np.zeros((2, 5, *SIZE_HW), bool)
    ground[0, :, 25:35, 5:15] = True
    write_numbers(tmp_path / "r/bear", clip.masks_NTHW[::-1])
    write_numbers(tmp_path / "r/cow", ground)
    swapped, drifted = results_of(tmp_path / "r", davis, objects=1)
    # Object 2 comes on frame 2: until then, what is given as object 1 is empty.
    assert [f.value for f in swapped.tracks[0].accuracy.failure_per_frame] == ["lost", "swap", "swap", "swap"]
    assert [f.value for f in drifted.tracks[0].accuracy.failure_per_frame] == ["drift"] * 4


def test_frames_that_are_not_there_are_black(davis, tmp_path):
    write_numbers(tmp_path / "r/bear", square_clip().masks_NTHW)
    (davis / "JPEGImages/480p/bear/00000.jpg").unlink()
    (davis / "JPEGImages/480p/bear/00001.jpg").write_bytes(b"no picture")
    (result,) = results_of(tmp_path / "r", davis, ["bear"])
    frames = result.tracks[0].frames
    assert frames[0].shape == (*SIZE_HW, 3)
    assert not frames[0].any()
    assert not frames[1].any()
    assert frames[2].any()


def test_only_so_many_frames_and_objects(davis, tmp_path):
    write_numbers(tmp_path / "r/bear", square_clip().masks_NTHW)
    (result,) = results_of(tmp_path / "r", davis, ["bear"], num_frames=3, objects=1)
    assert [track.accuracy.object_number for track in result.tracks] == [1]
    assert (result.num_frames, len(result.tracks[0].accuracy.j_per_frame)) == (3, 2)
    (result,) = results_of(tmp_path / "r", davis, ["bear"], num_frames=3)
    assert (len(result.tracks), result.unmeasured) == (1, 1)


def test_a_video_that_does_not_fit_costs_only_itself(davis, tmp_path):
    folder = tmp_path / "r"
    write_numbers(folder / "cow", square_clip().masks_NTHW)
    missing, good = results_of(folder, davis)
    assert "has no results of bear" in missing.error.message
    assert good.error is None
    (folder / "cow/00000.png").unlink()
    assert results_of(folder, davis)[1].error is None
    (folder / "cow/00003.png").unlink()
    assert "00003.png is not there" in results_of(folder, davis)[1].error.message
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / "cow/00003.png")
    assert "is (4, 5) (h, w) and the truth (40, 60)" in results_of(folder, davis)[1].error.message


def test_a_folder_without_results_is_refused(davis, tmp_path):
    with pytest.raises(BadConfiguration, match="a folder for each video, such as .*bear"):
        results_of(tmp_path, davis)


def test_the_videos_are_those_of_the_split(davis):
    assert videos_with_truth(DataConfig("davis", str(davis), split="val")) == ("bear", "cow")
    assert videos_with_truth(DataConfig("davis", str(davis), first=1, count=1)) == ("cow",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DataConfig("scenes"), "data.name is 'scenes'"),
        (DataConfig("davis"), "give data.root"),
        (DataConfig("davis", "/no/such/folder"), "DAVIS layout"),
        (DataConfig("davis", "/no/such/folder", size_hw=[64, 64]), "leave it out"),
    ],
)
def test_other_data_is_refused(data, said):
    with pytest.raises(BadConfiguration, match=said):
        videos_with_truth(data)
