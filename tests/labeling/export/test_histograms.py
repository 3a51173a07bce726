"""Histograms of signals: which are shown, what their bounds refuse, and that no masklet falls off the axis."""

import numpy as np
import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.export.histograms import (
    LEADING,
    bounds_of,
    describe_bounds,
    draw_histogram,
    finite_values,
    leading_signals,
    num_past,
)
from labeling.qc.signals import COLUMNS
from labeling.types import Decision

QC = QCConfig("x", [
    RuleConfig("frozen", "ghost", "at_most", 0.3, None),
    RuleConfig("tail_loss", "late_loss", "at_most", 0.2, 0.6),
    RuleConfig("predicted_iou_softmin", "low_predicted_iou", "at_least", 0.7, 0.4),
    RuleConfig("predicted_iou_softmin", "drift", "at_least", 0.7, None),
    RuleConfig("gap_rate", "flicker", "at_most", 1.0, None),
])


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
