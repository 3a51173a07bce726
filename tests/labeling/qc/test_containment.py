import numpy as np
import pytest

from labeling import rle
from labeling.qc.containment import COMPARED, PAIR_COLUMNS, Overlap, containment, pair_signals


def box(left, width=10, size_hw=(30, 60)):
    mask = np.zeros(size_hw, bool)
    mask[5:15, left : left + width] = True
    return rle.encode(mask)


def test_share_of_the_smaller_mask_and_whose_it_is():
    tracks = {
        "1": {t: box(10) for t in range(10)},
        "2": {t: box(0, 20) if t >= 4 else box(40) for t in range(10)},
        "3": {t: box(19, 10) for t in range(10)},
    }
    found = containment(tracks)
    assert found["1"] == Overlap(1.0, "2", (4, 10), early=pytest.approx(0.1), late=1.0)
    assert found["2"] == Overlap(1.0, "1", (4, 10), early=0.0, late=1.0)
    assert found["3"].value == pytest.approx(0.1)
    assert found["3"].frame_span == (0, 10)


def test_apart_alone_or_never_seen_is_none():
    nothing = rle.empty((30, 60))
    found = containment({"1": {0: box(0)}, "2": {0: box(30), 1: box(0)}, "3": {0: nothing}, "4": {}})
    assert set(found.values()) == {Overlap(0.0, None, None, 0.0, 0.0)}
    assert containment({}) == {}


def test_a_brief_touch_in_a_long_track_does_not_count():
    tracks = {
        "1": {t: box(10) for t in range(200)},
        "2": {t: box(10 if t == 100 else 40) for t in range(200)},
    }
    assert containment(tracks)["1"].value == 0.0


def test_frame_indices_of_a_stride():
    found = containment({"a": {t: box(10) for t in (0, 5, 10)}, "b": {t: box(12) for t in (5, 10, 15)}})
    assert found["a"].other == "b"
    assert found["a"].value == pytest.approx(0.8)
    assert found["a"].frame_span == (5, 11)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="expected one size"):
        containment({"1": {0: box(0)}, "2": {0: box(0, size_hw=(30, 61))}})


def test_a_pair_accuses_the_thief():
    scores = dict.fromkeys(COMPARED, 0.9)
    thief, innocent = scores | {"look_seed_end": 0.2}, scores | {"stability_mean": 0.95}
    found = containment({
        "thief": {t: box(10 if t < 6 else 30) for t in range(12)}, "innocent": {t: box(30) for t in range(12)},
    })
    of_thief = pair_signals(found["thief"], thief, innocent)
    of_innocent = pair_signals(found["innocent"], innocent, thief)
    assert set(of_thief) == {"containment", *PAIR_COLUMNS}
    assert (of_thief["containment"], of_thief["containment_early"], of_thief["containment_late"]) == (1.0, 0.0, 1.0)
    assert of_thief["pair_look_seed_end"] == pytest.approx(-0.7)
    assert of_innocent["pair_look_seed_end"] == pytest.approx(0.7)
    assert of_innocent["pair_stability_mean"] == pytest.approx(0.05)


def test_a_pair_is_compared_where_there_is_one():
    scores = dict.fromkeys(COMPARED, 0.9)
    apart = pair_signals(Overlap(0.1, "2", (0, 3), 0.1, 0.1), scores, scores)
    assert (apart["containment"], apart["pair_look_seed_end"]) == (0.1, None)
    assert set(pair_signals(None, scores, None).values()) == {None}
    older = pair_signals(Overlap(1.0, "2", (0, 3)), scores, {"stability_mean": 0.5})
    assert older["pair_stability_mean"] == pytest.approx(0.4)
    assert (older["containment_late"], older["pair_look_seed_end"]) == (None, None)
