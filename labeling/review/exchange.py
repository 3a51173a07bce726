"""Exports items to another annotation tool and decides what comes back: a changed mask is a correction.

A mask that was removed says that the object is absent on that frame, as the page's "absent here" does. An item without changes
is accepted where the tool says so. A tool's file is read in full before anything is decided, so a bad file changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.errors import BadInput, LabelingError
from labeling.objects import Objects
from labeling.review.items import WAITING, QueuedItem, item_of
from labeling.review.queue import ReviewQueue
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.types import RLE, Prompt, PromptSource

DEFAULT_LABEL = "object"


@dataclass(frozen=True, slots=True)
class LentItem:
    """A waiting item with its masklet: what a tool is given."""

    item: QueuedItem
    masklet: StoredMasklet

    @property
    def label(self) -> str:
        """The name of its class in the tool."""
        return self.item.category or DEFAULT_LABEL

    @property
    def masks(self) -> Mapping[int, RLE]:
        """The masks that are not empty, by frame."""
        return {f.frame_idx: f.rle for f in self.masklet.frames if f.visible}


@dataclass(frozen=True, slots=True)
class ReturnedItem:
    """One item of a tool's file: `name` is its number or identity, `masks` by frame, those that are not empty.

    `frames` are the frames that were looked at, None for all of them; `accepted` says that whoever did so found it good.
    `certain` is False where the item is known by a number alone that the tool may have given anew.
    """

    name: str
    masks: Mapping[int, RLE]
    frames: frozenset[int] | None = None
    accepted: bool = False
    seconds: float | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class TakenItem:
    """What became of one returned item: `action` is correct, accept or left; `detail` says on which frames, or why."""

    name: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Change:
    lent: LentItem
    returned: ReturnedItem
    changed: Mapping[int, RLE] = field(default_factory=dict)
    lost: Sequence[int] = ()


def lend(queue: ReviewQueue, objects: Objects, names: Iterable[str]) -> list[LentItem]:
    """Find waiting items by number or identity, each once.

    Raises BadInput for one that is settled, UnknownItem for one that is not there.
    """
    waiting = {item.item_id: item for item in (queue.get(item_of(name)) for name in names)}
    for item in waiting.values():
        if item.status not in WAITING:
            raise BadInput(f"item {item.key} is {item.status}; expected one that waits for a decision", "settled_item")
    return [_lent(objects, item) for item in waiting.values()]


def take_back(
    queue: ReviewQueue, objects: Objects, returned: Sequence[ReturnedItem], *, reviewer: str, note: str
) -> Iterator[TakenItem]:
    """Decide what came back: correct where masks changed, accept where it was accepted; the rest is left with a reason.

    Repeatable: settled items are left. Raises BadInput, before anything is decided, for an unknown item or a mask that does not
    fit.
    """
    waiting, settled = [], []
    for returned_item in returned:
        item = queue.get(item_of(returned_item.name))
        if item.status in WAITING:
            waiting.append(_compare(_lent(objects, item), returned_item))
        else:
            settled.append(TakenItem(str(item.key), "left", f"it is {item.status} already"))
    yield from settled
    for change in waiting:
        yield _decide(queue, change, reviewer, note)


def _lent(objects: Objects, item: QueuedItem) -> LentItem:
    masklet = next(read_masklets(objects, video=item.key.video_id, track=item.key.track_id), None)
    if masklet is None or masklet.masklet.label_version != item.key.label_version:
        raise BadInput(f"item {item.key} is not the newest version in the store; expected one that is", "stale_item")
    return LentItem(item, masklet)


def _compare(lent: LentItem, returned: ReturnedItem) -> _Change:
    size_hw, tracked = lent.masklet.video.size_hw, {f.frame_idx for f in lent.masklet.frames}
    for frame_idx, mask in returned.masks.items():
        where = f"item {lent.item.key}, frame {frame_idx}"
        if mask.size_hw != size_hw:
            raise BadInput(f"{where}: the mask is {mask.size_hw} (h, w); expected the video's {size_hw}", "bad_mask")
        if frame_idx not in tracked:
            raise BadInput(f"{where}: the object was not tracked there; expected frames {_listed(sorted(tracked))}", "bad_mask")
    before = lent.masks
    changed = {f: mask for f, mask in sorted(returned.masks.items()) if before.get(f) != mask}
    lost = [f for f in before if f not in returned.masks and (returned.frames is None or f in returned.frames)]
    return _Change(lent, returned, changed, lost)


def _decide(queue: ReviewQueue, change: _Change, reviewer: str, note: str) -> TakenItem:
    item, changed, returned = change.lent.item, change.changed, change.returned
    name = str(item.key)
    # A tool may have numbered groups anew, so a number alone names an item only where some mask is still the item's.
    if not returned.certain and not any(change.lent.masks.get(f) == mask for f, mask in returned.masks.items()):
        why = "a group alone names it and no mask is as it was lent: give its masks the attribute `item`"
        return TakenItem(name, "left", why)
    # An item without any mask is more likely a deleted track than an object that is absent throughout.
    if change.lost and not returned.masks:
        return TakenItem(name, "left", f"all of its masks are gone, on frames {_listed(change.lost)}: reject the item")
    masks = _masks_of(change)
    if not masks and not returned.accepted:
        return TakenItem(name, "left", "no mask changed and nobody accepted it")
    object_id = int(item.key.track_id)
    prompts = [Prompt(object_id, f, mask=mask, source=PromptSource.CORRECTION) for f, mask in masks.items()]
    action = "correct" if masks else "accept"
    try:
        queue.decide(item.item_id, action, prompts=prompts, reviewer=reviewer, note=note, seconds=returned.seconds)
    except LabelingError as error:   # held or settled by somebody else meanwhile
        return TakenItem(name, "left", str(error))
    parts = [f"frames {_listed(list(changed))}"] * bool(changed) + [f"absent on {_listed(change.lost)}"] * bool(change.lost)
    return TakenItem(name, action, "; ".join(parts) or "no mask changed")


def _masks_of(change: _Change) -> Mapping[int, RLE]:
    """A correction's masks by frame: those that changed, and an empty one where the mask was removed."""
    nothing = rle.empty(change.lent.masklet.video.size_hw)
    return dict(sorted({**change.changed, **dict.fromkeys(change.lost, nothing)}.items()))


def _listed(frames: Sequence[int]) -> str:
    return ", ".join(map(str, frames[:8])) + (f", ... ({len(frames)} in all)" if len(frames) > 8 else "")


def row_runs(mask_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Run lengths along a mask's rows, off and on in turn, beginning with off: 0 where the first pixel is on."""
    flat = mask_HW.ravel(order="C")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes, prepend=0, append=flat.size)
    return np.concatenate([[0], runs]) if flat[0] else runs
