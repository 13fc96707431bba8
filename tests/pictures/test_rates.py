"""Pictures of codecs: what is drawn is what was given, each pixel a square."""

import numpy as np
import pytest
from PIL import Image

from isthmus import pictures
from isthmus.pictures.rates import detail

CURVES = {
    "ours": (np.array([0.4, 0.1, 0.2]), np.array([34.0, 28.0, 31.0])),
    "JPEG": (np.array([0.05, 0.2, 0.8]), np.array([20.0, 29.0, 36.0])),
}


def test_the_first_curve_sets_the_axes_and_points_are_in_order():
    (axes,) = pictures.rate_distortion(CURVES, "title").axes
    ours, jpeg = axes.lines
    assert ours.get_xdata().tolist() == [0.1, 0.2, 0.4] and ours.get_ydata().tolist() == [28, 31, 34]
    assert ours.get_linewidth() > jpeg.get_linewidth()
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == pytest.approx((0.08, 0.5))
    assert 27 < axes.get_ylim()[0] < 28 and 34 < axes.get_ylim()[1] < 35


def test_a_curve_of_one_point_is_drawn():
    (axes,) = pictures.rate_distortion({"ours": (np.array([0.3]), np.array([30.0]))}).axes
    assert axes.get_ylim() == (29, 31)


def test_detail_is_where_most_of_it_is():
    image = np.full((60, 80), 128, np.uint8)
    image[30:46, 50:66] = np.random.default_rng(0).integers(0, 256, (16, 16))
    image[:, 10] = 255  # one hard line counts for less
    rows, columns = detail(image, 16)
    assert abs(rows.start - 30) <= 1 and abs(columns.start - 50) <= 1
    assert (rows.stop - rows.start, columns.stop - columns.start) == (16, 16)
    assert detail(image[:5, :9], 16) == (slice(0, 5), slice(0, 9))
    assert detail(image[:1, :1], 16) == (slice(0, 1), slice(0, 1))


@pytest.mark.parametrize("grey", [False, True])
def test_crops_show_each_pixel_as_a_square(grey, tmp_path):
    random = np.random.default_rng(0)
    shape = (40, 50) if grey else (40, 50, 3)
    rows = [[random.integers(0, 256, shape, np.uint8) for _ in range(3)] for _ in range(2)]
    figure = pictures.crops(rows, ["a", "b", "c"], [["x"] * 3] * 2, "a title", side=20)
    pictures.save(figure, tmp_path / "crops.png")
    with Image.open(tmp_path / "crops.png") as opened:
        drawn = np.asarray(opened.convert("RGB"))
    for place, axes in enumerate(figure.axes):
        row, column = divmod(place, 3)
        cut = rows[row][column][detail(rows[row][0], 20)]
        box = axes.get_window_extent()
        assert (round(box.width), round(box.height)) == (8 * 20, 8 * 20)
        top, left = drawn.shape[0] - round(box.y1), round(box.x0)
        middles = drawn[top + 4 : top + 160 : 8, left + 4 : left + 160 : 8]
        assert np.array_equal(middles, np.dstack([cut] * 3) if grey else cut)


def test_what_cannot_be_drawn_is_refused():
    image = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="the curve of a method at least"):
        pictures.rate_distortion({})
    with pytest.raises(ValueError, match="x: rates must be positive"):
        pictures.rate_distortion({"x": (np.array([0.0]), np.array([1.0]))})
    with pytest.raises(ValueError, match="each of 2 methods"):
        pictures.crops([[image]], ["a", "b"], [["", ""]])
    with pytest.raises(ValueError, match="one image several times"):
        pictures.crops([[image, image[1:]]], ["a", "b"], [["", ""]])
    with pytest.raises(ValueError, match="one image several times"):
        pictures.crops([[image / 2, image / 2]], ["a", "b"], [["", ""]])
