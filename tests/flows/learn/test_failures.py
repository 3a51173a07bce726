"""What wrong masks cover, by hand on strips of twelve pixels, and the long-term measures by hand on ten frames."""

import numpy as np
import pytest

from flows.learn.accuracy import measure_track, summarize
from flows.learn.failures import Failure, LongTerm, frame_failure, track_failure

SWAP, DRIFT, BOUNDARY, LOST = Failure.swap, Failure.drift, Failure.boundary, Failure.lost


def strip(pixels: str) -> np.ndarray:
    """A frame of one row; `x` is in the mask."""
    return np.array([[pixel == "x" for pixel in pixels]])


OBJECT = "xxxx........"
OTHERS = ".....xxxx..."


@pytest.mark.parametrize(
    ("found", "true", "others", "expected"),
    [
        ("xxxx........", OBJECT, OTHERS, None),
        ("xx..........", OBJECT, OTHERS, None),             # J 0.5 is right
        ("............", OBJECT, OTHERS, LOST),
        (".....xxxx...", OBJECT, OTHERS, SWAP),
        ("...x.xxxx...", OBJECT, OTHERS, SWAP),             # four of five on another object
        ("....xxxx....", OBJECT, OTHERS, SWAP),             # three of four
        (".........xxx", OBJECT, OTHERS, DRIFT),
        ("....x....xx.", OBJECT, OTHERS, DRIFT),
        ("........xx..", OBJECT, OTHERS, DRIFT),            # half on another object is not most of it
        ("...x.....xx.", OBJECT, OTHERS, DRIFT),            # a third on the object
        ("x...........", OBJECT, OTHERS, BOUNDARY),         # a part: J 0.25
        ("...xx.......", OBJECT, OTHERS, BOUNDARY),         # half on the object
        ("xxxx.....xxx", OBJECT, "............", None),     # J 4/7
        ("xxxxx....xxx", "xxx.........", OTHERS, BOUNDARY),     # too much: all of the object, J 3/8
        ("xxxxxxxxxxxx", OBJECT, OTHERS, BOUNDARY),         # everything: a third on another object, a third on ground
        ("xxxx.xxxx...", "xxx.........", ".....xxxx...", BOUNDARY),     # half on another object, all of the object in it
        ("..xxxxxxx...", "..x.........", ".....xxxx...", SWAP),         # four of seven on another object
        ("xxxx........", "............", OTHERS, DRIFT),    # the object is away
        (".....xxxx...", "............", OTHERS, SWAP),
        ("............", "............", OTHERS, None),
        ("xxxxxxxx....", "xxx.........", "xxxxxxxx....", SWAP),         # five on others alone; three are the object's too
        ("xxxxx.......", "xx..........", "xxxxx.......", SWAP),
        ("xxxx.......x", "xx..........", "xxxx........", BOUNDARY),     # two of five on others alone
    ],
)
def test_a_wrong_mask_is_named_by_what_it_covers(found: str, true: str, others: str, expected: Failure | None) -> None:
    found_HW, true_HW = strip(found), strip(true)
    union = int((found_HW | true_HW).sum())
    j = int((found_HW & true_HW).sum()) / union if union else 1.0
    assert frame_failure(found_HW, true_HW, strip(others), j=j) is expected


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([None] * 4, None),
        ([None, SWAP, SWAP, LOST], SWAP),
        ([None, SWAP, LOST, LOST], LOST),
        ([None, LOST, DRIFT, LOST, DRIFT], DRIFT),              # the first named of two as common
        ([SWAP, SWAP, None, None], Failure.seed),               # none right in the first two of four
        ([SWAP, SWAP, None, None, None], SWAP),                 # one of the first three of five is
        ([LOST, LOST, LOST], Failure.seed),
        ([DRIFT], Failure.seed),
        ([BOUNDARY, None, BOUNDARY], BOUNDARY),
    ],
)
def test_a_track_is_named_by_its_frames(failures: list[Failure | None], expected: Failure | None) -> None:
    assert track_failure(failures, [True] * len(failures)) is expected


def test_frames_that_show_nothing_do_not_make_a_start_right() -> None:
    # Away and noticed on two frames, then wrong on two: of those shown, none is right.
    assert track_failure([None, None, DRIFT, DRIFT], [False, False, True, True]) is Failure.seed
    assert track_failure([None, None, DRIFT, DRIFT], [True, True, True, True]) is DRIFT


def test_long_term_measures_by_hand() -> None:
    j = [0.9, 0.5, 0.49, 0.1, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    found = [True, True, True, True, True, False, False, True, False, False]
    present = [True, True, True, True, True, True, True, False, False, False]
    counts = LongTerm.of(j, found, present)
    assert counts == LongTerm(right=2, elsewhere=3, missed=2, imagined=1, noticed=2)
    assert (counts.nre, counts.dre, counts.adq) == (2 / 7, 3 / 7, 2 / 3)
    both = LongTerm.total([counts, LongTerm(right=1, imagined=1)])
    assert (both.nre, both.dre, both.adq) == (2 / 8, 3 / 8, 2 / 4)
    assert (LongTerm(right=3).adq, LongTerm(noticed=3).nre, LongTerm(noticed=3).dre) == (None, None, None)


def track(found: list[str], true: str = OBJECT, others: str | None = OTHERS):
    masks = np.stack([strip(pixels) for pixels in found])
    true_THW = np.stack([strip(true)] * len(found))
    others_THW = None if others is None else np.stack([strip(others)] * len(found))
    return measure_track("clip", 0, prompt_frame=0, found_THW=masks, true_THW=true_THW, others_THW=others_THW)


def test_tracks_are_counted_by_what_went_wrong() -> None:
    nothing = "." * 12
    swapped, lost, wrong = track([OBJECT, OTHERS, OTHERS]), track([OBJECT, nothing, nothing]), track([OTHERS, OTHERS, OTHERS])
    fair, good = track([OBJECT, OBJECT, OTHERS]), track([OBJECT] * 3)
    assert [t.failure for t in (swapped, lost, wrong, fair, good)] == [SWAP, LOST, Failure.seed, None, None]
    assert fair.failure_per_frame == (None, None, SWAP)     # a mean J of 2/3 is not bad
    summary = summarize([swapped, lost, wrong, fair, good])
    assert summary.failures == {"swap": 1, "drift": 0, "boundary": 0, "lost": 1, "seed": 1}
    assert summary.bad_tracks == 3
    # Of 15 frames 7 are right, 2 missed, 6 elsewhere.
    assert (summary.nre, summary.dre, summary.adq) == (2 / 15, 6 / 15, None)


def test_without_the_truth_of_others_a_swap_is_drift() -> None:
    assert track([OBJECT, OTHERS, OTHERS], others=None).failure is DRIFT
    with pytest.raises(ValueError, match=r"others_THW has shape \(1, 1, 12\)"):
        measure_track(
            "c", 0, prompt_frame=0, found_THW=np.ones((2, 1, 12), bool), true_THW=np.ones((2, 1, 12), bool),
            others_THW=np.ones((1, 1, 12), bool),
        )
