"""Where clips are cut out of labelled videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from sam2.training.datasets.labelled import LEAST_SHARE, MOST_OBJECTS, chosen_videos, cut_clip


@dataclass
class Drawn:
    """A video whose objects are columns of pixels, seen on the frames named; frame t is of grey level t."""

    name: str
    num_frames: int
    seen: Mapping[int, Sequence[int]]
    unknown: Sequence[tuple[int, int]] = ()

    def shares(self, frame: int) -> dict[int, float]:
        return {k: 0.01 for k, frames in self.seen.items() if frame in frames}

    def knows(self, object_id: int, frame: int) -> bool:
        return (object_id, frame) not in self.unknown

    def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        masks = np.zeros((len(frames), len(object_ids), 20, 40), bool)
        for n, k in enumerate(object_ids):
            for row, frame in enumerate(frames):
                masks[row, n, :, k] = frame in self.seen[k]
        return [np.full((20, 40, 3), frame, np.uint8) for frame in frames], list(masks)


def cut(*videos: Drawn, index: int = 0, num_frames: int = 3, **how: object) -> tuple[str, list[int], list[int]]:
    """Return a clip's video, frames and objects."""
    by_name = {video.name: video for video in videos}
    clip = cut_clip(list(by_name), by_name.__getitem__, index, num_frames, **how)
    assert clip.masks_NTHW[:, 0].any(axis=(1, 2)).all()
    return (
        clip.name.split()[0], clip.frames_THW3[:, 0, 0, 0].tolist(),
        [int(np.flatnonzero(mask.any(axis=0))[0]) for mask in clip.masks_NTHW[:, 0]],
    )


def test_the_first_clip_begins_where_something_is_seen() -> None:
    assert cut(Drawn("v", 8, {3: [2, 3, 4], 5: [3]})) == ("v", [2, 3, 4], [3])


def test_a_short_video_gives_what_it_has() -> None:
    assert cut(Drawn("v", 2, {0: [0, 1]})) == ("v", [0, 1], [0])
    assert cut(Drawn("v", 8, {1: [7]})) == ("v", [7], [1])


def test_later_clips_begin_elsewhere_and_always_the_same() -> None:
    video = Drawn("v", 40, {0: range(40)})
    begins = [cut(video, index=index)[1][0] for index in range(30)]
    assert begins[0] == 0
    assert len(set(begins)) > 12
    assert max(begins) <= 37
    assert begins == [cut(video, index=index)[1][0] for index in range(30)]


def test_numbers_go_round_the_videos() -> None:
    videos = [Drawn(name, 4, {0: range(4)}) for name in "abc"]
    assert [cut(*videos, index=index)[0] for index in range(7)] == list("abcabca")
    with pytest.raises(IndexError, match=r"clip 6 of 3 frames: expected 0\.\.5"):
        cut(*videos, index=6, starts=2)


def test_an_object_that_is_not_known_to_the_end_is_left_out() -> None:
    video = Drawn("v", 6, {1: range(6), 2: range(6)}, unknown=[(2, 2)])
    assert cut(video) == ("v", [0, 1, 2], [1])
    assert cut(Drawn("v", 6, {1: range(6)}, unknown=[(1, 1), (1, 5)]))[1] == [2, 3, 4]


def test_a_video_without_objects_gives_its_place_to_the_next() -> None:
    assert cut(Drawn("a", 4, {}), Drawn("b", 4, {0: [1]}))[0] == "b"
    with pytest.raises(ValueError, match=f"none of a, ... shows an object on {LEAST_SHARE:.2%}"):
        cut(Drawn("a", 4, {}))


def test_of_many_objects_some_are_taken() -> None:
    video = Drawn("v", 4, {k: range(4) for k in range(20)})
    taken = [cut(video, index=index)[2] for index in range(6)]
    assert {len(one) for one in taken} == {MOST_OBJECTS}
    assert len({tuple(one) for one in taken}) > 1


def test_clips_are_resized_and_thin_objects_stay() -> None:
    video = Drawn("v", 4, {7: range(4)})
    clip = cut_clip(["v"], lambda _: video, 0, 2, size_hw=(10, 10))
    assert clip.frames_THW3.shape == (2, 10, 10, 3)
    assert clip.masks_NTHW[0, 0].sum() == 10       # a quarter of each cell in one column of cells


def test_masks_of_another_size_are_refused() -> None:
    @dataclass
    class Wrong(Drawn):
        def read(self, frames: range, object_ids: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
            return [np.zeros((9, 9, 3), np.uint8) for _ in frames], [np.zeros((1, 8, 9), bool) for _ in frames]

    with pytest.raises(ValueError, match=r"v: frame 0 is \(9, 9\) and its masks \(8, 9\)"):
        cut(Wrong("v", 2, {0: [0]}))


def test_videos_are_chosen_by_number() -> None:
    assert chosen_videos(["a", "b", "c"], "x", first=1, count=1) == ("b",)
    assert chosen_videos(["a", "b", "c"], "x", first=1, count=None) == ("b", "c")
    with pytest.raises(ValueError, match="x has 3 labelled videos; first=3 leaves none"):
        chosen_videos(["a", "b", "c"], "x", first=3, count=None)
    with pytest.raises(ValueError, match="count=0"):
        chosen_videos(["a"], "x", first=0, count=0)
