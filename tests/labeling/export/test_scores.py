"""The plot of one masklet's scores: the line that is drawn is the line that was measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labeling.export.scores import draw_scores, thinned, write_scores_png
from labeling.types import RLE, FrameMask, QCFlag


def frames(count: int, *, absent: range = range(0)) -> list[FrameMask]:
    return [
        FrameMask(
            10 + i, (10 + i) / 12, RLE((90, 160), "0"),
            0 if i in absent else 144, None if i in absent else (1.0, 1.0, 12.0, 12.0),
            0.5 + 0.4 * np.sin(i / 5), -4.0 if i in absent else 6.0, motion_iou=None if i < 2 else 0.7,
        )
        for i in range(count)
    ]


def test_panels_hold_the_scores_in_seconds_and_percent() -> None:
    masks = frames(30)
    quality, presence, extent = draw_scores(masks, presence_threshold=-1.0).axes
    iou, motion = quality.get_lines()[:2]
    np.testing.assert_allclose(iou.get_xdata(), [f.pts_seconds for f in masks])
    np.testing.assert_allclose(iou.get_ydata(), [f.predicted_iou for f in masks])
    assert np.isnan(motion.get_ydata()[:2]).all()
    assert list(presence.get_lines()[1].get_ydata()) == [-1.0, -1.0]
    np.testing.assert_allclose(extent.get_lines()[0].get_ydata(), 1.0)


def test_empty_stretches_and_flagged_spans_are_shaded_where_they_are() -> None:
    flag = QCFlag("swap", "compensated_iou_p5", 0.1, 0.5, (15, 18))
    whole = QCFlag("drift", "pointer_similarity_p5", 0.1, 0.5, (10, 40))
    panel = draw_scores(frames(30, absent=range(20, 24)), flags=[flag, whole]).axes[0]
    spans = sorted((patch.get_x() * 12, (patch.get_x() + patch.get_width()) * 12) for patch in panel.patches)
    np.testing.assert_allclose(spans, [(14.5, 17.5), (29.5, 33.5)])


def test_thinning_keeps_extremes_and_gaps() -> None:
    values = np.zeros(50_000)
    values[31_234], values[7] = 5.0, -3.0
    values[40_000:45_000] = np.nan
    x, y = thinned(np.arange(50_000.0), values, max_points=400)
    assert len(x) <= 400
    assert (np.diff(x) > 0).all()
    assert y[x == 31_234] == 5.0
    assert y[x == 7] == -3.0
    assert np.isnan(y[(x > 40_000) & (x < 44_900)]).all()
    assert np.isnan(y).any()


def test_the_png_is_the_same_each_time_and_one_frame_is_enough(tmp_path: Path) -> None:
    first = write_scores_png(tmp_path / "a.png", frames(40)).read_bytes()
    assert first == write_scores_png(tmp_path / "b.png", frames(40)).read_bytes()
    with Image.open(write_scores_png(tmp_path / "c.png", frames(1))) as single:
        assert single.width > single.height > 200
    with pytest.raises(ValueError, match="frames is empty"):
        draw_scores([])
