"""Drift: found where it is, named, and not said where there is none more often than stated."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from isthmus import AutoEncoder
from isthmus.jobs import AnomalyDetector, SeriesDetector
from isthmus.jobs.counting import counts_of
from isthmus.jobs.drift import DriftTest, find_drift
from isthmus.modalities import Tables
from isthmus.modalities.columns import learn
from isthmus.rows import as_rows
from isthmus.saving import load, save

QUICK = dict(max_epochs=1, threads=1, random_state=0)
YEW = pl.when(pl.int_range(pl.len()) % 12 == 0).then(pl.lit("yew")).otherwise("kind").alias("kind")


def frame(n, seed=0):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    gap = random.random(n) < 0.1
    return pl.DataFrame(
        {
            "amount": np.exp(size),
            "count": random.poisson(3, n),
            "kind": random.choice(["ash", "oak", "elm"], n, p=[0.6, 0.3, 0.1]),
            "flag": random.random(n) < 0.3,
            "gap": [None if gone else value for gone, value in zip(gap, size + random.normal(size=n), strict=True)],
            "day": [dt.date(2026, 1, 1) + dt.timedelta(int(i)) for i in random.integers(0, 90, n)],
        }
    )


@pytest.fixture(scope="module")
def detector():
    return AnomalyDetector(AutoEncoder(**QUICK), random_state=0).fit(frame(1_500))


@pytest.fixture(scope="module")
def model():
    return AutoEncoder(**QUICK).fit(frame(1_000))


def test_rows_of_the_same_source_have_not_drifted(detector):
    result = find_drift(detector, frame(1_000, seed=1))
    assert (result.found, result.drifted, result.rows) == (False, [], 1_000)
    assert {(test["feature"], test["of"]) for test in result.tests} == {
        (None, "score"),
        *((name, "values") for name in ("amount", "count", "kind", "flag", "gap")),
        ("gap", "missing"),
    }
    assert result.skipped == [{"feature": "day", "why": "dates move on by nature"}]


@pytest.mark.parametrize(
    ("change", "feature", "of", "said"),
    [
        (pl.col("amount") * 2, "amount", "values", "median"),
        (pl.col("count") + 1, "count", "values", "median 3, now 4"),
        (YEW, "kind", "values", "yew 0 %, now 8.4 %; 1 never seen before"),
        (~pl.col("flag"), "flag", "values", "now"),
        (pl.when(pl.int_range(pl.len()) % 3 > 0).then("gap"), "gap", "missing", "missing in"),
        (pl.lit(None, pl.Float64).alias("gap"), "gap", "missing", "now 100 %"),
    ],
)
def test_the_column_that_moved_is_named_and_what_moved_is_said(model, change, feature, of, said):
    result = find_drift(model, frame(1_000, seed=1).with_columns(change))
    assert result.drifted == [feature]
    test = result.tests[0]
    assert (test["feature"], test["of"], test["drifted"]) == (feature, of, True)
    assert said in test["said"]
    assert test["p_value"] <= test["adjusted_p_value"] < 0.01
    assert test["psi"] >= 0.1


def test_a_count_that_was_0_and_1_while_fitting_is_counted_apart_where_it_is_more():
    flags = pl.Series("failed", [0, 1] * 50)
    counts = counts_of(learn(flags, "boolean", "auto"))
    counts.add(pl.Series("failed", [0, 1, 1, 3, 7, None]))
    fitted, now = counts.histograms()
    assert dict(zip(counts.names, zip(fitted.tolist(), now.tolist(), strict=True), strict=True)) == {
        "true": (50, 2),
        "false": (50, 1),
        "other numbers": (0, 2),
    }


def test_a_change_of_how_columns_hang_together_is_seen_by_the_score_alone():
    random = np.random.default_rng(0)
    x = random.normal(size=(2_000, 1))
    X = x + 0.1 * random.normal(size=(2_000, 4))
    detector = AnomalyDetector(AutoEncoder(bottleneck="linear(size=1)", **QUICK), random_state=0).fit(X)
    apart = np.stack([random.permutation(column) for column in X[:500].T], 1)
    assert find_drift(detector, apart).drifted == [None]


def test_a_significant_change_too_small_to_matter_is_no_drift(model):
    moved = frame(60_000, seed=1).with_columns(pl.col("amount") * 1.06)
    result = find_drift(model, pl.concat([moved] * 3))
    (test,) = (test for test in result.tests if (test["feature"], test["of"]) == ("amount", "values"))
    assert test["psi"] < 0.1
    assert not test["drifted"]
    assert find_drift(model, moved, against=frame(60_000, seed=5), least=0).drifted == ["amount"]


def test_pieces_count_as_the_whole(detector):
    X = frame(700, seed=2)
    whole, pieces = DriftTest(detector).add(X), DriftTest(detector)
    for begin in range(0, 700, 97):
        pieces.add(X[begin : begin + 97])
    assert json.dumps(whole.result().tests) == json.dumps(pieces.result().tests)


def test_against_rows_themselves_the_test_is_scipys():
    random = np.random.default_rng(0)
    fitted, known, now = (random.normal(size=(n, 2)) for n in (100, 400, 300))
    result = find_drift(AutoEncoder(**QUICK).fit(fitted), now, against=known)
    for test in result.tests:
        if test["of"] == "values":
            column = int(test["feature"][1:])
            expected = stats.ks_2samp(known[:, column], now[:, column], method="asymp")
            # Over the points of one sample, not of both: a little less at most.
            assert expected.statistic - 1 / 300 <= test["change"] <= expected.statistic
    score = next(test for test in result.tests if test["of"] == "score")
    assert (score["fitted"], score["now"]) == (400, 300)


def test_numbers_never_seen_in_a_column_of_0_and_1_are_drift_and_no_error():
    random = np.random.default_rng(0)

    def flags(n, others):
        values = random.integers(0, 2, n)
        values[:others] = 2
        return pl.DataFrame({"flag": values, "x": random.normal(size=n)})

    model = AutoEncoder(**QUICK).fit(flags(400, 0))
    for against in (None, flags(400, 0)):
        found = find_drift(model, flags(400, 40), against=against)
        assert "flag" in found.drifted
        test = next(test for test in found.tests if test["feature"] == "flag")
        assert test["said"].endswith("other numbers 0 %, now 10 %; 1 never seen before")
    # In the rows to compare with, they are what is usual; and drift where they are gone.
    assert not find_drift(model, flags(400, 40), against=flags(400, 40)).found
    assert find_drift(model, flags(400, 0), against=flags(400, 40)).drifted[0] == "flag"


def test_a_saved_model_says_the_same(detector, tmp_path):
    save(detector, tmp_path / "model")
    now = frame(500, seed=4).with_columns(pl.col("amount") + 1)
    one, other = find_drift(detector, now), find_drift(load(tmp_path / "model"), now)
    assert json.dumps(one.tests) == json.dumps(other.tests)


def test_dates_and_ignored_features_are_as_asked(detector):
    later = frame(500, seed=1).with_columns(pl.col("day") + pl.duration(days=200), pl.col("count") + 5)
    result = find_drift(detector, later, dates=True, ignore=["count"], least=0.5)
    assert "day" in result.drifted
    assert {"feature": "count", "why": "ignored"} in result.skipped
    assert "2026" in next(test["said"] for test in result.tests if test["feature"] == "day")


def test_a_model_of_images_is_tested_by_its_scores():
    random = np.random.default_rng(0)
    images = random.random((400, 8, 8))
    detector = AnomalyDetector(AutoEncoder(**QUICK), random_state=0).fit(images)
    result = find_drift(detector, np.clip(images[:60] * 3, 0, 1))
    assert [test["of"] for test in result.tests] == ["score"]
    assert result.found


def test_too_few_rows_and_wrong_params_are_refused(detector, model):
    with pytest.raises(ValueError, match="Give at least 30 rows"):
        find_drift(model, frame(29))
    with pytest.raises(ValueError, match="no feature to ignore is called none"):
        DriftTest(detector, ignore=["none"])
    with pytest.raises(ValueError, match="level"):
        DriftTest(detector, level=0)
    with pytest.raises(ValueError, match="least"):
        DriftTest(detector, least=math.nan)
    with pytest.raises(ValueError, match="lacks the column kind"):
        find_drift(detector, frame(50).drop("kind"))


def test_steps_of_series_are_refused_with_what_to_do_instead():
    detector = SeriesDetector(AutoEncoder(**QUICK), window=8, random_state=0).fit(np.arange(200.0)[:, None] % 7)
    with pytest.raises(ValueError, match="isthmus watch says"):
        DriftTest(detector)


def test_a_model_saved_without_counts_asks_for_rows_to_compare_with(model):
    old = AutoEncoder(**QUICK).fit(frame(200))
    for column in old.modality_.columns:
        del column["sketch"]
    with pytest.raises(ValueError, match="compare against rows"):
        find_drift(old, frame(50))
    assert not find_drift(old, frame(300, seed=1), against=frame(300, seed=2)).found


@pytest.mark.slow
def test_without_drift_the_level_is_kept():
    model = AutoEncoder(**QUICK).fit(frame(400))
    runs, level, found = 150, 0.1, 0
    for seed in range(runs):
        # The fitted rows are drawn anew each time too: the level is over both.
        model.modality_ = Tables().fit(as_rows(frame(400, seed=1_000 + seed)))
        found += find_drift(model, frame(200, seed=seed), level=level, least=0).found
    assert found <= runs * level + 3 * math.sqrt(runs * level * (1 - level))
