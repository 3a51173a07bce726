"""Where the truth about an item comes from: what reviewers settled, or true masks beside the masklet's own."""

from collections.abc import Mapping

import numpy as np

from labeling import rle
from labeling.errors import BadInput
from labeling.jf import j_and_f
from labeling.objects import Objects
from labeling.review.commands import item_of
from labeling.review.items import QueuedItem
from labeling.review.quality.gold import Gold, Truth
from labeling.review.queue import ReviewQueue
from labeling.store.reader import StoredMasklet, read_masklets
from labeling.types import RLE

# What lies between is neither right nor wrong, and makes no gold.
GOOD_JF, BAD_JF = 0.85, 0.6


def truth_of_settled(queue: ReviewQueue, objects: Objects, name: str) -> tuple[QueuedItem, Truth]:
    """An item with the truth that its reviewers settled: an accepted masklet is right, what they drew is right.

    Raises BadInput for an item that nobody has settled, UnknownItem for one that is not there.
    """
    item = queue.get(item_of(name))
    outcome = Gold(queue).outcome(item.item_id)
    if outcome is None:
        told = f"item {item.key} is {item.status} and nobody has settled it"
        raise BadInput(f"{told}; expected a settled one, or true masks: --truth FOLDER", "no_truth")
    action, prompts = outcome
    if action == "accept":
        return item, Truth(True, {f.frame_idx: f.rle for f in masklet_of(objects, item).frames}, "accepted")
    return item, Truth(False, {p.frame_idx: p.mask for p in prompts if p.mask is not None}, f"{action}ed")


def truth_by_masks(objects: Objects, item: QueuedItem, true: Mapping[int, RLE]) -> tuple[Truth | None, float]:
    """What true masks say of an item's masklet, with its mean J&F over the frames that both have; no truth in between.

    Raises BadInput where they have no frame in common, or masks of another size.
    """
    own = {f.frame_idx: f.rle for f in masklet_of(objects, item).frames}
    both = sorted(own.keys() & true.keys())
    if not both:
        raise BadInput(f"item {item.key} has no frame with a true mask; expected some of {sorted(own)[:5]}...", "no_truth")
    sizes = {mask.size_hw for frame_idx in both for mask in (own[frame_idx], true[frame_idx])}
    if len(sizes) > 1:
        raise BadInput(f"item {item.key}: masks are {sorted(sizes)} (h, w); expected truth of the video's size", "bad_mask")
    tracked_THW, true_THW = (np.stack([rle.decode(masks[f]) for f in both]) for masks in (own, true))
    likeness = j_and_f(tracked_THW, true_THW).j_and_f
    if BAD_JF < likeness < GOOD_JF:
        return None, likeness
    return Truth(likeness >= GOOD_JF, {f: true[f] for f in both}, f"true masks, J&F {likeness:.3f}"), likeness


def masklet_of(objects: Objects, item: QueuedItem) -> StoredMasklet:
    """The masklet that an item is about, from the snapshot that it was opened from; BadInput where it is gone."""
    try:
        found = next(
            read_masklets(objects, video=item.key.video_id, track=item.key.track_id, snapshot=item.snapshot), None
        )
    except ValueError as error:
        raise BadInput(f"item {item.key}: {error}", "no_truth") from error
    if found is None or found.masklet.label_version != item.key.label_version:
        raise BadInput(f"item {item.key} is not in snapshot {item.snapshot} of the store any more", "no_truth")
    return found
