"""Which of a detector's boxes are new objects: matched with what is tracked already, doubles and ghosts dropped.

The rules and their constants are those that SAM 3 associates its detections by (Carion et al. 2025, "SAM 3", its code). They
count frames that a detector looked at; where an object was looked at less often, the same share of them decides.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labeling.errors import require
from labeling.types import Box

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AssociationRule:
    """When a box counts, matches a track, begins one, and when a young track goes.

    Raises ValueError for what is no share or count.
    """

    min_score: float = 0.5
    nms_iou: float = 0.1
    associated_iou: float = 0.1     # no new object, and in `link` the same one
    matched_iou: float = 0.5        # seen by the detector
    start_score: float = 0.7
    hot_start: int = 15             # looks that a track is young for
    most_unmatched: int = 8         # of those
    most_shared: int = 8            # of those, with one older track
    ends_after: int = 30            # looks in a row without a match

    def __post_init__(self) -> None:
        for name in ("min_score", "nms_iou", "associated_iou", "matched_iou", "start_score"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a share in [0, 1]")
        for name in ("hot_start", "most_unmatched", "most_shared", "ends_after"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in pixels with its score in [0, 1] and what it is of; None where the detector does not say."""

    box_xyxy: Box
    score: float
    label: str | None = None


@dataclass(slots=True)
class Candidate:
    """A track from the detection that began it on; `looks` counts the frames since on which it was to be seen."""

    object_id: int
    frame_idx: int
    detection: Detection
    looks: int = 0
    unmatched: int = 0
    unmatched_in_a_row: int = 0
    shared: Counter[int] = field(default_factory=Counter)
    dropped: str = ""       # "unmatched", or "shared" with an older track
    ended: bool = False

    @property
    def alive(self) -> bool:
        return not (self.dropped or self.ended)


class Association:
    """Follows what a detector sees on one frame after another, beside what trackers say of where objects are."""

    def __init__(self, rule: AssociationRule) -> None:
        self.rule, self.tracks = rule, dict[int, Candidate]()

    def look(self, frame_idx: int, detections: Sequence[Detection], places: Mapping[int, Box]) -> list[Candidate]:
        """Take in a frame: its detections, and the box of each live track that is to be seen; return the tracks that begin.

        A track without a place is neither matched nor missed: it is hidden, or has left.
        """
        kept = suppressed([d for d in detections if d.score >= self.rule.min_score], self.rule.nms_iou)
        visible = [track for track in self.tracks.values() if track.alive and track.object_id in places]
        iou_DN = ious([d.box_xyxy for d in kept], [places[track.object_id] for track in visible])
        self._match(visible, iou_DN)
        free = [d for d, iou_N in zip(kept, iou_DN, strict=True) if not (iou_N >= self.rule.associated_iou).any()]
        new = [
            Candidate(len(self.tracks) + number, frame_idx, detection)
            for number, detection in enumerate((d for d in free if d.score >= self.rule.start_score), start=1)
        ]
        self.tracks |= {track.object_id: track for track in new}
        return new

    def kept(self) -> list[Candidate]:
        """Return the tracks that are objects, after the last look: young ones are judged by the looks that they had."""
        for track in self.tracks.values():
            share = min(1.0, track.looks / self.rule.hot_start)
            if not track.dropped and track.looks < self.rule.hot_start:
                self._judge(track, share)
        return [track for track in self.tracks.values() if not track.dropped]

    def _match(self, visible: Sequence[Candidate], iou_DN: Floats) -> None:
        matched = iou_DN >= self.rule.matched_iou
        for column, track in enumerate(visible):
            hits = np.flatnonzero(matched[:, column])
            track.looks += 1
            track.unmatched += not hits.size
            track.unmatched_in_a_row = 0 if hits.size else track.unmatched_in_a_row + 1
            track.ended = track.unmatched_in_a_row >= self.rule.ends_after
            # ascending numbers are descending ages
            older = {visible[other].object_id for hit in hits for other in range(column) if matched[hit, other]}
            track.shared.update(older)
            if track.looks <= self.rule.hot_start:
                self._judge(track, 1.0)

    def _judge(self, track: Candidate, share: float) -> None:
        """Drop a young track by so much of the rule's counts."""
        if track.unmatched >= max(1, math.ceil(self.rule.most_unmatched * share)):
            track.dropped = "unmatched"
        elif max(track.shared.values(), default=0) >= max(1, math.ceil(self.rule.most_shared * share)):
            track.dropped = "shared"


def link(frames: Iterable[tuple[int, Sequence[Detection]]], rule: AssociationRule) -> list[Candidate]:
    """Join boxes of ascending frames into tracks without a tracker: each goes on as it went between its last two boxes."""
    association, last = Association(rule), dict[int, list[tuple[int, Floats]]]()
    for frame_idx, detections in frames:
        places = {object_id: _ahead(boxes, frame_idx) for object_id, boxes in last.items()}
        kept = suppressed([d for d in detections if d.score >= rule.min_score], rule.nms_iou)
        tracks = [i for i in places if association.tracks[i].alive]
        iou_DN = ious([d.box_xyxy for d in kept], [places[i] for i in tracks])
        # A box that a track takes is where it is: what was foreseen need only be near.
        for row, column in _pairs(iou_DN, rule.associated_iou):
            places[tracks[column]] = kept[row].box_xyxy
            last[tracks[column]] = [*last[tracks[column]][-1:], (frame_idx, np.array(kept[row].box_xyxy))]
        for track in association.look(frame_idx, detections, {i: places[i] for i in tracks}):
            last[track.object_id] = [(frame_idx, np.array(track.detection.box_xyxy))]
    return association.kept()


def suppressed(detections: Sequence[Detection], most_iou: float) -> list[Detection]:
    """Leave out each box that covers a better one by more than `most_iou`, whatever it is of; best first."""
    ranked = sorted(detections, key=lambda d: -d.score)
    iou_DD = ious([d.box_xyxy for d in ranked], [d.box_xyxy for d in ranked])
    kept: list[int] = []
    for number in range(len(ranked)):
        if all(iou_DD[number, better] <= most_iou for better in kept):
            kept.append(number)
    return [ranked[number] for number in kept]


def ious(first: Sequence[Box], second: Sequence[Box]) -> Floats:
    """Return the IoU of each pair of boxes (D, N)."""
    a_D14 = np.array(first, np.float64).reshape(-1, 1, 4)
    b_1N4 = np.array(second, np.float64).reshape(1, -1, 4)
    corner_DN2 = np.maximum(a_D14[..., :2], b_1N4[..., :2])
    both_DN = np.prod(np.maximum(np.minimum(a_D14[..., 2:], b_1N4[..., 2:]) - corner_DN2, 0), axis=-1)
    area_D1, area_1N = (np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (a_D14, b_1N4))
    share_DN: Floats = both_DN / np.maximum(area_D1 + area_1N - both_DN, 1e-9)
    return share_DN


def _pairs(iou_DN: Floats, least: float) -> Iterator[tuple[int, int]]:
    """Yield pairs, best first, each row and column once."""
    rows, columns = set[int](), set[int]()
    for at in np.argsort(-iou_DN, axis=None, kind="stable"):
        row, column = divmod(int(at), iou_DN.shape[1])
        if iou_DN[row, column] < least:
            return
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            yield row, column


def _ahead(boxes: Sequence[tuple[int, Floats]], frame_idx: int) -> Box:
    """Where a track will be on a frame, going on in a line."""
    at, box = boxes[-1]
    if len(boxes) > 1:
        before, other = boxes[-2]
        centre, earlier = (box[:2] + box[2:]) / 2, (other[:2] + other[2:]) / 2
        box = box + np.tile((centre - earlier) / max(1, at - before) * (frame_idx - at), 2)
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
