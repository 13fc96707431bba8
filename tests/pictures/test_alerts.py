"""Pictures of alerts show what they are given: counts, shares, places, numbers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Annotation
from sklearn.metrics import precision_recall_curve

from isthmus import pictures

RANDOM = np.random.default_rng(0)


def drawn(figure):
    """Draw it for real: layout and fonts fail only then."""
    figure.canvas.draw()
    return figure


def test_a_distribution_has_all_rows_in_shares_and_a_line_where_alerts_begin():
    held_out, severity = RANDOM.exponential(0.2, 300), np.append(RANDOM.exponential(0.2, 90), [40.0, -3.0])
    axes = drawn(pictures.score_distribution(held_out, severity, cut=1.5)).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5]
    held, judged = axes.patches
    assert held.get_data().values.sum() == pytest.approx(1)
    assert judged.get_data().values.sum() == pytest.approx(1)
    assert judged.get_label() == "rows judged (92)"
    assert axes.get_xlim()[0] <= -3 < 40 <= axes.get_xlim()[1]


def test_a_distribution_sets_known_anomalies_apart():
    severity, anomalous = np.arange(10.0), np.arange(10) > 7
    axes = drawn(pictures.score_distribution(severity, severity, anomalous)).axes[0]
    assert [patch.get_label() for patch in axes.patches] == ["held out (10)", "normal rows (8)", "anomalies (2)"]
    with pytest.raises(ValueError, match="anomalous must have a value for each of 10"):
        pictures.score_distribution(severity, severity, anomalous[:3])
    for bad in (np.zeros(0), np.array([np.inf])):
        with pytest.raises(ValueError, match="distances must be finite"):
            pictures.score_distribution(severity, bad)


def test_all_rows_of_one_score_are_drawn():
    drawn(pictures.score_distribution(np.zeros(5), np.zeros(5), cut=0.0))


def test_precision_and_recall_are_scikit_learns_with_the_alerts_as_a_point():
    scores, anomalous = RANDOM.integers(0, 9, 200).astype(float), RANDOM.random(200) < 0.2
    alert = scores < 2
    axes = drawn(pictures.precision_recall(scores, anomalous, alert)).axes[0]
    precision, recall, _ = precision_recall_curve(anomalous, -scores)
    curve, chance, point = axes.lines
    np.testing.assert_allclose(curve.get_xdata()[1:], recall[:-1][::-1])
    np.testing.assert_allclose(curve.get_ydata()[1:], precision[:-1][::-1])
    assert chance.get_ydata()[0] == pytest.approx(anomalous.mean())
    assert point.get_xdata()[0] == pytest.approx((alert & anomalous).sum() / anomalous.sum())
    assert point.get_ydata()[0] == pytest.approx((alert & anomalous).sum() / alert.sum())
    with pytest.raises(ValueError, match="of both kinds"):
        pictures.precision_recall(scores, np.zeros(200, bool))


def test_a_map_is_framed_by_the_other_rows_and_alerts_beyond_are_at_its_edge():
    points = np.concatenate([RANDOM.normal(size=(100, 2)), [[0.0, 0.0], [1000.0, 0.0]]])
    alert = np.arange(102) >= 100
    axes = drawn(pictures.alert_map(points, alert, np.array([101, 100]), subtitle="codes")).axes[0]
    assert axes.get_xlim()[1] < 20
    shown = {one.get_label(): one.get_offsets() for one in axes.collections}
    assert {name: len(places) for name, places in shown.items()} == {
        "other rows": 100,
        "alerts": 1,
        "alerts beyond the frame": 1,
    }
    numbers = [text.get_text() for text in axes.get_children() if isinstance(text, Annotation)]
    assert numbers == ["1", "2"]


def test_numbers_that_would_hide_one_another_are_written_as_one():
    points = np.array([[0.0, 0], [1, 1], [0.001, 0], [0, 0.001], [1, 0.999], [0.5, 0.1]])
    axes = drawn(pictures.alert_map(points, np.ones(6, bool), np.array([0, 2, 1, 3, 4, 5]))).axes[0]
    numbers = [text.get_text() for text in axes.get_children() if isinstance(text, Annotation)]
    assert numbers == ["1-2, 4", "3, 5", "6"]


def test_a_map_needs_places_in_the_plane():
    with pytest.raises(ValueError, match=r"places \(n, 2\)"):
        pictures.alert_map(np.zeros((3, 3)), np.zeros(3, bool), np.zeros(0, int))


@pytest.mark.parametrize(
    ("far", "ticks"),
    [(7.0, [-1, 0, 1, 2, 5]), (60.0, [-1, 0, 1, 2, 5, 10, 20, 50]), (4e4, [-1, 0, 1, 2, 10, 100, 1000, 10000])],
)
def test_severities_are_numbered_as_far_as_they_go(far, ticks):
    axes = pictures.score_distribution(np.array([-1.0, 0, 0.5]), np.array([0.2, far])).axes[0]
    assert axes.get_xticks().tolist() == ticks
    # Shares in per cent, no powers of ten beside them.
    assert {axes.yaxis.get_major_formatter()(share, 0) for share in (0.02, 0.5)} == {"2 %", "50 %"}
    assert not len(axes.yaxis.get_minorticklocs())
