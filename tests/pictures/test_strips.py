"""Strips show each image asked about beside what was found for it."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus import pictures

RANDOM = np.random.default_rng(0)
QUERIES, FOUND = RANDOM.random((3, 8, 5)), RANDOM.random((3, 4, 8, 5))


def drawn(figure):
    figure.canvas.draw()
    return figure


@pytest.mark.parametrize("colour", [(), (1,), (3,)])
def test_every_image_is_drawn_with_its_caption(colour):
    queries, found = RANDOM.random((3, 8, 5, *colour)), RANDOM.random((3, 4, 8, 5, *colour))
    captions = [[f"{i}{j}" for j in range(4)] for i in range(3)]
    figure = drawn(pictures.similar_strip(queries, found, captions, ["a", "b", "c"], "like these"))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 3 * 5
    assert [axes.get_ylabel() for axes in shown[::5]] == ["a", "b", "c"]
    assert [axes.get_xlabel() for axes in shown[1:5]] == ["00", "01", "02", "03"]
    assert figure.get_suptitle() == "like these"


def test_the_image_asked_about_is_in_a_frame_and_the_others_are_not():
    figure = drawn(pictures.similar_strip(QUERIES, FOUND))
    shown = [axes for axes in figure.axes if axes.images]
    framed = [axes.spines["left"].get_visible() for axes in shown]
    assert framed == [True, False, False, False, False] * 3


def test_what_was_found_is_drawn_in_the_range_of_what_was_asked_about():
    figure = drawn(pictures.similar_strip(np.full((1, 4, 4), 255, np.uint8), np.full((1, 1, 4, 4), 51, np.uint8)))
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert float(shown[0].max()) == 1
    assert float(shown[1].max()) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("queries", "found", "more", "said"),
    [
        (QUERIES[0], FOUND, {}, "images are"),
        (QUERIES[:0], FOUND[:0], {}, "at least one"),
        (QUERIES, FOUND[:2], {}, "found must hold images"),
        (QUERIES, FOUND[:, :0], {}, "found must hold images"),
        (QUERIES, FOUND[..., :3], {}, "found must hold images"),
        (QUERIES, FOUND, {"captions": [["a"] * 3] * 3}, "a caption for each"),
        (QUERIES, FOUND, {"titles": ["a"]}, "a title for each row"),
    ],
)
def test_what_does_not_fit_together_is_refused(queries, found, more, said):
    with pytest.raises(ValueError, match=said):
        pictures.similar_strip(queries, found, **more)
