"""`isthmus drift` as its users see it: a table, an exit status, a page."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main
from isthmus.jobs.drift import find_drift
from isthmus.saving import load

JOB = ("--for", "detect", "--set", "estimator__max_epochs=1", "--set", "estimator__threads=1")


def run(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, (words, result.stdout, result.stderr)
    return result


def frame(n, seed, shift=0.0):
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "amount": random.normal(10 + shift, 1, n),
            "kind": random.choice(["ash", "oak"], n),
            "items": random.poisson(3 + 3 * shift, n),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("drift")
    frame(900, 0).write_csv(root / "train.csv")
    frame(400, 1).write_csv(root / "same.csv")
    frame(400, 2, 1.0).with_columns(note=pl.lit("x")).write_csv(root / "later.csv")
    run("fit", root / "train.csv", "-o", root / "model", *JOB)
    return root


def test_no_drift_is_status_0_and_drift_is_status_3_with_the_columns_named(folder):
    result = run("drift", folder / "model", folder / "same.csv")
    assert "drifted: none" in result.stderr
    assert "kind" in result.stdout
    result = run("drift", folder / "model", folder / "later.csv", status=3)
    assert "drifted: " in result.stderr
    assert "not used, for the model was fitted without: note" in result.stderr
    for line in result.stdout.splitlines()[1:]:
        assert ("yes" in line) == (line.split()[0] in ("amount", "items", "(score)")), line


def test_json_says_what_python_says(folder):
    said = json.loads(run("drift", folder / "model", folder / "later.csv", "--json", status=3).stdout)
    found = find_drift(load(folder / "model"), pl.read_csv(folder / "later.csv"))
    assert [test["p_value"] for test in said["tests"]] == [test["p_value"] for test in found.tests]
    assert set(said["drifted"]) == {"(score)", "amount", "items"}
    assert (said["rows"], said["set_aside"]) == (400, 0)


def test_rows_to_compare_with_and_the_options_are_passed_on(folder, tmp_path):
    run("drift", folder / "model", folder / "later.csv", "--against", folder / "later.csv")
    model = folder / "model"
    words = ("--ignore", "amount", "--ignore", "items", "--least", "9")
    run("drift", model, folder / "later.csv", *words)
    frame(900, 0).with_columns(kind=pl.lit("elm")).write_csv(tmp_path / "elm.csv")
    assert "elm 0 %, now 100 %" in run("drift", model, tmp_path / "elm.csv", status=3).stdout


@pytest.mark.slow
def test_the_page_shows_what_drifted(folder, tmp_path):
    run("drift", folder / "model", folder / "later.csv", "--report", tmp_path / "drift.html", status=3)
    page = (tmp_path / "drift.html").read_text()
    assert "<h2>amount</h2>" in page
    assert "<h2>kind</h2>" not in page
    assert page.count("<img") == 3


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--ignore", "none"), 2, "no feature to ignore is called none; there are amount, kind, items"),
        (("--level", "0"), 2, "--level"),
        (("--report", "page.txt"), 2, "should end in"),
    ],
)
def test_wrong_calls_say_what_is_wrong(folder, words, status, said):
    assert said in run("drift", folder / "model", folder / "same.csv", *words, status=status).stderr


def test_a_missing_column_is_named(folder, tmp_path):
    frame(40, 1).drop("kind").write_csv(tmp_path / "less.csv")
    assert "lacks the column kind" in run("drift", folder / "model", tmp_path / "less.csv", status=1).stderr
