"""Boxes become objects: doubles, ghosts and shared tracks go; what is known begins no second track."""

from collections.abc import Iterable

import pytest

from labeling.track.association import Association, AssociationRule, Detection, ious, link, suppressed
from labeling.types import Box

HERE: Box = (10, 10, 30, 30)
THERE: Box = (100, 100, 140, 140)


def seen(*boxes: Box, score: float = 0.9) -> list[Detection]:
    return [Detection(box, score) for box in boxes]


def looked(frames: Iterable[tuple[list[Detection], dict[int, Box]]]) -> list[tuple[int, int]]:
    association = Association(AssociationRule())
    for frame_idx, (detections, places) in enumerate(frames):
        association.look(frame_idx, detections, places)
    return [(track.object_id, track.frame_idx) for track in association.kept()]


def test_iou_and_suppression() -> None:
    assert ious([HERE], [HERE, (20, 10, 40, 30), THERE]).tolist() == [[1.0, pytest.approx(1 / 3), 0.0]]
    double = Detection((11, 10, 31, 30), 0.7)
    assert suppressed([double, *seen(HERE, THERE)], 0.1) == seen(HERE, THERE)
    assert ious([], [HERE]).shape == (0, 1)
    assert suppressed([], 0.1) == []


def test_one_that_is_seen_again_is_one_object_and_a_weak_box_none() -> None:
    first = (seen(HERE), {})
    assert looked([first, *[(seen(HERE), {1: HERE})] * 20]) == [(1, 0)]
    assert looked([(seen(HERE, score=0.6), {})] * 3) == []
    assert looked([first]) == [(1, 0)], "a single look decides nothing"


def test_a_young_track_that_the_detector_sees_no_more_is_a_ghost() -> None:
    first = (seen(HERE, THERE), {})
    assert looked([first, *[(seen(THERE), {1: HERE, 2: THERE})] * 8]) == [(2, 0)]
    assert looked([first, *[(seen(THERE), {1: HERE, 2: THERE})] * 2]) == [(2, 0)], "of few looks the same share decides"
    hidden = [(seen(THERE), {2: THERE})] * 20
    assert looked([first, *hidden]) == [(1, 0), (2, 0)], "one that has left is not missed"
    missed = [(seen(HERE) if k % 5 else [], {1: HERE}) for k in range(1, 30)]
    assert looked([(seen(HERE), {}), *missed]) == [(1, 0)], "one that is missed now and then stays"


def test_an_old_track_ends_but_stays_an_object() -> None:
    frames = [(seen(HERE), {}), *[(seen(HERE), {1: HERE})] * 15, *[([], {1: HERE})] * 30, (seen(HERE), {1: HERE})]
    assert looked(frames) == [(1, 0), (2, 46)]


def test_of_two_tracks_that_share_a_detection_the_younger_goes() -> None:
    near: Box = (12, 10, 32, 30)
    frames = [(seen(HERE), {}), (seen(THERE), {1: HERE}), *[(seen(HERE), {1: HERE, 2: near})] * 8]
    assert looked(frames) == [(1, 0)]


def test_boxes_alone_are_linked_along_their_way() -> None:
    def at(k: int) -> Box:
        return 5.0 * k, 10.0, 5.0 * k + 20, 30.0

    frames = [(k, seen(at(k))) for k in range(20) if k % 4 != 3]
    assert [track.frame_idx for track in link(frames, AssociationRule())] == [0]


def test_a_rule_checks_itself() -> None:
    with pytest.raises(ValueError, match="nms_iou is 2; expected a share"):
        AssociationRule(nms_iou=2)
    with pytest.raises(ValueError, match="hot_start is 0"):
        AssociationRule(hot_start=0)
