"""How stored pixels become the upright picture: the display matrix of phones and editors, a turn with or without a mirror.

Shape suffixes: H height, W width, 3 red, green and blue.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Image8 = npt.NDArray[np.uint8]

# (transposed, flip_x, flip_y) -> clockwise turn; of mirrored ones, the turn after a mirror from left to right.
_TURNS = {
    (False, False, False): 0, (True, True, False): 90, (False, True, True): 180, (True, False, True): 270,
    (False, True, False): 0, (True, True, True): 90, (False, False, True): 180, (True, False, False): 270,
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """First rows and columns change places if `transposed`, then x and y are flipped."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def rotation_degrees(self) -> int:
        """The clockwise turn that makes the stored picture upright: 0, 90, 180 or 270."""
        return _TURNS[self.transposed, self.flip_x, self.flip_y]

    def upright_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size (height, width) of a stored picture of `size_hw` once upright."""
        return (size_hw[1], size_hw[0]) if self.transposed else size_hw

    def upright(self, stored_HW3: Image8) -> Image8:
        """Turn a stored picture (H, W, 3) upright; contiguous."""
        turned = stored_HW3.transpose(1, 0, 2) if self.transposed else stored_HW3
        turned = turned[:, ::-1] if self.flip_x else turned
        turned = turned[::-1] if self.flip_y else turned
        return np.ascontiguousarray(turned)


def orientation_of(frame: Any) -> Orientation:
    """Read a decoded frame's display matrix, to the nearest quarter turn.

    The matrix (a b u, c d v, x y w) puts stored (x, y) at (a x + c y, b x + d y), y down.
    """
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(side), "<i4")[:5])
            if abs(a) + abs(d) >= abs(b) + abs(c):
                return Orientation(False, a < 0, d < 0)
            return Orientation(True, c < 0, b < 0)
    return Orientation()
