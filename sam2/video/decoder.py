"""Frames of a video by index: decoded in order as they are asked for, backwards from one key frame to the next, or sought.

Shape suffixes: H height, W width, 3 red, green and blue.
"""

import bisect
import math
import os
from collections import OrderedDict
from collections.abc import Container, Iterator
from contextlib import ExitStack
from typing import Any

import av.error
from av.video.reformatter import VideoReformatter

from sam2.video.container import Image8, broken, opened
from sam2.video.file_index import FileIndex, index_frames, threads_for
from sam2.video.files import Source, UnreadableVideo, state_of, why_of
from sam2.video.packets import demuxed, frames_of, shows_of

KEPT_BYTES = 256 << 20  # of decoded frames while a video is read backwards
_WORTH_A_SEEK = 8  # frames: fewer are decoded and dropped faster than found again
_KEYS_TRIED = 3
_BEGINNING = -1


class FrameDecoder:
    """Any frame of a video file, or of its bytes, upright; `sampled` are those that will be asked for (default: all).

    Reading on streams; reading backwards keeps what it passes, up to `kept_bytes`. Raises UnreadableVideo at the frame where
    the file breaks, and as soon as the file is no longer the one that was opened. One that is gone stays readable while
    nothing has to be opened again.
    """

    def __init__(
        self, video: Source, name: str, *, sampled: Container[int] | None = None, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._video, self._name = video, name
        self._state = state_of(video, name)
        self.index = index_frames(video, name)
        self._passage = _Passage(video, name, self.index)
        self._require_unchanged()
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._sampled: Container[int] = range(self.index.num_frames) if sampled is None else sampled
        self._kept_bytes = kept_bytes
        # One for all frames: a frame that converts itself keeps threads of its own for as long as it is kept.
        self._to_rgb = VideoReformatter()

    def close(self) -> None:
        """Close the file; frames cannot be read afterwards."""
        self._kept.clear()
        self._passage.close()

    def rgb_HW3(self, frame_idx: int, upright_hw: tuple[int, int] | None = None) -> Image8:
        """Return a frame as uint8 RGB (H, W, 3), at its own size or scaled to another before it becomes RGB."""
        self._require_unchanged()
        frame = self._frame(frame_idx)
        orientation = self.index.orientation
        height, width = orientation.upright_size(upright_hw or self.index.size_hw)
        try:
            # A frame is scaled where that is asked for, or where the stream changes its size on the way.
            scaled = self._to_rgb.reformat(frame, width, height, "rgb24", interpolation=upright_hw and "AREA")
            return orientation.upright(scaled.to_ndarray())
        except (av.error.FFmpegError, ValueError) as error:
            raise broken(self._name, frame_idx, self.index.num_frames, f"no RGB can be made of it ({why_of(error)})") from error

    def _require_unchanged(self) -> None:
        if isinstance(self._video, bytes) or not os.path.lexists(self._video):
            return
        if state_of(self._video, self._name) != self._state:
            message = f"{self._name} changed after it was opened"
            raise UnreadableVideo(f"{message}; open it again once it no longer changes", "source_unavailable")

    def _frame(self, frame_idx: int) -> Any:
        if frame_idx in self._kept:
            return self._kept[frame_idx]
        backwards = frame_idx < self._passage.next_idx
        if not backwards:
            self._kept.clear()
        height, width = self.index.stored_hw
        room = self._kept_bytes // (3 * height * width // 2 + 1) if backwards else 0
        for at, frame in self._passage.frames_up_to(frame_idx, shown_from=frame_idx - room):
            if at == frame_idx or backwards and at in self._sampled:
                self._keep(at, frame)
        return self._kept[frame_idx]

    def _keep(self, frame_idx: int, frame: Any) -> None:
        """Keep a decoded frame and let go of the oldest that no longer fit."""
        self._kept[frame_idx] = frame
        frame_bytes = sum(plane.buffer_size for plane in frame.planes)
        while len(self._kept) > max(1, self._kept_bytes // max(1, frame_bytes)):
            self._kept.popitem(last=False)


class _Passage:
    """Decodes one file from where it stands; `next_idx` is the frame that comes next if nothing is sought."""

    def __init__(self, video: Source, name: str, index: FileIndex) -> None:
        self._video, self._name, self._index = video, name, index
        self._places = {} if index.by_order else {pts: i for i, pts in enumerate(index.pts)}
        self._keys = [self._places[pts] for pts in index.key_pts if pts in self._places]
        self._open = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._sought = False
        self._shown_pts = -math.inf
        self.next_idx = 0
        self._begin()

    def close(self) -> None:
        self._frames = iter(())
        self._open.close()

    def frames_up_to(self, frame_idx: int, *, shown_from: int) -> Iterator[tuple[int, Any]]:
        """Yield (index, frame) in order from here or from the best key frame, the last being `frame_idx` itself.

        On a long way, of those before `shown_from` only what others are decoded from is sure to come.
        """
        for key in self._starts_for(frame_idx):
            self._go_to(key)
            far = self._places and shown_from > self.next_idx + _WORTH_A_SEEK
            self._shown_pts = self._index.pts[shown_from] if far else -math.inf
            for at, frame in self._frames:
                if at > frame_idx:
                    break
                self.next_idx = at + 1
                yield at, frame
                if at == frame_idx:
                    return
        raise self._lost(frame_idx)

    def _starts_for(self, frame_idx: int) -> Iterator[int | None]:
        """Yield where to decode from: None is right here, then the nearest key frames before, then the beginning (-1).

        Those after the first are for files whose seeking lands late or whose key frames do not decode by themselves.
        """
        keys = [key for key in self._keys[:bisect.bisect_right(self._keys, frame_idx)][-_KEYS_TRIED:][::-1] if key > 0]
        ahead = self.next_idx <= frame_idx
        if ahead and not (keys and keys[0] > self.next_idx + _WORTH_A_SEEK):
            from_the_start = not self._sought
            yield None
            if from_the_start:
                return
        yield from keys
        yield _BEGINNING

    def _go_to(self, key: int | None) -> None:
        if key is None:
            return
        if key == _BEGINNING:
            self._begin()
            return
        self._container.seek(self._index.pts[key], stream=self._stream)
        self._frames, self._sought, self.next_idx = self._decoded(sought=True), True, key

    def _begin(self) -> None:
        self._open.close()
        self._container, self._stream = self._open.enter_context(opened(self._video, self._name))
        self._stream.thread_type = threads_for(self._index.all_show)
        self._shows = shows_of(self._stream.codec_context)
        self._frames, self._sought, self.next_idx = self._decoded(sought=False), False, 0

    def _decoded(self, *, sought: bool) -> Iterator[tuple[int, Any]]:
        """Yield (index, frame) from where the file stands; after seeking, from the first key frame met."""
        lowest, waiting, count = 0, sought, 0
        try:
            for packet in demuxed(self._container, self._stream):
                if waiting and packet.size > 0:
                    if not packet.is_keyframe:
                        continue
                    # Frames shown before it need what was not decoded.
                    lowest, waiting = self._places.get(packet.pts, 0), False
                passed = packet.pts is not None and packet.pts < self._shown_pts
                self._stream.codec_context.skip_frame = "NONREF" if passed else "DEFAULT"
                for frame in frames_of(packet, self._shows):
                    at = count if self._index.by_order else self._places.get(frame.pts, -1)
                    count += 1
                    if at >= lowest:
                        yield at, frame
        except (av.error.FFmpegError, OSError) as error:
            raise broken(self._name, self.next_idx, len(self._index.pts), why_of(error)) from error

    def _lost(self, frame_idx: int) -> UnreadableVideo:
        at = min(self.next_idx, frame_idx)
        self._frames, self._sought, self.next_idx = iter(()), True, len(self._index.pts)
        return broken(self._name, at, len(self._index.pts), "no such frame comes out of the decoder")
