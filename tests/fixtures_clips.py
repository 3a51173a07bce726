"""Small clips with known frames, written with PyAV."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest


def drawn_frame(index: int, size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """An RGB frame (H, W, 3) whose index can be read back: a grey ground whose level rises by 4 with each frame, and a
    bright square that moves right by 2 pixels."""
    height, width = size_hw
    rgb_HW3 = np.full((height, width, 3), 16 + index * 4 % 200, np.uint8)
    left = 2 * index % max(1, width - 8)
    rgb_HW3[height // 2 - 4:height // 2 + 4, left:left + 8] = (240, 60, 20)
    return rgb_HW3


def write_clip(
    path: Path,
    *,
    num_frames: int = 24,
    size_hw: tuple[int, int] = (48, 64),
    rate: Fraction | int = 12,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write `drawn_frame(0..num_frames)`; `pts` in units of `time_base` makes the frame rate vary."""
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = size_hw[0], size_hw[1], pix_fmt
        if time_base is not None:
            stream.time_base = stream.codec_context.time_base = time_base
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(drawn_frame(index, size_hw), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """`clip(name="clip.mp4", **how)` writes a small clip below tmp_path and returns its path; see `write_clip`."""

    def make(name: str = "clip.mp4", **how: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_clip(path, **how)

    return make
