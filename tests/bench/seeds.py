"""How well objects are found by a detector that errs, on drawn scenes: `python -m tests.bench.seeds [SCENES] [truth|nano]`.

Of each box that is there the detector misses one in five and doubles one in ten, a few pixels off. What is found is followed by
the shipped tracker (`nano`), or by the truth, which leaves the association alone. An object counts that shows 0.25 % of the
frame on five looks or more; a ghost is a seed with a box IoU below 0.5 with all objects, or the second one of an object.
"""

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flows.learn.small_detector import drawn_scene
from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.track.association import Association, AssociationRule, Candidate, Detection, ious
from labeling.track.finding import associated
from labeling.track.predictor import arithmetic, build_predictor, recipe_of
from labeling.types import Box
from sam2.training.scenes.scene import draw_frame

SIZE_HW = (192, 256)
LOOKS = 24
LEAST_SHARE, LEAST_LOOKS = 0.0025, 5
FIRST_SCENE = 5_000_000
MISSED, DOUBLED = 0.2, 0.1
Truth = list[dict[int, Box]]


class Drawn:
    """A scene as a video of 24 frames, and where each object is to be seen."""

    def __init__(self, seed: int) -> None:
        scene = drawn_scene(seed, SIZE_HW)
        drawn = [draw_frame(scene, time) for time in range(LOOKS)]
        self.frames = [frame for frame, _ in drawn]
        self.frame_indices = list(range(LOOKS))
        self.truth: Truth = [_boxes(masks_NHW) for _, masks_NHW in drawn]

    def __len__(self) -> int:
        return LOOKS

    def __getitem__(self, position: int) -> npt.NDArray[np.uint8]:
        return self.frames[position]

    def pts_seconds(self, position: int) -> float:
        return position / 5


def _boxes(masks_NHW: npt.NDArray[np.bool_]) -> dict[int, Box]:
    boxes = {}
    for number, mask_HW in enumerate(masks_NHW):
        if mask_HW.mean() >= LEAST_SHARE:
            rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
            boxes[number] = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return boxes


def erring(truth: Truth, seed: int) -> list[list[Detection]]:
    """What the detector says of each frame."""
    random = np.random.default_rng([seed, 3])
    frames = []
    for boxes in truth:
        seen = []
        for box in boxes.values():
            times = int(random.choice([0, 1, 2], p=[MISSED, 1 - MISSED - DOUBLED, DOUBLED]))
            for _ in range(times):
                x0, y0, x1, y1 = np.array(box) + random.normal(0, 0.04, 4) * np.tile((box[2] - box[0], box[3] - box[1]), 2)
                seen.append(Detection((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), float(random.uniform(0.7, 1))))
        frames.append(seen)
    return frames


def by_truth(truth: Truth, detections: Sequence[Sequence[Detection]], rule: AssociationRule) -> list[Candidate]:
    """Associate with tracks that go where their object goes; one of none stays where it began."""
    association, objects = Association(rule), dict[int, int | Box]()
    for frame_idx, seen in enumerate(detections):
        places = {}
        for object_id, thing in objects.items():
            box = truth[frame_idx].get(thing) if isinstance(thing, int) else thing
            if box is not None:
                places[object_id] = box
        for track in association.look(frame_idx, seen, places):
            number = owner(track, truth)
            objects[track.object_id] = track.detection.box_xyxy if number is None else number
    return association.kept()


def owner(track: Candidate, truth: Truth) -> int | None:
    """The object that a seed is of; None of a ghost."""
    boxes = truth[track.frame_idx]
    if not boxes:
        return None
    shares = ious([track.detection.box_xyxy], list(boxes.values()))[0]
    return list(boxes)[int(shares.argmax())] if shares.max() >= 0.5 else None


def main(scenes: str = "100", tracker: str = "truth") -> None:
    """Print what was found and what was not there."""
    rule, counts = AssociationRule(), Counter[str]()
    predictor = build_predictor(recipe_of(NetworkConfig(), PrecisionConfig(), TrackerConfig()), None, device="cpu")
    for seed in range(FIRST_SCENE, FIRST_SCENE + int(scenes)):
        video = Drawn(seed)
        detections = erring(video.truth, seed)
        if tracker == "truth":
            tracks = by_truth(video.truth, detections, rule)
        else:
            with arithmetic("fp32", device="cpu"):
                tracks = associated(predictor, video, detections, rule)
        owners = [owner(track, video.truth) for track in tracks]
        shown = Counter(number for boxes in video.truth for number in boxes)
        there = {number for number, looks in shown.items() if looks >= LEAST_LOOKS}
        counts["objects"] += len(there)
        counts["found"] += len(there & set(owners))
        counts["seeds"] += len(owners)
        counts["of nothing"] += owners.count(None)
        counts["twice"] += sum(n - 1 for number, n in Counter(owners).items() if number is not None)
    ghosts = counts["of nothing"] + counts["twice"]
    print(f"{scenes} scenes, followed by {tracker}: {counts['found']} of {counts['objects']} objects found "
          f"({counts['found'] / counts['objects']:.1%}), {ghosts} ghosts of {counts['seeds']} seeds "
          f"({ghosts / counts['seeds']:.1%}: {counts['of nothing']} of nothing, {counts['twice']} found twice)")


if __name__ == "__main__":
    main(*sys.argv[1:])
