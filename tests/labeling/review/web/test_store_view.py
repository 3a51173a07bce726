"""Frames to look at first: the worst of each stretch in doubt, and where flags begin."""

from dataclasses import replace

from labeling.review.web.store_view import suspicious_frames
from labeling.types import FrameMask, QCFlag
from tests.labeling.store.made_store import mask_of


def track(ious: list[float], *, areas: dict[int, int] | None = None, unseen: tuple[int, ...] = ()) -> list[FrameMask]:
    """Every second source frame, as predicted; areas and absences where given."""
    frames = []
    for k, iou in enumerate(ious):
        made = replace(mask_of(1, k, empty=k in unseen), frame_idx=2 * k, predicted_iou=iou)
        frames.append(replace(made, area=areas[k]) if areas and k in areas else made)
    return frames


def test_the_worst_of_each_stretch() -> None:
    frames = track([0.9, 0.6, 0.4, 0.7, 0.9, 0.9, 0.7, 0.9])
    assert suspicious_frames(frames) == (4, 12)
    assert suspicious_frames(frames, iou_bound=0.5) == (4,)
    assert suspicious_frames(frames, most=1) == (4,)


def test_an_object_that_comes_or_goes_and_an_area_that_jumps() -> None:
    assert suspicious_frames(track([0.9] * 8, unseen=(3, 4))) == (6, 10)
    # Up at one frame and down at the next: one stretch.
    assert suspicious_frames(track([0.9] * 8, areas={5: 200})) == (10,)
    assert suspicious_frames(track([0.9] * 8, areas={5: 80})) == (0,)


def test_where_a_flag_begins_unless_it_is_about_the_whole_track() -> None:
    frames = track([0.9] * 8)
    flags = [QCFlag("swap", "innovation_max", 0.9, 0.7, (8, 12)), QCFlag("leak", "compensated_iou_p5", 0.4, 0.5, (0, 15))]
    assert suspicious_frames(frames, flags) == (8,)


def test_without_doubt_the_frame_that_the_network_likes_least() -> None:
    assert suspicious_frames(track([0.95, 0.9, 0.99])) == (2,)
    assert suspicious_frames([]) == ()
