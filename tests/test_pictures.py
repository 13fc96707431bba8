"""Pictures hold what they are given, at every edge, in one style."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from isthmus import pictures

RANDOM = np.random.default_rng(0)
GREY = RANDOM.random((6, 8, 5))
COLOUR = RANDOM.random((6, 8, 5, 3))
POINTS = RANDOM.normal(size=(60, 2))


def drawn(figure):
    """Draw it for real: layout and fonts fail only then."""
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return figure


def test_pyplot_is_never_imported():
    code = "import sys, isthmus.pictures, isthmus.report; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loss_curves_show_both_figures_of_both_parts():
    history = [{"epoch": 0, "validation_cost": 3.0, "validation_error": 2.0}]
    history += [
        {"epoch": e, "cost": 3 - e, "error": 2 - e, "validation_cost": 2.0, "validation_error": 1.0} for e in (1, 2)
    ]
    cost, error = drawn(pictures.loss_curves(history, "a fit")).axes
    assert [line.get_label() for line in cost.lines] == ["training", "held out"]
    assert cost.lines[0].get_xdata().tolist() == [1, 2]
    assert cost.lines[1].get_xdata().tolist() == [0, 1, 2]
    assert error.lines[0].get_ydata().tolist() == [1, 0]


def test_loss_curves_of_one_epoch_and_of_none():
    drawn(pictures.loss_curves([{"epoch": 1, "cost": 1.0, "error": 1.0}]))
    with pytest.raises(ValueError, match="history is empty"):
        pictures.loss_curves([])


def test_long_curves_leave_the_first_fall_above_the_frame():
    history = [{"epoch": e, "cost": 1000.0 if e == 1 else 1.0 + 1 / e, "error": 1.0} for e in range(1, 41)]
    cost = drawn(pictures.loss_curves(history)).axes[0]
    assert cost.get_ylim()[1] < 10


@pytest.mark.parametrize("images", [GREY, COLOUR, (GREY * 255).astype(np.uint8), GREY[:1]])
def test_image_grids_show_every_image_under_its_name(images):
    figure = drawn(pictures.image_grid([images, images], ["original", "reconstruction"], "digits"))
    assert len(figure.axes) == 2 * len(images)
    assert figure.axes[0].get_ylabel() == "original"
    assert figure.axes[len(images)].get_ylabel() == "reconstruction"
    shown = figure.axes[0].images[0].get_array()
    assert 0 <= shown.min() <= shown.max() <= 1


def test_image_grids_refuse_rows_of_different_lengths():
    with pytest.raises(ValueError, match="one title per row and rows of one length"):
        pictures.image_grid([GREY, GREY[:2]], ["a", "b"])


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (5, 5), (12, 12), (30, 24)])
def test_samples_fill_whole_lines(n, expected):
    images = RANDOM.random((n, 4, 4))
    assert len(drawn(pictures.samples_grid(images)).axes) == expected


def test_images_and_a_map_stand_side_by_side():
    figure = pictures.images_and_map([GREY, GREY], ["a", "b"], POINTS, np.arange(60) % 3, "map", "good")
    left, right = drawn(figure).subfigs
    assert len(left.axes) == 12
    assert right.axes[0].get_xlabel() == "good"


def test_heat_strips_show_rows_reconstruction_and_difference_with_gaps():
    original = RANDOM.normal(size=(50, 4))
    original[0, 0] = np.nan
    figure = drawn(pictures.heat_strip(original, original + 1, ["a", "b", "c", "a very long name of a column indeed"]))
    strips = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in strips] == ["original", "reconstruction", "difference"]
    difference = strips[2].images[0].get_array()
    assert difference.shape == (40, 4)
    assert np.allclose(difference.compressed(), 1)
    labels = [text.get_text() for text in strips[2].get_xticklabels()]
    assert labels[3].endswith("…")


def test_heat_strips_refuse_tables_that_do_not_match():
    with pytest.raises(ValueError, match="two tables of one shape and a name per column"):
        pictures.heat_strip(np.zeros((2, 3)), np.zeros((2, 3)), ["a"])


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (None, 1),
        (np.arange(60) % 3, 3),
        (np.array(["x"] * 60), 1),
        (np.arange(60) % 15, 15),
        (np.linspace(0, 1, 60), 1),
    ],
)
def test_maps_are_coloured_by_class_or_by_a_scale(labels, groups):
    figure = drawn(pictures.scatter_map(POINTS, labels, "map", "beneath"))
    axes = figure.axes[0]
    assert len(axes.collections) == groups
    assert sum(len(group.get_offsets()) for group in axes.collections) == 60
    assert (axes.get_title(), axes.get_xlabel()) == ("map", "beneath")


def test_maps_need_two_columns():
    with pytest.raises(ValueError, match=r"places of shape \(n, 2\), got \(60, 3\)"):
        pictures.scatter_map(np.zeros((60, 3)))


def test_a_panel_has_a_map_for_each_method_with_its_figures():
    figure = drawn(pictures.map_panel({"ours": POINTS, "PCA": -POINTS}, np.arange(60) % 2, {"PCA": "0.5"}))
    assert [axes.get_title() for axes in figure.axes] == ["ours", "PCA"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "0.5"]


@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_score_histograms_count_every_row_and_mark_the_threshold(spread):
    scores = np.concatenate([RANDOM.random(90) + 0.5, spread * (RANDOM.random(10) + 1)])
    axes = drawn(pictures.score_histogram(scores, 1.4, scores > 1.4)).axes[0]
    assert axes.get_xscale() == ("log" if spread > 100 else "linear")
    assert sum(patch.get_height() for patch in axes.patches) == 100
    assert axes.lines[0].get_xdata()[0] == 1.4
    named = {text.get_text() for text in axes.get_legend().get_texts()}
    assert named == {"threshold", "normal rows", "anomalies"}


def test_all_scores_alike_are_drawn():
    drawn(pictures.score_histogram(np.ones(5), 1.0))


def test_pictures_are_written_whole_and_the_same_each_time(tmp_path):
    for name in ("a.png", "a.svg"):
        first = pictures.save(pictures.scatter_map(POINTS), tmp_path / name).read_bytes()
        assert pictures.save(pictures.scatter_map(POINTS), tmp_path / name).read_bytes() == first
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 400
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_other_kinds_of_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"written as .png or .svg, got 'a.jpg'"):
        pictures.save(Figure(), tmp_path / "a.jpg")
