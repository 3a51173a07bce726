"""Folders in the DAVIS layout, one a video, one PNG a frame, objects by number: results against the truth, and true masks.

Shape suffixes: T frames, H, W frame height and width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from flows.learn.accuracy import measure_track
from flows.learn.config import DataConfig
from flows.learn.evaluate import ClipResult, MeasuredTrack, guarded
from labeling import rle
from labeling.errors import BadConfiguration, BadInput
from labeling.types import RLE
from sam2.training.datasets.davis import LEVELS, SUFFIXES, VOID, Davis, read_numbers, read_picture

Numbers = npt.NDArray[np.uint8]


class PictureFiles(Sequence[npt.NDArray[np.uint8]]):
    """A video's frames, each read when it is asked for; black where there is no such picture, as they only illustrate."""

    def __init__(self, folder: Path, names: Sequence[str], size_hw: tuple[int, int]) -> None:
        self.folder, self.names, self.size_hw = folder, names, size_hw

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        if isinstance(position, slice):
            return PictureFiles(self.folder, self.names[position], self.size_hw)
        for path in (self.folder / f"{self.names[position]}{suffix}" for suffix in SUFFIXES):
            with suppress(ValueError):
                if (rgb_HW3 := read_picture(path)).shape[:2] == self.size_hw:
                    return rgb_HW3
        return np.zeros((*self.size_hw, 3), np.uint8)


def videos_with_truth(data: DataConfig) -> tuple[str, ...]:
    """Return the videos that a configuration chooses; BadConfiguration for another layout than that of DAVIS."""
    if data.name != "davis":
        raise BadConfiguration(f"predictions are compared with data=davis; data.name is {data.name!r}")
    if data.size_hw is not None:
        raise BadConfiguration("data.size_hw is set; predictions are compared at the truth's own size: leave it out")
    if not data.root:
        raise BadConfiguration("data=davis reads files: give data.root=...")
    try:
        return Davis(Path(data.root).expanduser(), data.split, data.first, data.count, starts=1).videos
    except (ValueError, OSError) as error:
        raise BadConfiguration(f"data=davis: {error}") from error


def compared(
    folder: Path, root: Path, videos: Sequence[str], *, num_frames: int | None = None, objects: int | None = None
) -> Iterator[ClipResult]:
    """Compare the results below `folder` with the truth below `root`, video by video; an error costs its video alone.

    Raises:
        BadConfiguration: `folder` has results of none of the videos.
    """
    if not any(_folder_of(folder, "Annotations", video) or (folder / video).is_dir() for video in videos):
        raise BadConfiguration(
            f"predictions is {str(folder)!r}; expected a folder for each video, such as {folder / videos[0]}"
        )
    for video in videos:
        yield guarded(video, partial(compare_video, folder, root, video, num_frames=num_frames, objects=objects))


def compare_video(folder: Path, root: Path, video: str, *, num_frames: int | None, objects: int | None) -> ClipResult:
    """Measure each object of one video from the frame after the one that first shows it, as tracks are measured.

    Raises:
        BadInput: no truth or no result for a video or frame, or of another size.
    """
    truth = _folder_of(root, "Annotations", video)
    files = sorted(truth.glob("*.png"))[:num_frames] if truth else []
    if not files:
        raise BadInput(f"{root} has no true masks of {video}")
    results = folder / video if (folder / video).is_dir() else _folder_of(folder, "Annotations", video)
    if results is None:
        raise BadInput(f"{folder} has no results of {video}")
    true_THW = np.stack([read_numbers(path) for path in files])
    size_hw = (true_THW.shape[1], true_THW.shape[2])
    found_THW = np.stack([_result(results / path.name, size_hw, needed=t > 0) for t, path in enumerate(files)])
    pictures = _folder_of(root, "JPEGImages", video) or root
    frames = PictureFiles(pictures, [path.stem for path in files], size_hw)
    numbers = [int(number) for number in np.unique(true_THW) if number not in (0, VOID)][:objects]
    tracks = [track for number in numbers if (track := _measured(video, number, found_THW, true_THW, frames))]
    return ClipResult(video, tuple(tracks), len(numbers) - len(tracks), len(files))


def true_masks(folder: Path, video_key: str, number: int) -> Mapping[int, RLE] | None:
    """Return the masks of the object with a number, as run lengths by frame.

    None where the folder has no such video, or the video no such object.
    A video's folder is named by its key without suffix, or by the last part of that. Files named by numbers give the frame
    index, others follow each other. ValueError names a picture that is none.
    """
    name = PurePosixPath(video_key).with_suffix("")
    folders = [folder / "Annotations" / level / video for video in (name, name.name) for level in LEVELS]
    files = next((sorted(path.glob("*.png")) for path in folders if path.is_dir()), [])
    numbered = all(path.stem.isdecimal() for path in files)
    masks = {int(path.stem) if numbered else k: read_numbers(path) == number for k, path in enumerate(files)}
    return {k: rle.encode(mask_HW) for k, mask_HW in masks.items()} if any(m.any() for m in masks.values()) else None


def _measured(
    video: str, number: int, found_THW: Numbers, true_THW: Numbers, frames: Sequence[npt.NDArray[np.uint8]]
) -> MeasuredTrack | None:
    true, found = true_THW == number, found_THW == number
    start = int(np.flatnonzero(true.any(axis=(1, 2)))[0])
    if start == len(true) - 1:
        return None
    others = ~true & (true_THW != 0) & (true_THW != VOID)
    accuracy = measure_track(
        video, number, prompt_frame=start, found_THW=found[start + 1:], true_THW=true[start + 1:], others_THW=others[start + 1:]
    )
    return MeasuredTrack(accuracy, None, frames[start:], found[start:], true[start:])


def _result(path: Path, size_hw: tuple[int, int], *, needed: bool) -> Numbers:
    """Read one frame's result; that of the first frame is never measured, and so may be missing."""
    if not path.is_file():
        if needed:
            raise BadInput(f"{path} is not there; expected a result for every labelled frame after the first")
        return np.zeros(size_hw, np.uint8)
    numbers_HW = read_numbers(path)
    if numbers_HW.shape != size_hw:
        raise BadInput(f"{path} is {numbers_HW.shape} (h, w) and the truth {size_hw}; write results at the truth's size")
    return numbers_HW


def _folder_of(root: Path, kind: str, video: str) -> Path | None:
    """Return the folder of one video's files in the DAVIS layout, if it is there."""
    return next((path for level in LEVELS if (path := root / kind / level / video).is_dir()), None)
