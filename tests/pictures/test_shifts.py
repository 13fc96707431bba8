"""Pictures of what moved: that what is drawn is what was counted."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.modalities.sketches import sketch_numbers
from isthmus.pictures import shift_of_categories, shift_of_numbers
from isthmus.pictures.shifts import _curves


def counted(fitted, now, n_points=128):
    sketch = sketch_numbers(fitted, n_points)
    points = np.array(sketch["points"])
    edges = np.concatenate([[-np.inf], np.nextafter(points[:1], -np.inf), points, [np.inf]])
    counts = [
        np.array([((x > a) & (x <= b)).sum() for a, b in zip(edges, edges[1:], strict=False)]) for x in (fitted, now)
    ]
    return points, *counts, (float(now.min()), float(now.max()))


@pytest.mark.parametrize("whole", [False, True])
def test_the_curves_pass_through_the_shares_at_the_points(whole):
    random = np.random.default_rng(0)
    fitted, now = random.normal(3, 2, 500), random.normal(4, 2, 300)
    if whole:
        fitted, now = np.rint(fitted), np.rint(now)
    points, *rest = counted(fitted, now)
    places, curves = _curves(points, *rest)
    assert (np.diff(places) >= 0).all()
    for values, curve in zip((fitted, now), curves, strict=True):
        assert (np.diff(curve) >= 0).all()
        np.testing.assert_allclose(np.interp(points, places, curve), [(values <= point).mean() for point in points])
        assert np.interp(points[0] - 1e-3, places, curve) <= (values < points[0]).mean() + 1e-9


@pytest.mark.parametrize("fitted", [np.full(50, 3.0), np.arange(50.0), np.exp(np.linspace(-8, 8, 400))])
@pytest.mark.parametrize("shift", [0.0, 5.0, -100.0])
def test_every_distribution_can_be_drawn(fitted, shift):
    figure = shift_of_numbers(*counted(fitted, fitted + shift))
    shares, cumulative = figure.axes
    assert len(cumulative.lines) == 2
    assert shares.get_xlim()[0] < shares.get_xlim()[1]


def test_of_many_categories_those_that_moved_most_are_drawn():
    names = [f"c{i}" for i in range(40)]
    fitted = np.full(40, 10)
    now = fitted.copy()
    now[[3, 17]] = 200, 0
    axes = shift_of_categories(names, fitted, now).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 12
    assert {"c3", "c17"} <= set(shown)
    assert shown[0] == "c3"


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"p \+ 2 counts"):
        shift_of_numbers(np.arange(3.0), np.ones(3, int), np.ones(3, int), (0.0, 1.0))
    with pytest.raises(ValueError, match="at least one number"):
        shift_of_numbers(np.arange(3.0), np.ones(5, int), np.zeros(5, int), (0.0, 1.0))
    with pytest.raises(ValueError, match="two counts"):
        shift_of_categories(["a"], np.ones(2), np.ones(2))
