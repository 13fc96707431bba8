"""Pictures of watched series: what is marked where."""

import numpy as np
import pytest

from isthmus import pictures

VALUES = np.random.default_rng(0).normal(size=(50, 5)).cumsum(0)
ALARM = {"start": 20, "end": 30, "rang": 22}


def test_alarms_are_marked_in_every_panel_and_named_once(tmp_path):
    figure = pictures.alarm_strip(VALUES, -np.ones(50), -2.0, [ALARM, ALARM], expected=VALUES, known=[(3, 5)])
    # Three of the five channels, and the costs.
    assert len(figure.axes) == 4
    for axes in figure.axes:
        spans = sorted({round(float(patch.get_extents().x0)) for patch in axes.patches})
        assert len(axes.patches) == 3 and len(spans) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(texts) == ["alarm", "expected", "labelled anomaly", "threshold"]
    assert pictures.save(figure, tmp_path / "alarms.png").stat().st_size > 5_000


def test_times_are_the_axis_where_they_are_known():
    times = np.datetime64("2026-01-01") + np.arange(50)
    figure = pictures.alarm_strip(VALUES[:, :1], -np.ones(50), -2.0, [], times=times, names=["load"])
    assert figure.axes[0].get_ylabel() == "load"
    assert figure.axes[-1].get_xlabel() == ""


def test_a_score_for_each_step_is_needed():
    with pytest.raises(ValueError, match="49 scores"):
        pictures.alarm_strip(VALUES, np.zeros(49), -1.0, [])
