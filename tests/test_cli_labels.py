"""Labels on the command line: fitted on where they are known, predicted where they are not."""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main
from isthmus.cli.predicting import split_labelled

QUICK = ("--set", "estimator__max_epochs=5", "--set", "estimator__threads=1", "--set", "max_epochs=20")


class Ran:
    """A call that has ended, in this process."""

    def __init__(self, *words):
        result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
        self.status, self.out, self.err = result.exit_code, result.stdout, result.stderr


@pytest.fixture
def table(tmp_path):
    """Two clouds of points; of every third row it is known which it belongs to, and how high it is."""
    random = np.random.default_rng(0)
    which = np.arange(90) % 2
    numbers = random.normal(size=(90, 3)) + 4 * which[:, None]
    frame = pl.DataFrame(numbers, schema=["a", "b", "c"]).with_columns(
        kind=pl.Series(["left" if k else "right" for k in which]), height=pl.Series(numbers.sum(1))
    )
    frame.write_csv(tmp_path / "all.csv")
    known = pl.Series(np.arange(90) % 3 == 0)
    few = frame.with_columns(pl.when(known).then(pl.col(name)).alias(name) for name in ("kind", "height"))
    few.drop("height").write_csv(tmp_path / "kinds.csv")
    few.drop("kind").write_csv(tmp_path / "heights.csv")
    return tmp_path


def test_classes_are_fitted_on_few_labels_and_predicted_for_all(table):
    model = table / "model"
    learned = ("--set", "learning_rate=0.01")
    ran = Ran("fit", table / "kinds.csv", "-o", model, "--for", "pretrain", "--labels", "kind", *QUICK, *learned)
    assert ran.status == 0, ran.err
    out = table / "out.csv"
    ran = Ran("predict", model, table / "all.csv", "-o", out, "--labels", "kind", "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["accuracy"] > 0.9
    written = pl.read_csv(out)
    assert written.columns == ["line", "prediction", "p(left)", "p(right)"]
    assert written["line"].to_list() == list(range(2, 92))
    assert np.allclose(written["p(left)"] + written["p(right)"], 1)
    assert "head" in Ran("info", model).out


def test_numbers_are_predicted_and_judged_by_r_squared(table):
    model = table / "model"
    ran = Ran("fit", table / "heights.csv", "-o", model, "--for", "regress", "--labels", "height", *QUICK)
    assert ran.status == 0, ran.err
    ran = Ran("predict", model, table / "all.csv", "-o", "-", "--labels", "height")
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[0] == "line,prediction"
    assert len(ran.out.splitlines()) == 91
    assert "r2 0." in ran.err


def test_compare_tests_on_labelled_rows_and_fits_on_all_others(table):
    ran = Ran("compare", table / "kinds.csv", "--for", "pretrain", "--labels", "kind", *QUICK, "--json")
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)
    assert (said["train"], said["test"]) == (81, 9)
    assert [row["method"] for row in said["methods"]][:2] == ["auto-encoder", "same network, labelled rows alone"]
    assert "21 of 81 rows to fit on have a label" in ran.err


def test_a_job_that_learns_from_labels_says_that_it_needs_them(table):
    ran = Ran("fit", table / "kinds.csv", "-o", table / "model", "--for", "pretrain")
    assert ran.status == 2
    assert "name them with --labels COLUMN" in ran.err


def test_a_model_without_labels_predicts_none(table):
    model = table / "model"
    quick = ("--set", "max_epochs=1", "--set", "threads=1")
    assert Ran("fit", table / "kinds.csv", "-o", model, "--labels", "kind", *quick).status == 0
    # The labels were not among what was fitted on.
    assert '"n_features_in": 3' in (model / "model.json").read_text()
    ran = Ran("predict", model, table / "all.csv", "-o", table / "out.csv")
    assert ran.status == 2
    assert "has learned no labels" in ran.err


def test_rows_without_a_label_are_never_tested_on(table):
    labels = ["a", None, "b", float("nan"), "a", "b", None, "a"]
    train, test = split_labelled(labels, 0.3, seed=0)
    assert sorted([*train, *test]) == list(range(8))
    assert not set(test) & {1, 3, 6}
    with pytest.raises(ValueError, match="takes 4"):
        split_labelled(["a", None, "b", "a"], 0.3, seed=0)
