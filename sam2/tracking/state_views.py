"""Live views of a state under the released keys: frames, features, object ids; what is written through them acts.

Legend: h = w the feature side, S the side of the network's square image, C channels.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from sam2.tracking.features import Backbone, backbone_of, features_in

if TYPE_CHECKING:
    from sam2.tracking.state import VideoState


class View(MutableMapping[Any, Any]):
    """A mapping over something else. Copies of it are plain dicts that no longer follow."""

    __hash__ = object.__hash__

    def copy(self) -> dict[Any, Any]:
        return dict(self.items())

    def assign(self, items: Mapping[Any, Any]) -> None:
        """Hold these items and no others."""
        items = dict(items)
        for key in [key for key in self if key not in items]:
            del self[key]
        self.update(items)

    def __copy__(self) -> dict[Any, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.copy()!r})"


class Record(View):
    """A mapping with a fixed set of keys."""

    def __delitem__(self, key: Any) -> NoReturn:
        if key not in self:
            raise KeyError(key)
        raise ValueError(f"{key!r} cannot be taken out of a {type(self).__name__}: assign a value instead")


class ByFrame(View):
    """A table by frame index, each of its values shown by `show` and read back by `take`."""

    def __init__(self, table: dict[int, Any], show: Callable[[int], Any], take: Callable[[Any], Any]) -> None:
        self._table, self._show, self._take = table, show, take

    def __getitem__(self, frame_idx: int) -> Any:
        if frame_idx not in self._table:
            raise KeyError(frame_idx)
        return self._show(frame_idx)

    def __setitem__(self, frame_idx: int, value: Any) -> None:
        self._table[frame_idx] = self._take(value)

    def __delitem__(self, frame_idx: int) -> None:
        del self._table[frame_idx]

    def __iter__(self) -> Iterator[int]:
        return iter(self._table)


class PerObject(View):
    """Something of each object, by its index. Objects come and go by the predictor's calls alone."""

    def __init__(self, tracks: Mapping[Any, Any], show: Callable[[Any], Any]) -> None:
        self._tracks, self._show = tracks, show

    def __getitem__(self, index: int) -> Any:
        if index not in range(len(self._tracks)):
            raise KeyError(index)
        return self._show(list(self._tracks.values())[index])

    def __setitem__(self, index: int, value: Mapping[Any, Any]) -> None:
        if index not in range(len(self._tracks)):
            raise KeyError(f"object index {index}: there are {len(self._tracks)} objects; a prompt makes another")
        self[index].update(value) if isinstance(self[index], Record) else self[index].assign(value)

    def __delitem__(self, index: int) -> NoReturn:
        raise ValueError(f"object index {index} cannot be taken out of here: use predictor.remove_object(state, obj_id)")

    def clear(self) -> None:
        for index in self:
            self[index].clear()

    def assign(self, items: Mapping[int, Any]) -> None:
        for index in self:
            if index not in items:
                self[index].clear()
        self.update(items)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._tracks)))


class Numbering(View):
    """Object ids and their indices, either way round; only clearing changes anything, and forgets all objects."""

    def __init__(self, tracks: dict[Any, Any], *, by_index: bool) -> None:
        self._tracks, self._by_index = tracks, by_index

    def _table(self) -> dict[Any, Any]:
        pairs: Iterable[tuple[Any, Any]] = enumerate(self._tracks)
        return dict(pairs) if self._by_index else {obj_id: index for index, obj_id in pairs}

    def __getitem__(self, key: Any) -> Any:
        return self._table()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._table().get(key) != value:
            raise ValueError(f"{key!r}: {value!r} cannot be set: objects are numbered in the order in which they came")

    def __delitem__(self, key: Any) -> NoReturn:
        raise ValueError(f"{key!r} cannot be taken out of here: use predictor.remove_object(state, obj_id)")

    def __iter__(self) -> Iterator[Any]:
        return iter(self._table())

    def clear(self) -> None:
        self._tracks.clear()


class ObjectIds(list[Any]):
    """The ids of all objects at the time; a list that refuses to be changed, which would change nothing, but for `clear`."""

    def __init__(self, tracks: dict[Any, Any]) -> None:
        super().__init__(tracks)
        self._tracks = tracks

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("object ids cannot be changed here: use add_new_points_or_box, add_new_mask or remove_object")

    append = extend = insert = remove = pop = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def clear(self) -> None:
        self._tracks.clear()
        super().clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


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


class CachedFeatures(View):
    """Frames whose features are at hand: `(image (1, 3, S, S), the answer of forward_image)` by index.

    The next frame that is not among them takes the place of all.
    """

    def __init__(self, state: "VideoState") -> None:
        self._state = state

    def __getitem__(self, frame_idx: int) -> tuple[Tensor, Backbone]:
        features = self._state.features[frame_idx]
        return self._state.image(frame_idx)[None], backbone_of(features)

    def __setitem__(self, frame_idx: int, value: tuple[Tensor, Mapping[str, Any]]) -> None:
        image_13SS, backbone = value
        self._state.features[frame_idx] = features_in(backbone)

    def __delitem__(self, frame_idx: int) -> None:
        del self._state.features[frame_idx]

    def __iter__(self) -> Iterator[int]:
        return iter(self._state.features)
