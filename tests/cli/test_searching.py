"""`isthmus search` as its users see it: hits by the names of their files, and pictures of them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_digits

from isthmus.cli import main
from isthmus.saving import load

JOB = ("--for", "search", "--set", "estimator__max_epochs=2", "--set", "estimator__threads=1")


def run(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, (words, result.stderr)
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    images = (load_digits().images[:40] * 15).astype(np.uint8)
    (root / "all").mkdir()
    (root / "new").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / ("all" if i < 36 else "new") / f"digit {i:02d}.png")
    pl.DataFrame({"a": np.arange(30.0), "b": np.arange(30) % 7.0}).write_csv(root / "t.csv")
    run("fit", root / "all", "-o", root / "model", *JOB)
    run("fit", root / "t.csv", "-o", root / "table", *JOB)
    return root


def test_hits_are_named_as_their_files_nearest_first(folder, tmp_path):
    run("search", folder / "model", folder / "new", "-k", 3, "-o", tmp_path / "hits.csv")
    hits = pl.read_csv(tmp_path / "hits.csv")
    assert hits.columns == ["file", "rank", "found", "distance"]
    assert hits["file"].to_list() == [f"digit {i}.png" for i in (36, 37, 38, 39) for _ in range(3)]
    assert hits["rank"].to_list() == [1, 2, 3] * 4
    search = load(folder / "model")
    images = (load_digits().images[36:40] * 15).astype(np.uint8)
    distances, positions = search.kneighbors(images, 3)
    assert hits["found"].to_list() == [f"digit {i:02d}.png" for i in positions.ravel()]
    np.testing.assert_allclose(hits["distance"], distances.ravel(), rtol=1e-5)


def test_rows_of_a_table_are_named_by_their_lines(folder, tmp_path):
    run("search", folder / "table", folder / "t.csv", "-o", tmp_path / "hits.jsonl", "-k", 1)
    hits = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    # The rows are those that were indexed: each finds itself, on its own line of the file.
    assert [hit["line"] for hit in hits] == [hit["found"] for hit in hits] == list(range(2, 32))
    result = run("search", folder / "table", folder / "t.csv", "-o", "-")
    assert len(result.stdout.splitlines()) == 301


def test_a_picture_shows_what_was_found_from_codes_or_from_the_images(folder, tmp_path):
    result = run("search", folder / "model", folder / "new", "-k", 4, "-o", tmp_path / "a.png")
    assert "drawn from their codes" in result.stderr
    asked = ("search", folder / "model", folder / "new", "-k", 4, "-o", tmp_path / "b.png", "--data", folder / "all")
    result = run(*asked, "--json")
    assert json.loads(result.stdout)["indexed"] == 36
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as other:
        assert one.size == other.size
        assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("table", "t.csv", "-o", "x.png"), 2, "a picture shows images"),
        (("model", "new", "-o", "x.csv", "-k", "37"), 1, "from 1 to 36"),
        (("model", "new", "-o", "x.png", "--data", "new"), 1, "which is in the index"),
        (("model", "new", "-o", "x.gif"), 2, "should end in"),
    ],
)
def test_what_cannot_be_done_is_said(folder, words, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    assert said in run("search", *words, status=status).stderr


def test_a_model_that_was_not_fitted_to_search_is_refused(folder, tmp_path):
    run("fit", folder / "t.csv", "-o", tmp_path / "plain", "--set", "max_epochs=1", "--set", "threads=1")
    result = run("search", tmp_path / "plain", folder / "t.csv", "-o", tmp_path / "h.csv", status=2)
    assert "isthmus fit DATA -o MODEL --for search" in result.stderr
