"""Which frames a video file holds, when each is shown and where decoding can begin; read without decoding.

Times are in units of the stream's time base.
"""

from bisect import bisect_right
from dataclasses import dataclass

import av

HIDDEN_FRAMES = {"vp8"}     # codecs whose packets need not each show a frame: they are counted by decoding


@dataclass(frozen=True, slots=True)
class FileIndex:
    """`times` of the frames in the order shown, empty where the file has no usable ones; `keys` are the frames that
    decoding can begin with."""

    num_frames: int
    times: tuple[int, ...]
    keys: tuple[int, ...]

    def key_before(self, frame_idx: int) -> int:
        """Return the last frame at or before this one that decoding can begin with; 0 where there is none."""
        place = bisect_right(self.keys, frame_idx)
        return self.keys[place - 1] if place else 0

    def number_of(self, time: int | None) -> int | None:
        """Return the index of the frame shown at `time`; None where the index has no such frame."""
        if time is None:
            return None
        place = bisect_right(self.times, time) - 1
        return place if place >= 0 and self.times[place] == time else None


def read_index(container: av.container.InputContainer, name: str) -> FileIndex:
    """Return the index of the first video stream; ValueError where there is none, or where the file ends early."""
    with container:
        if not container.streams.video:
            raise ValueError(f"{name} has no video stream")
        stream = container.streams.video[0]
        declared = stream.frames
        packets = [packet for packet in container.demux(stream) if packet.size]
        if len(packets) < declared or any(packet.is_corrupt for packet in packets):
            raise ValueError(f"{name} is cut off: it declares {declared} frames and holds {len(packets)}")
        shown = [packet for packet in packets if not packet.is_discard]
        times = sorted(packet.pts for packet in shown if packet.pts is not None)
        if stream.codec_context.name in HIDDEN_FRAMES or len(times) < len(shown) or len(set(times)) < len(times):
            return _counted(container, stream, name)
        if not times:
            raise ValueError(f"{name} has no video frames")
        place_of = {time: place for place, time in enumerate(times)}
        keys = sorted(place_of[packet.pts] for packet in shown if packet.is_keyframe)
    return FileIndex(len(times), tuple(times), tuple(keys))


def _counted(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> FileIndex:
    """Return an index that knows the number of frames alone: it decodes them all, once."""
    container.seek(0)
    count = sum(1 for _ in container.decode(stream))
    if not count:
        raise ValueError(f"{name} has no video frames")
    return FileIndex(count, (), ())
