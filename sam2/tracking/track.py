"""What is kept of one object: its prompts and its memory bank. A value, not a service.

Legend: h = w the feature side, S the side of the network's square image.
"""

from dataclasses import dataclass, field

from torch import Tensor

from sam2.tracking.entry import FrameEntry
from sam2.tracking.prompts import PointPrompt


@dataclass(frozen=True, slots=True)
class Pending:
    """A prompted frame that waits for tracking to begin: its entry lacks the memory, which `vision_1Chw` will give.

    Without `vision_1Chw` the frame is encoded once more.
    """

    entry: FrameEntry
    conditioning: bool
    vision_1Chw: Tensor | None


@dataclass(slots=True)
class ObjectTrack:
    """One object's prompts and memory bank.

    All map frame_idx to something: `masks` to (1, 1, S, S), bool where they are 0 or 1, `conditioning` and `others` to
    entries, `tracked` each frame that tracking has passed to its direction (True: reverse); `newest` is the last one
    passed. With a memory window, `dropped` is the span (first, last) of frames that were forgotten in whole or in part.
    """

    points: dict[int, PointPrompt] = field(default_factory=dict)
    masks: dict[int, Tensor] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    conditioning: dict[int, FrameEntry] = field(default_factory=dict)
    others: dict[int, FrameEntry] = field(default_factory=dict)
    tracked: dict[int, bool] = field(default_factory=dict)
    newest: int | None = None
    dropped: tuple[int, int] | None = None

    @property
    def prompted(self) -> set[int]:
        """Frames that bear a prompt of this object."""
        return {*self.points, *self.masks}

    def entry_on(self, frame_idx: int) -> FrameEntry | None:
        """Return the newest answer on a frame: to a prompt that waits, to a prompt, or from tracking."""
        if frame_idx in self.pending:
            return self.pending[frame_idx].entry
        return self.conditioning.get(frame_idx) or self.others.get(frame_idx)

    def forget(self) -> None:
        """Let go of all prompts and answers."""
        for table in (self.points, self.masks, self.pending, self.conditioning, self.others, self.tracked):
            table.clear()
        self.newest = self.dropped = None
