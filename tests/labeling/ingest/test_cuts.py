"""Cuts: found where one shot ends and another begins, in either direction, at both ends of what is read, and nowhere else."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from labeling.ingest.cuts import HELD, CutPositions, ShotFrames, change, is_cut, small_picture

SIZE_HW = (48, 64)


class Shown(Sequence[npt.NDArray[np.uint8]]):
    """Frames with a square that moves over one of two grounds; `second` says on which positions it is the other one."""

    def __init__(self, num_frames: int, second: range) -> None:
        self.frame_indices = tuple(range(0, 2 * num_frames, 2))
        self._second, self.read = second, list[int]()

    def __len__(self) -> int:
        return len(self.frame_indices)

    def pts_seconds(self, position: int) -> float:
        return position / 25

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        self.read.append(position)
        rgb_HW3 = np.full((*SIZE_HW, 3), (40, 120, 60) if position in self._second else (150, 90, 200), np.uint8)
        rgb_HW3[10:30, position : 20 + position] = (220, 180, 60)
        return rgb_HW3


@pytest.mark.parametrize("order", [1, -1])
def test_a_shot_between_two_others_is_found_both_ways(order: int) -> None:
    shots = ShotFrames(Shown(20, range(8, 14)))
    for position in list(range(20))[::order]:
        shown = shots[position]
        assert np.array_equal(shown, Shown(20, range(8, 14))[position])
        # known before the frame is given, whichever side tracking comes from
        assert (16 in shots.cuts) == (position >= 7 if order == 1 else position <= 8) or position in (7, 8)
    assert list(shots.cuts) == [16, 28]


def test_each_frame_is_read_once_in_order_and_few_are_held() -> None:
    frames = Shown(30, range(10, 30))
    shots = ShotFrames(frames)
    for position in range(30):
        shots[position]
        assert max(frames.read) <= position + HELD
    assert frames.read == list(range(30))
    assert list(shots.cuts) == [20]
    assert shots[3].shape == (*SIZE_HW, 3)
    assert frames.read[30:] == [3], "what was judged is not judged again"


def test_movement_flashes_and_short_videos_are_no_cuts() -> None:
    for second in (range(0), range(9, 10)):
        shots = ShotFrames(Shown(20, second))
        assert [shots[k].shape for k in range(20)]
        assert not shots.cuts
    pair = ShotFrames(Shown(2, range(1, 2)))
    assert (pair[0].shape, list(pair.cuts)) == ((*SIZE_HW, 3), [])


def test_a_change_counts_beside_its_neighbours() -> None:
    assert is_cut(40.0, [2.0, 3.0, 2.0, 29.0])
    assert not is_cut(40.0, [2.0, 3.0, 20.0, 30.0])
    assert not is_cut(14.0, [0.0, 0.0])
    assert not is_cut(40.0, [0.0, 0.0, 31.0, 0.0]), "a flash"
    assert not is_cut(90.0, [])
    black, white = np.zeros((270, 480, 3), np.uint8), np.full((270, 480, 3), 255, np.uint8)
    assert change(small_picture(black), small_picture(white)) == pytest.approx(255 / 3)
    assert small_picture(black).shape == (34, 60, 3)


def test_cuts_are_positions_among_sampled_frames() -> None:
    positions = CutPositions([0, 5, 8, 90], (2, 4, 6, 8, 10))
    assert (list(positions), len(positions), 2 in positions, 0 in positions) == ([2, 3], 2, True, False)
