"""The next frame is read in a thread while the network is at work on this one."""

from concurrent.futures import Future, ThreadPoolExecutor

from sam2.video.source import FrameSource, Rgb


class ReadAhead:
    """A source whose next frame, in the direction of the last step, is on its way when it is asked for.

    One thread does all the reading, so the source behind is never used from two at once.
    """

    def __init__(self, frames: FrameSource) -> None:
        self._behind = frames
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._coming: tuple[int, Future[Rgb]] | None = None
        self._last = -1
        self.size_hw = frames.size_hw
        self.one_pass = frames.one_pass

    @property
    def num_frames(self) -> int | None:
        return self._behind.num_frames

    def reaches(self, frame_idx: int) -> bool:
        return self._reader.submit(self._behind.reaches, frame_idx).result()

    def holds(self, frame_idx: int) -> bool:
        return self._reader.submit(self._behind.holds, frame_idx).result()

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        coming = self._coming if self._coming is not None and self._coming[0] == frame_idx else None
        rgb = coming[1].result() if coming else self._reader.submit(self._behind.rgb_SS3, frame_idx).result()
        following = frame_idx + (-1 if frame_idx < self._last else 1)
        self._last = frame_idx
        self._coming = (following, self._reader.submit(self._read_if_there, following))
        return rgb

    def _read_if_there(self, frame_idx: int) -> Rgb:
        if not self._behind.reaches(frame_idx):
            raise ValueError(f"the video ends before frame {frame_idx}")
        return self._behind.rgb_SS3(frame_idx)
