"""The next frames are read in a thread while the network is at work on this one."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from sam2.video.source import FrameSource, Rgb


class ReadAhead:
    """A source whose next `depth` frames, in the direction of the last step, are on their way when they are asked for.

    One thread does all the reading, so the source behind is never used from two at once; `close` waits for it.
    """

    def __init__(self, frames: FrameSource, *, depth: int = 1) -> None:
        self._behind = frames
        self._depth = depth
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._coming: deque[tuple[int, Future[Rgb]]] = deque()
        self._last = -1
        self.size_hw = frames.size_hw
        self.one_pass = frames.one_pass

    @property
    def num_frames(self) -> int | None:
        return self._behind.num_frames

    def reaches(self, frame_idx: int) -> bool:
        # a length that is known needs no reading, and no waiting for what is being read
        if self.num_frames is not None and not self.one_pass:
            return self._behind.reaches(frame_idx)
        return self._reader.submit(self._behind.reaches, frame_idx).result()

    def holds(self, frame_idx: int) -> bool:
        if self.num_frames is not None and not self.one_pass:
            return self._behind.holds(frame_idx)
        return self._reader.submit(self._behind.holds, frame_idx).result()

    def rgb_SS3(self, frame_idx: int) -> Rgb:
        while self._coming and self._coming[0][0] != frame_idx:
            self._coming.popleft()[1].cancel()
        asked = self._coming.popleft()[1] if self._coming else self._reader.submit(self._behind.rgb_SS3, frame_idx)
        step = -1 if frame_idx < self._last else 1
        self._last = frame_idx
        self._look_ahead(frame_idx, step)
        return asked.result()

    def close(self) -> None:
        """Stop reading; the source behind may be closed afterwards."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _look_ahead(self, frame_idx: int, step: int) -> None:
        """Have the frames after this one on their way, and none that lies elsewhere."""
        wanted = [frame_idx + step * k for k in range(1, self._depth + 1)]
        if [k for k, _ in self._coming] != wanted[: len(self._coming)]:
            for _, frame in self._coming:
                frame.cancel()
            self._coming.clear()
        for k in wanted[len(self._coming) :]:
            self._coming.append((k, self._reader.submit(self._read_if_there, k)))

    def _read_if_there(self, frame_idx: int) -> Rgb:
        if not self._behind.reaches(frame_idx):
            raise ValueError(f"the video ends before frame {frame_idx}")
        return self._behind.rgb_SS3(frame_idx)
