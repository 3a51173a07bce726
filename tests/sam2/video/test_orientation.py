"""All eight ways a picture can lie, each against the display matrix that ffmpeg's own rotation would follow."""

from types import SimpleNamespace

import numpy as np
import pytest

from sam2.video.orientation import Orientation, orientation_of

STORED = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class Side(bytes):
    """A frame's side data, as PyAV gives it: its bytes, and what they are."""

    type = SimpleNamespace(name="DISPLAYMATRIX")


def frame_with(*matrix: int) -> SimpleNamespace:
    values = np.array([matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 1 << 14], "<i4") * (1 << 16)
    return SimpleNamespace(side_data=[Side(values.tobytes())])


@pytest.mark.parametrize(
    ("matrix", "degrees", "expected"),
    [
        ((1, 0, 0, 1), 0, STORED),
        ((0, 1, -1, 0), 90, np.rot90(STORED, -1)),
        ((-1, 0, 0, -1), 180, np.rot90(STORED, 2)),
        ((0, -1, 1, 0), 270, np.rot90(STORED, 1)),
        ((-1, 0, 0, 1), 0, STORED[:, ::-1]),
        ((1, 0, 0, -1), 180, STORED[::-1]),
        ((0, 1, 1, 0), 270, STORED.transpose(1, 0, 2)),
        ((0, -1, -1, 0), 90, np.rot90(STORED[:, ::-1], -1)),
    ],
)
def test_stored_pixels_go_where_the_matrix_puts_them(matrix: tuple[int, ...], degrees: int, expected: np.ndarray) -> None:
    a, b, c, d = matrix
    found = orientation_of(frame_with(*matrix))
    upright = found.upright(STORED)
    assert np.array_equal(upright, expected)
    assert upright.flags.c_contiguous
    assert found.upright_size((2, 3)) == upright.shape[:2]
    assert found.rotation_degrees == degrees
    # A turn by the degrees that are told undoes the rest, up to a mirror from left to right.
    assert any(np.array_equal(np.rot90(s, -degrees // 90), upright) for s in (STORED, STORED[:, ::-1]))
    # The rule itself, pixel by pixel: (x, y) lands at (a x + c y, b x + d y), moved into the frame.
    height, width = STORED.shape[:2]
    for y in range(height):
        for x in range(width):
            new_x, new_y = a * x + c * y, b * x + d * y
            new_x += upright.shape[1] - 1 if min(a, c) < 0 else 0
            new_y += upright.shape[0] - 1 if min(b, d) < 0 else 0
            assert np.array_equal(upright[new_y, new_x], STORED[y, x])


def test_no_matrix_is_upright() -> None:
    assert orientation_of(SimpleNamespace(side_data=[])) == Orientation()
