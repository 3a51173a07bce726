"""The video's frames as the network sees them, under the released key `images`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState


class FrameImages:
    """Frames (3, S, S) float32, normalised, read when asked for; assigning one puts it in the video's place.

    As a whole it answers as the tensor (frames, 3, S, S) that the released package holds, which is then made: 12 MiB a
    frame at 1024 pixels.
    """

    def __init__(self, state: "VideoState") -> None:
        self.state = state

    def __len__(self) -> int:
        if self.state.num_frames is None:
            raise ValueError("the length of this video is open: it is known once its last frame has been read")
        return self.state.num_frames

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, slice):
            return torch.stack([self[k] for k in range(*index.indices(len(self)))])
        if not hasattr(index, "__index__"):
            return self.tensor()[index]
        index = index.__index__()
        frame_idx = index + len(self) if index < 0 else index
        if not self.state.reaches(frame_idx):
            raise IndexError(f"frame {index} is beyond the video's {len(self)} frames")
        return self.state.image(frame_idx)

    def __setitem__(self, index: int, image_3SS: Tensor) -> None:
        self[index]     # which raises where there is no such frame
        self.state.put_image(index % len(self), image_3SS)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[frame_idx] for frame_idx in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"the frames of a state have no {name!r}")
        return getattr(self.tensor(), name)

    @property
    def shape(self) -> torch.Size:
        return torch.Size([len(self), *self[0].shape])

    def tensor(self) -> Tensor:
        """Return all frames (frames, 3, S, S)."""
        return torch.stack(list(self))

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return func(*_whole(args), **(kwargs or {}))


def _whole(value: Any) -> Any:
    if isinstance(value, FrameImages):
        return value.tensor()
    return type(value)(map(_whole, value)) if isinstance(value, list | tuple) else value
