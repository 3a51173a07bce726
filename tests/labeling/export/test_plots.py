"""Plots of a report: the line drawn is the line measured; histograms hold every masklet and say what bounds refuse."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from labeling.config import QCConfig, RuleConfig
from labeling.export.plots import (
    LEADING,
    LIGHT,
    PAGE,
    Palette,
    bounds_of,
    draw_histogram,
    draw_scores,
    dress,
    figure_png,
    figure_svg,
    leading_signals,
    thinned,
    write_scores_png,
)
from labeling.export.report import describe_bounds, finite_values, num_past
from labeling.qc.signals import COLUMNS
from labeling.types import RLE, Decision, FrameMask, QCFlag

QC = QCConfig("x", [
    RuleConfig("frozen", "ghost", "at_most", 0.3, None),
    RuleConfig("tail_loss", "late_loss", "at_most", 0.2, 0.6),
    RuleConfig("predicted_iou_softmin", "low_predicted_iou", "at_least", 0.7, 0.4),
    RuleConfig("predicted_iou_softmin", "drift", "at_least", 0.7, None),
    RuleConfig("gap_rate", "flicker", "at_most", 1.0, None),
])


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


def test_bounded_signals_lead_in_order_of_weight() -> None:
    measured = {"frozen", "tail_loss", "predicted_iou_softmin", "area_step"}
    assert leading_signals(QC, measured) == ("predicted_iou_softmin", "tail_loss", "frozen")
    assert leading_signals(QC, measured, limit=1) == ("predicted_iou_softmin",)
    assert leading_signals(QCConfig("off", []), measured) == ("predicted_iou_softmin", "area_step", "tail_loss")


def test_bounds_are_said_once_and_count_what_they_refuse() -> None:
    bounds = bounds_of(QC, "predicted_iou_softmin")
    assert bounds == ((Decision.REJECT, "at_least", 0.4), (Decision.REVIEW, "at_least", 0.7))
    assert describe_bounds(bounds) == "reject below 0.4, review below 0.7"
    assert num_past(np.array([0.1, 0.5, 0.7, 0.9]), bounds) == 2
    assert num_past(np.array([0.1, 0.2, 0.7]), bounds_of(QC, "tail_loss")) == 1


def test_every_masklet_is_in_a_bar_and_every_bound_on_the_axis() -> None:
    values = np.concatenate([np.linspace(0.5, 0.9, 400), [55.0]])
    axes = draw_histogram(values, bounds=bounds_of(QC, "predicted_iou_softmin")).axes[0]
    assert sum(bar.get_height() for bar in axes.containers[0]) == len(values)
    low, high = axes.get_xlim()
    assert low < 0.4
    assert 0.7 < high < 2


def test_values_that_are_missing_are_left_out() -> None:
    rows = [{"a": 1.0}, {"a": None}, {"b": 2.0}, {"a": float("nan")}, {"a": 3.0}]
    assert finite_values(rows, "a").tolist() == [1.0, 3.0]
    assert draw_histogram(np.array([2.0, 2.0])).axes[0].get_xlim() == (1.5, 2.5)
    with pytest.raises(ValueError, match="values is empty"):
        draw_histogram(np.array([]))


def test_names_are_those_that_the_judge_uses() -> None:
    assert set(LEADING) <= {*COLUMNS, "containment"}


def drawn(palette: Palette) -> Figure:
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    dress(axes, palette)
    axes.plot([0, 1, 2], [0, 4, 1], color=palette.first, marker="o")
    axes.fill_between([0, 2], [4, 4], color=palette.review, alpha=0.3)
    axes.set_ylabel("height")
    return figure


def test_svg_asks_the_page_for_every_colour_and_the_font() -> None:
    svg = figure_svg(drawn(PAGE), name="one")
    assert re.match(r'<svg viewBox="0 0 216 144" aria-hidden="true" focusable="false">', svg)
    assert {"first", "review", "muted", "line"} <= set(re.findall(r"var\(--([a-z]+)\)", svg))
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert "<style" not in svg
    assert "DejaVu" not in svg
    assert ">height</text>" in svg
    assert svg == figure_svg(drawn(PAGE), name="one")


def test_two_figures_on_one_page_share_no_id_and_point_at_their_own() -> None:
    ids = []
    for name in ("one", "two"):
        svg = figure_svg(drawn(PAGE), name=name)
        own = re.findall(r'\bid="([^"]+)"', svg)
        pointed = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
        assert pointed
        assert set(pointed) <= set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_png_has_the_palette_s_surface_and_the_same_bytes_each_time() -> None:
    body = figure_png(drawn(LIGHT), dots_per_inch=50)
    assert body == figure_png(drawn(LIGHT), dots_per_inch=50)
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.size == (150, 100)
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
