import math
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from labeling.qc.signals import COLUMNS, FIRST_COLUMNS, LATER_COLUMNS, SignalMeter
from tests.labeling.qc.boxes import NOTHING, SIZE_HW, box_mask, follow, frame, measured

SIGNALS_OF_QUALITY = {
    "predicted_iou_softmin", "predicted_iou_low_run_s", "presence_conflict", "presence_dither", "innovation_p95",
    "innovation_max", "motion_iou_p5", "compensated_iou_min", "compensated_iou_p5", "area_jump_max", "area_jump_share",
    "area_step", "shape_step", "fragmentation_max", "fragmentation_share", "holes_max", "gap_rate", "unexplained_absence",
    "tail_loss", "reentry_mismatch", "frozen", "border_share", "stability_p5", "candidate_gap_p5", "pointer_similarity_p5",
    "object_score_min", "object_score_median", "area_median", "area_min_share", "visible_share", "num_frames",
}  # fmt: skip


def test_columns_hold_every_signal_once_and_in_order():
    assert set(COLUMNS) >= SIGNALS_OF_QUALITY
    assert len(set(COLUMNS)) == len(COLUMNS)
    found = follow([box_mask(5 + t) for t in range(4)])
    assert tuple(found.values) == COLUMNS
    assert set(found.spans) <= set(COLUMNS)


def test_a_steady_move_is_no_event():
    found = follow([box_mask(5 + 2 * t) for t in range(20)], motion_iou=0.8, stability=0.9, candidate_gap=0.3)
    v = found.values
    assert (v["num_frames"], v["visible_frames"], v["visible_share"], v["area_median"]) == (20, 20, 1.0, 100)
    assert v["innovation_max"] == pytest.approx(0.0, abs=1e-9)
    assert v["compensated_iou_min"] == v["compensated_iou_p5"] == 1.0
    for name in ("area_jump_max", "area_step", "frozen", "gap_rate", "tail_loss", "fragmentation_max", "holes_max"):
        assert v[name] == pytest.approx(0.0, abs=1e-9), name
    assert v["shape_step"] == pytest.approx(0.0, abs=1e-9)
    assert v["reentry_mismatch"] is None
    assert (v["motion_iou_p5"], v["stability_p5"], v["candidate_gap_p5"]) == pytest.approx((0.8, 0.9, 0.3))
    assert v["pointer_similarity_p5"] is None


def test_innovation_is_in_object_lengths_with_its_place():
    lefts = [10, 11, 12, 33, 34, 35]
    found = follow([box_mask(left) for left in lefts])
    assert found.values["innovation_max"] == pytest.approx(20 / 10)
    assert found.spans["innovation_max"] == (1, 4)
    many = follow([box_mask(5 + t // 2) for t in range(60)] + [box_mask(10)])
    assert many.values["innovation_max"] > 2.0
    assert many.values["innovation_p95"] < 0.2
    # The jump itself is taken out of the overlap.
    assert found.values["compensated_iou_min"] == 1.0


def test_area_jump_and_compensated_overlap_name_the_pair():
    found = follow([box_mask(10)] * 3 + [box_mask(10, width=20)] * 3)
    assert found.values["area_jump_max"] == pytest.approx(math.log(2))
    assert found.values["area_jump_share"] == pytest.approx(1 / 5)
    assert found.values["compensated_iou_min"] == pytest.approx(0.5)
    assert found.spans["area_jump_max"] == found.spans["compensated_iou_min"] == (2, 4)
    assert found.values["area_min_share"] == pytest.approx(100 / 150)


def test_steps_need_five_frames_on_either_side():
    masks = [box_mask(10 + t) for t in range(6)] + [box_mask(10 + t, width=20, height=5) for t in range(6)]
    found = follow(masks)
    assert found.values["area_step"] == pytest.approx(0.0, abs=1e-9)
    assert found.values["shape_step"] == pytest.approx(math.log(4), abs=0.02)
    assert found.spans["shape_step"] == (5, 7)
    assert follow(masks[:9]).values["shape_step"] is None
    halves = [box_mask(10)] * 6 + [box_mask(10, width=6)] * 6
    assert follow(halves).values["area_step"] == pytest.approx(math.log(10 / 6))


def test_soft_minimum_and_low_run_of_predicted_iou():
    quality = [0.9, 0.7, 0.9, 0.5, 0.6, 0.7, 0.9]
    found = follow([box_mask()] * 7, predicted_iou=quality)
    assert found.values["predicted_iou_softmin"] == pytest.approx(-0.1 * math.log(np.mean(np.exp(-np.array(quality) / 0.1))))
    assert found.spans["predicted_iou_softmin"] == (3, 4)
    assert found.values["predicted_iou_low_run_s"] == pytest.approx(0.3)
    assert found.spans["predicted_iou_low_run_s"] == (3, 6)
    # A run that lasts to the end goes on for one more step.
    assert follow([box_mask()] * 4, predicted_iou=[0.9, 0.9, 0.5, 0.5]).values["predicted_iou_low_run_s"] == pytest.approx(0.2)
    # Absent frames do not count: their predicted IoU was never trained.
    absent = follow([box_mask(), NOTHING, box_mask()], predicted_iou=[0.9, 0.1, 0.9]).values
    assert absent["predicted_iou_softmin"] == pytest.approx(0.9)
    assert absent["predicted_iou_low_run_s"] == 0.0


def test_what_slides_behind_something_or_out_of_the_frame_is_no_jump():
    behind = [box_mask(2 + 2 * t, 10, 12, 12) for t in range(24)]
    for mask in behind:
        mask[:, 26:42] = False
    v = follow(behind).values
    assert v["area_jump_max"] < 0.45
    assert v["innovation_max"] < 0.5
    assert v["compensated_iou_min"] > 0.6
    assert v["reentry_mismatch"] < 1.0
    leaving = follow([box_mask(30 + 2 * t) for t in range(15)]).values
    assert leaving["area_jump_max"] < 0.4
    assert leaving["area_step"] < 0.3


def test_parts_holes_and_stillness():
    two = box_mask(5, width=20) | box_mask(40, width=5, height=5)
    ring = box_mask(20, width=9, height=9) & ~box_mask(23, 13, 3, 3)
    found = follow([two, two, two, box_mask(20), ring])
    assert found.values["fragmentation_max"] == pytest.approx(25 / 225)
    assert found.values["fragmentation_share"] == pytest.approx(3 / 5)
    assert found.spans["fragmentation_share"] == (0, 3)
    assert found.values["holes_max"] == 1
    assert found.spans["holes_max"] == (4, 5)
    assert found.values["frozen"] == pytest.approx(2 / 4)
    assert found.spans["frozen"] == (0, 3)


def test_a_stride_makes_spans_of_source_frames():
    lefts = [10, 11, 12, 33, 34, 35]
    found = measured([frame(3 * t + 6, box_mask(left)) for t, left in enumerate(lefts)])
    assert found.spans["innovation_max"] == (9, 16)
    low = measured([frame(3 * t, box_mask(), predicted_iou=0.5 if t in (2, 3) else 0.9) for t in range(6)])
    assert low.values["predicted_iou_low_run_s"] == pytest.approx(0.6)
    assert low.spans["predicted_iou_low_run_s"] == (6, 10)


def test_nothing_to_measure_is_none_not_nan():
    none = measured([])
    assert none.values["num_frames"] == none.values["visible_share"] == 0.0
    never = follow([NOTHING] * 5)
    assert never.values["visible_frames"] == 0.0
    assert never.values["area_median"] is None
    assert never.values["predicted_iou_softmin"] is None
    assert never.values["gap_rate"] is None
    one = follow([box_mask()])
    assert one.values["innovation_max"] is None
    assert one.values["compensated_iou_min"] is None
    assert one.values["predicted_iou_low_run_s"] == 0.0
    for found in (none, never, one):
        assert all(v is None or math.isfinite(v) for v in found.values.values())
        assert not {k for k in found.spans if found.values[k] is None}


def test_frames_that_do_not_fit_are_refused():
    meter = SignalMeter(SIZE_HW, Fraction(10), -1.0)
    meter.add(frame(4, box_mask()))
    with pytest.raises(ValueError, match="frame_idx is 4 after 4"):
        meter.add(frame(4, box_mask()))
    with pytest.raises(ValueError, match=r"size_hw \(4, 4\); expected \(40, 60\)"):
        meter.add(frame(5, np.ones((4, 4), bool)))
    with pytest.raises(ValueError, match="frame_rate is 0"):
        SignalMeter(SIZE_HW, 0, -1.0)
    with pytest.raises(ValueError, match="presence_threshold is nan"):
        SignalMeter(SIZE_HW, 10, math.nan)


def test_signals_so_far_do_not_disturb_what_follows():
    frames = [frame(t, box_mask(5 + t)) for t in range(12)]
    meter = SignalMeter(SIZE_HW, 10, -1.0)
    for one in frames:
        meter.add(one)
        meter.signals()
    assert meter.signals() == measured(frames)


def test_a_long_video_keeps_numbers_only():
    frames = [frame(t, box_mask(5 + t % 30)) for t in range(150)]
    meter = SignalMeter(SIZE_HW, 10, -1.0)
    meter.add(frames[0])
    tracemalloc.start()
    for one in frames[1:]:
        meter.add(one)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept / len(frames) < 400


def test_a_full_hd_mask_is_measured_within_milliseconds():
    ys, xs = np.mgrid[:1080, :1920]
    masks = [((xs - 900 - 7 * t) / 300) ** 2 + ((ys - 500) / 220) ** 2 < 1 for t in range(6)]
    frames = [frame(t, mask) for t, mask in enumerate(masks)]
    meter = SignalMeter((1080, 1920), 10, -1.0)
    seconds = []
    for one in frames:
        start = time.process_time()
        meter.add(one)
        seconds.append(time.process_time() - start)
    # About 0.5 ms where it was measured; the bound only keeps out work on pixels.
    assert min(seconds) < 0.004


def test_later_columns_come_after_the_first_ones():
    assert (*FIRST_COLUMNS, *LATER_COLUMNS) == COLUMNS
    assert len(FIRST_COLUMNS) == 33


def test_sums_of_scores_are_of_visible_frames():
    quality = [0.9, 0.8, 0.7, 0.1, 0.6, 0.5, 0.4, 0.3, 0.2]
    masks = [NOTHING if t == 3 else box_mask(5 + t) for t in range(9)]
    found = follow(masks, predicted_iou=quality, stability=[1.0] * 5 + [0.8] * 4)
    visible = quality[:3] + quality[4:]
    assert found.values["predicted_iou_mean"] == pytest.approx(np.mean(visible))
    assert found.values["predicted_iou_p10"] == pytest.approx(np.percentile(visible, 10))
    assert found.values["predicted_iou_end"] == pytest.approx(0.25)
    assert found.spans["predicted_iou_end"] == (7, 9)
    assert found.values["stability_mean"] == pytest.approx(0.9)
    assert found.values["extent_median"] == pytest.approx(0.0)


def test_looks_are_summed_up():
    seed, ring, other = [1.0] * 6 + [0.2] * 2, [0.1] * 8, [0.3] * 6 + [0.9] * 2
    edge = [0.8] * 6 + [-0.4] * 2
    looks = {"look_seed": seed, "look_ring": ring, "look_other": other, "edge_gradient": edge}
    found = follow([box_mask(5 + t) for t in range(8)], **looks)
    expected = {
        "look_seed_mean": 0.8, "look_seed_end": 0.2, "look_ring_mean": 0.1, "look_contrast_end": 0.1, "look_lead_end": -0.7,
        "edge_gradient_mean": 0.5, "edge_gradient_change": -1.2, "look_contrast_p10": 0.1, "look_lead_p10": -0.7,
        "edge_gradient_p10": -0.4,
    }
    assert {name: found.values[name] for name in expected} == pytest.approx(expected)
    assert found.spans["look_lead_end"] == (6, 8)
    assert found.values["colour_seed_mean"] is None


def test_without_looks_there_are_none():
    found = follow([box_mask(5 + t) for t in range(4)])
    looks = [name for name in COLUMNS if name.startswith(("look_", "colour_", "edge_"))]
    assert len(looks) == 15
    assert {found.values[name] for name in looks} == {None}


def test_cuts_that_a_track_passes_are_counted_and_placed():
    meter = SignalMeter(SIZE_HW, Fraction(10), -1.0)
    assert meter.signals_of_cuts([3]).values == {"cut": 0.0}
    for frame_idx in (4, 6, 8, 10):
        meter.add(frame(frame_idx, box_mask()))
    signals = meter.signals_of_cuts([12, 7, 10, 4])
    assert (signals.values, signals.spans) == ({"cut": 2.0}, {"cut": (6, 9)})
    assert meter.signals_of_cuts([]).spans == {}
    assert meter.signals().values["cut"] is None
