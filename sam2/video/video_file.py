"""A video file as frames at the network's size. Needs PyAV.

Frames are numbered in presentation order, each coded frame once, whatever its duration: a variable frame rate neither
repeats nor drops any.
"""

import os
from pathlib import Path

from sam2.video.decoder import FrameDecoder
from sam2.video.source import Rgb, shrink


class VideoFile:
    """Frames of a video file, or of its bytes; upright, at the network's size.

    Going forward decodes each frame once. Going backward decodes a group of pictures at a time. Raises UnreadableVideo, a
    ValueError, for a file that cannot be opened, has no video frames, ends early or changes, and for a frame that cannot be
    decoded.
    """

    one_pass = False

    def __init__(self, video: str | Path | bytes, *, side: int) -> None:
        name = "the video's bytes" if isinstance(video, bytes) else os.fspath(video)
        self._side = side
        self._decoder = FrameDecoder(video, name)
        self.size_hw = self._decoder.index.size_hw
        self._last: tuple[int, Rgb] = (0, shrink(self.rgb_HW3(0), side))

    @property
    def num_frames(self) -> int:
        return self._decoder.index.num_frames

    def reaches(self, frame_idx: int) -> bool:
        return 0 <= frame_idx < self.num_frames

    def holds(self, frame_idx: int) -> bool:
        return self.reaches(frame_idx)

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        if self._last[0] != frame_idx:
            self._last = (frame_idx, shrink(self.rgb_HW3(frame_idx), self._side))
        return self._last[1]

    def rgb_HW3(self, frame_idx: int) -> Rgb:
        """Return the frame upright at its own size."""
        if not self.reaches(frame_idx):
            raise IndexError(f"frame_idx is {frame_idx}; expected 0 to {self.num_frames - 1}")
        return self._decoder.rgb_HW3(frame_idx)

    def close(self) -> None:
        """Close the file; frames cannot be read afterwards."""
        self._decoder.close()
