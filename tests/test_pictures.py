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


@pytest.mark.slow
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


def test_a_curve_of_one_point_is_a_point_that_can_be_seen():
    cost = drawn(pictures.loss_curves([{"epoch": 1, "cost": 1.0, "error": 1.0}])).axes[0]
    assert cost.lines[0].get_marker() == "o"
    assert all(float(tick) == int(tick) for tick in cost.get_xticks())


def test_a_history_that_ends_in_nan_or_lacks_a_figure_is_drawn():
    history = [{"epoch": e, "cost": 1.0 if e < 15 else float("nan")} for e in range(1, 20)]
    cost, error = drawn(pictures.loss_curves(history)).axes
    assert len(cost.lines) == 1
    assert error.get_legend() is None


def test_images_one_pixel_high_keep_their_colours():
    shown = drawn(pictures.image_grid([COLOUR[:, :1]], ["a"])).axes[0].images[0].get_array()
    assert shown.shape == (1, 5, 3)
    shown = drawn(pictures.samples_grid(GREY[:2, :, :1, None])).axes[0].images[0].get_array()
    assert shown.shape == (8, 1)


def test_a_missing_pixel_does_not_hide_the_others():
    images = GREY.copy()
    images[0, 0, 0] = np.nan
    shown = drawn(pictures.image_grid([images], ["a"])).axes[0].images[0].get_array()
    assert np.isfinite(shown[1:]).all()


@pytest.mark.parametrize("images", [np.zeros((2, 4)), np.zeros((2, 4, 4, 2)), np.zeros((0, 4, 4))])
def test_what_are_no_images_is_refused(images):
    for draw in (lambda: pictures.image_grid([images], ["a"]), lambda: pictures.samples_grid(images)):
        with pytest.raises(ValueError, match=r"images are \(n, h, w\)|a grid of images needs"):
            draw()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: pictures.image_grid([GREY[:1]], ["a"], "a title longer than the picture of one image"),
        lambda: pictures.samples_grid(GREY[:1], "a title longer than the picture of one image"),
        lambda: pictures.scatter_map(POINTS, None, "a long title of a map " * 5, "and what is beneath it " * 8),
        lambda: pictures.map_panel({"ours " * 20: POINTS}, np.arange(60) % 3, {"ours " * 20: "accuracy 0.5 " * 9}),
    ],
)
def test_long_titles_are_not_cut_off(draw):
    figure = drawn(draw())
    texts = [figure._suptitle] if figure._suptitle else [figure.axes[0].title, figure.axes[0].xaxis.label]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_one_image_of_one_row_stands_beside_a_map():
    assert len(drawn(pictures.images_and_map([GREY[:1]], ["a"], POINTS, None, "map", "")).subfigs) == 2


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
    assert labels[3] == "a very long…olumn indeed"


def test_of_many_columns_some_are_named_each_in_its_place():
    values = RANDOM.normal(size=(1, 120))
    figure = drawn(pictures.heat_strip(values, values, [f"column {i}" for i in range(120)]))
    axes = figure.axes[2]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == [f"column {round(place)}" for place in axes.get_xticks()]
    assert 30 < len(labels) <= 50
    assert axes.get_ylabel() == "1 row"


@pytest.mark.parametrize(("name", "turned"), [("ab", 0), ("a rather long name", 90)])
def test_names_of_columns_are_turned_only_where_they_must_be(name, turned):
    values = np.zeros((3, 8))
    axes = drawn(pictures.heat_strip(values, values, [name] * 8)).axes[2]
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {turned}


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


def test_of_many_names_the_rest_are_grey_and_none_is_lost():
    labels = np.array([f"a class with a long name {i % 25}" for i in range(60)])
    figure = drawn(pictures.scatter_map(POINTS, labels))
    groups = figure.axes[0].collections
    assert sum(len(group.get_offsets()) for group in groups) == 60
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[-1] == "5 others"
    # Names that begin alike stay apart, and none of them hides the map.
    assert len(set(named)) == len(named) == 21
    assert not figure.axes[0].texts


def test_few_short_names_stand_on_the_map_and_a_single_one_does_not_hide_its_point():
    few = drawn(pictures.scatter_map(POINTS, np.array(["cat", "dog"])[np.arange(60) % 2])).axes[0]
    assert [text.get_text() for text in few.texts] == ["cat", "dog"]
    assert not drawn(pictures.scatter_map(POINTS[:1], ["one"])).axes[0].texts


def test_a_map_needs_a_label_for_each_place():
    with pytest.raises(ValueError, match=r"a label for each of its 60 places, got \(59,\)"):
        pictures.scatter_map(POINTS, np.arange(59))


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


@pytest.mark.parametrize("score", [0.0, 1.0, 1e12])
def test_all_scores_alike_are_drawn(score):
    axes = drawn(pictures.score_histogram(np.full(5, score), score)).axes[0]
    assert sum(patch.get_height() for patch in axes.patches) == 5


def test_scores_of_zero_are_counted_on_a_logarithmic_axis():
    axes = drawn(pictures.score_histogram(np.array([0.0, 0.01, 1.0, 100.0]), 2.0)).axes[0]
    assert axes.get_xscale() == "log"
    assert sum(patch.get_height() for patch in axes.patches) == 4


def test_scores_below_zero_are_drawn_on_a_plain_axis():
    axes = drawn(pictures.score_histogram(np.array([-2.0, 0.01, 1.0, 100.0]), 2.0)).axes[0]
    assert axes.get_xscale() == "linear"
    assert sum(patch.get_height() for patch in axes.patches) == 4


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")], [[1.0]]])
def test_scores_that_cannot_be_counted_are_refused(scores):
    with pytest.raises(ValueError, match="needs finite scores"):
        pictures.score_histogram(np.array(scores), 1.0)
    with pytest.raises(ValueError, match="for each of the 3 scores"):
        pictures.score_histogram(np.ones(3), 1.0, np.ones(2, bool))


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = pictures.save(pictures.scatter_map(POINTS), tmp_path / "a.png")
    before = path.read_bytes()
    figure = pictures.scatter_map(POINTS)

    def half(part, **options):
        part.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        pictures.save(figure, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


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


SERIES = [np.sin(np.arange(steps) / 3)[:, None] + RANDOM.normal(size=2) for steps in (30, 1, 12)]


def test_series_are_drawn_in_pairs_each_at_its_own_length():
    figure = drawn(pictures.series_pairs(SERIES, SERIES, ["one", "a point", "short"], title="three"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", "a point", "short"]
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes] == [30, 1, 12]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "given",
        "reconstructed, channel 0",
        "reconstructed, channel 1",
    ]


def test_a_gap_in_a_series_is_not_drawn():
    gap = np.array([1.0, np.nan, 3.0, np.nan])
    figure = drawn(pictures.series_pairs([gap], [np.zeros(4)], ["gap"]))
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).tolist() == [False, True, False, True]
    assert figure.axes[0].lines[0].get_marker() == "."


@pytest.mark.parametrize(("after", "titles"), [([SERIES[1]], ["a"]), ([SERIES[0]], []), ([np.zeros((2, 2, 2))], ["a"])])
def test_pairs_that_do_not_fit_are_refused(after, titles):
    with pytest.raises(ValueError, match=r"series_pairs needs|a series is \(t,\)"):
        pictures.series_pairs([SERIES[0]], after, titles)
