"""Maps of three dimensions are seen from two sides, with all that maps of two have."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus import pictures

POINTS = np.random.default_rng(0).normal(size=(60, 3))


def drawn(figure):
    figure.canvas.draw()
    return figure


def points_of(axes) -> int:
    return sum(len(shown.get_offsets()) for shown in axes.collections)


@pytest.mark.parametrize("labels", [None, np.arange(60) % 3, np.arange(60.0), [f"kind {i % 25}" for i in range(60)]])
def test_every_point_is_drawn_from_both_sides(labels):
    figure = drawn(pictures.scatter_space(POINTS, labels, "a map", "by kind"))
    assert len(figure.axes) == 2
    assert figure.axes[0].azim != figure.axes[1].azim
    assert [points_of(axes) for axes in figure.axes] == [60, 60]
    assert figure.get_suptitle() == "a map"


def test_classes_have_names_and_those_beyond_twenty_share_one():
    figure = drawn(pictures.scatter_space(POINTS, [f"kind {i % 25:02d}" for i in range(60)]))
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == "kind 00"
    assert names[-1] == "5 others"
    assert len(names) == 21


def test_numbers_are_coloured_by_a_scale():
    axes = drawn(pictures.scatter_space(POINTS, np.arange(60.0))).axes[0]
    assert len(np.unique(axes.collections[0].get_facecolors()[:, :3], axis=0)) > 30


def test_what_is_no_map_of_three_dimensions_is_refused():
    with pytest.raises(ValueError, match=r"places of shape \(n, 3\), got \(60, 2\)"):
        pictures.scatter_space(POINTS[:, :2])
    with pytest.raises(ValueError, match="a label for each of its 60 places"):
        pictures.scatter_space(POINTS, [1, 2])
