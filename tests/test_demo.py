"""The tour runs, and leaves one page that needs nothing but itself."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from isthmus import demo
from isthmus.demo import cells, tour


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    stages = []
    found = demo.run(tmp_path_factory.mktemp("demo") / "new" / "folder", stages.append, quick=True)
    return found, found.report.read_text(encoding="utf-8"), stages


@pytest.mark.slow
def test_the_report_has_every_section_and_its_pictures(done):
    _, page, stages = done
    for heading in (
        "Digits in 8 numbers",
        "Digits in 4 symbols",
        "Noise taken off",
        "A map",
        "The most similar ones",
        "Digits that nobody wrote",
        "From one digit to another",
        "Odd cells, and why",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<img ") == 10
    assert len(stages) == 8
    for baseline in ("PCA", "t-SNE", "median filter", "5-NN distance", "isolation forest", "Gaussian mixture on PCA"):
        assert baseline in page


@pytest.mark.slow
def test_the_report_asks_for_nothing_from_outside(done):
    _, page, _ = done
    assert all(target.startswith("data:") for target in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "url(" not in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.slow
def test_the_figures_are_each_beside_another_method(done):
    found, _, _ = done
    assert len(found.figures) == 7
    for value in found.figures.values():
        assert re.fullmatch(r"[\d.,e-]+ \(.+ [\d.,e-]+\)", value)


@pytest.mark.slow
def test_the_picture_is_drawn(done):
    found, _, _ = done
    with Image.open(found.picture) as picture:
        assert picture.width > 1000
        assert np.asarray(picture.convert("L")).std() > 10


def test_a_verdict_names_the_best_whoever_it_is():
    rows = [{"method": "auto-encoder", "error": 1.0}, {"method": "PCA", "error": 2.0}]
    assert tour.verdict(rows, "error", lowest=True) == "Here the auto-encoder is best."
    assert tour.verdict(rows, "error") == "Here PCA is better than the auto-encoder."


def test_half_of_the_normal_rows_train_and_no_row_is_lost():
    normal = np.array([True, False, True, True, False, True, True])
    train, test, odd = cells._one_class(pl.DataFrame({"row": range(7)}), normal, seed=0)
    assert len(train) == 2
    assert normal[train["row"].to_numpy()].all()
    assert sorted([*train["row"], *test["row"]]) == list(range(7))
    assert odd.tolist() == [not normal[row] for row in test["row"]]
