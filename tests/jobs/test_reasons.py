"""Reasons: they name what was spoilt, in the units of the caller."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_digits

from isthmus import AutoEncoder
from isthmus.jobs import AnomalyDetector
from isthmus.modalities import Tables


def people(n: int, seed: int = 0) -> pl.DataFrame:
    """Return columns that all follow from one hidden size, so that each can be told from the others."""
    random = np.random.default_rng(seed)
    s = random.normal(size=n)
    return pl.DataFrame(
        {
            "height_cm": 170 + 10 * s + random.normal(size=n),
            "weight_kg": 70 + 8 * s + random.normal(size=n),
            "shoe": np.round(42 + 2 * s).astype(int),
            "tall": s > 0,
            "shirt": np.where(s > 0.8, "large", np.where(s > -0.8, "medium", "small")),
            "measured": [datetime.date(2020, 1, 1) + datetime.timedelta(days=round(float(100 * v))) for v in s],
        }
    )


@pytest.fixture(scope="module")
def detector() -> AnomalyDetector:
    model = AutoEncoder(bottleneck="linear(size=2)", corruption="swap_rows", max_epochs=15, threads=1, random_state=0)
    return AnomalyDetector(model, false_alarm_rate=0.02, random_state=0).fit(people(300))


def typical_row() -> dict:
    return {
        "height_cm": 185.0,
        "weight_kg": 82.0,
        "shoe": 45,
        "tall": True,
        "shirt": "large",
        "measured": datetime.date(2020, 5, 30),
    }


def frame(**changes) -> pl.DataFrame:
    return pl.DataFrame([typical_row() | changes], schema=people(1).schema)


def first_reason(detector: AnomalyDetector, **changes) -> dict:
    return detector.explain(frame(**changes))[0]["reasons"][0]


def test_the_row_that_is_spoilt_below_is_normal(detector):
    assert detector.predict(frame()).tolist() == [1]


@pytest.mark.parametrize(("name", "value", "near", "within"), [("weight_kg", 20.0, 82, 12), ("shoe", 30, 45, 5)])
def test_a_spoilt_number_is_named_with_what_was_expected_in_its_own_unit(detector, name, value, near, within):
    reason = first_reason(detector, **{name: value})
    assert set(reason) == {"feature", "value", "expected", "error", "share"}
    assert (reason["feature"], reason["value"]) == (name, value)
    assert abs(reason["expected"] - near) < within
    assert reason["share"] > 0.5
    assert detector.predict(frame(**{name: value})).tolist() == [-1]


def test_the_error_of_a_number_is_its_difference_in_typical_errors(detector):
    reason = first_reason(detector, weight_kg=20.0)
    place = detector.estimator_.modality_.names.index("weight_kg")
    unit = detector.estimator_.modality_.columns[place]["scale"] * np.sqrt(detector.typical_errors_[place])
    assert reason["error"] == pytest.approx(abs(20.0 - reason["expected"]) / unit, rel=1e-4)


def test_shares_are_of_the_whole_score(detector):
    row = frame(weight_kg=20.0, tall=False)
    reasons = detector.explain(row, n_reasons=6)[0]["reasons"]
    assert [reason["share"] for reason in reasons] == sorted((reason["share"] for reason in reasons), reverse=True)
    assert sum(reason["share"] for reason in reasons) == pytest.approx(1)
    assert len(detector.explain(row, n_reasons=1)[0]["reasons"]) == 1


def test_a_share_is_what_the_row_costs_less_where_the_cell_is_not_known(detector):
    row = frame(weight_kg=20.0, tall=False)
    (cost,) = -detector.score_samples(row)
    less = {
        name: max(cost + detector.score_samples(row.with_columns(pl.lit(None, row[name].dtype).alias(name)))[0], 0)
        for name in row.columns
    }
    for reason in detector.explain(row, n_reasons=6)[0]["reasons"]:
        assert reason["share"] == pytest.approx(less[reason["feature"]] / sum(less.values()), abs=1e-4)


def test_what_is_expected_of_a_cell_is_read_from_the_others_alone(detector):
    found = [first_reason(detector, weight_kg=value)["expected"] for value in (20.0, 2_000.0)]
    assert found[0] == pytest.approx(found[1])


def test_a_spoilt_boolean_is_named_with_the_probability_it_had(detector):
    reason = first_reason(detector, tall=False)
    assert set(reason) == {"feature", "value", "expected", "probability", "error", "share"}
    assert (reason["feature"], reason["value"], reason["expected"]) == ("tall", False, True)
    assert 0 <= reason["probability"] < 0.2


def test_a_count_that_was_0_and_1_while_fitting_is_an_anomaly_where_it_is_more_and_says_so():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"size": rng.normal(size=200), "failed": rng.integers(0, 2, 200)})
    model = AutoEncoder(max_epochs=3, random_state=0)
    detector = AnomalyDetector(model, false_alarm_rate=0.05, random_state=0).fit(table)
    scores = detector.score_samples(pl.DataFrame({"size": [0.0] * 3, "failed": [0, 1, 3]}))
    assert scores[2] < scores[:2].min() and scores[2] < detector.offset_
    reason = detector.explain(pl.DataFrame({"size": [0.0], "failed": [3]}))[0]["reasons"][0]
    assert (reason["feature"], reason["value"], reason["probability"]) == ("failed", 3, 0.0)
    assert reason["note"] == "never seen while fitting"


def test_a_spoilt_category_is_named_with_its_probability_and_the_likely_values(detector):
    reason = first_reason(detector, shirt="small")
    assert (reason["feature"], reason["value"]) == ("shirt", "small")
    assert "note" not in reason
    likely = {entry["value"]: entry["probability"] for entry in reason["likely"]}
    assert list(likely) == sorted(likely, key=likely.__getitem__, reverse=True)
    assert reason["likely"][0]["value"] == "large"
    assert set(likely) == {"large", "medium", "small"}
    assert reason["probability"] == likely["small"] < 0.2
    assert sum(likely.values()) == pytest.approx(1, abs=0.01)


def test_a_value_never_seen_is_said_to_be_so(detector):
    reason = first_reason(detector, shirt="giant")
    assert (reason["feature"], reason["value"], reason["note"]) == ("shirt", "giant", "never seen while fitting")
    assert reason["probability"] < 0.05
    assert reason["likely"][0]["value"] == "large"
    assert detector.predict(frame(shirt="giant")).tolist() == [-1]


def test_a_spoilt_date_is_named_with_a_date(detector):
    reason = first_reason(detector, measured=datetime.date(2018, 12, 1))
    assert (reason["feature"], reason["value"]) == ("measured", "2018-12-01")
    expected = datetime.datetime.fromisoformat(reason["expected"]).date()
    assert abs(expected - datetime.date(2020, 5, 30)) < datetime.timedelta(days=150)


def test_a_missing_cell_is_named_and_is_no_reason(detector):
    explained = detector.explain(frame(weight_kg=None, shirt=None, shoe=30), n_reasons=6)[0]
    assert explained["missing"] == ["weight_kg", "shirt"]
    assert explained["reasons"][0]["feature"] == "shoe"
    assert not {"weight_kg", "shirt"} & {reason["feature"] for reason in explained["reasons"]}


def test_reasons_are_json_and_the_same_from_pandas(detector):
    spoilt = pl.concat([frame(shoe=30), frame(shirt="small"), frame(tall=False, weight_kg=None)])
    explained = detector.explain(spoilt)
    json.dumps(explained, allow_nan=False)
    pandas = pd.DataFrame(spoilt.to_dicts()).iloc[:, ::-1]
    assert json.loads(json.dumps(detector.explain(pandas))) == json.loads(json.dumps(explained))


def test_reasons_of_many_rows_are_each_of_their_own_row(detector):
    # More than are scored at once, so that pieces have to be joined.
    rows = people(4_100, seed=1)
    explained = detector.explain(rows, n_reasons=1)
    assert len(explained) == 4_100
    for place in (0, 1, 4_095, 4_096, 4_099):
        reason = explained[place]["reasons"][0]
        given = rows[reason["feature"]][place]
        assert reason["value"] == (given.isoformat() if isinstance(given, datetime.date) else given)


def test_a_column_that_was_left_out_does_not_shift_the_names_of_an_array():
    random = np.random.default_rng(0)
    X = random.normal(size=(120, 1)) @ np.ones((1, 4)) + 0.1 * random.normal(size=(120, 4))
    model = AutoEncoder(Tables(types={"x1": "ignore"}), max_epochs=10, threads=1, random_state=0)
    detector = AnomalyDetector(model, random_state=0).fit(X)
    odd = X[:1].copy()
    odd[0, 2], odd[0, 1] = 30.0, 99.0
    reason = detector.explain(odd)[0]["reasons"][0]
    assert (reason["feature"], reason["value"]) == ("x2", 30.0)


@pytest.fixture(scope="module")
def images() -> AnomalyDetector:
    model = AutoEncoder(bottleneck="linear(size=16)", max_epochs=6, threads=1, random_state=0)
    return AnomalyDetector(model, measures=("error",), random_state=0).fit(load_digits().images[:400])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5), (6, 6)])
def test_an_image_is_explained_by_the_square_that_was_spoilt(images, top, left):
    image = load_digits().images[500:501].copy()
    spoilt = image.copy()
    spoilt[0, top : top + 2, left : left + 2] = np.where(image[0, top : top + 2, left : left + 2] > 8, 0, 16)
    reason = images.explain(spoilt)[0]["reasons"][0]
    assert abs(reason["top"] - top) <= 1
    assert abs(reason["left"] - left) <= 1
    assert (reason["height"], reason["width"]) == (2, 2)
    assert reason["feature"] == (
        f"rows {reason['top']}-{reason['top'] + 1}, columns {reason['left']}-{reason['left'] + 1}"
    )
    assert 0 < reason["share"] <= 1


def test_heat_is_what_the_squares_are_found_in_and_tables_have_none(images):
    X = load_digits().images[500:503]
    heat = images.heat(X)
    assert heat.shape == (3, 8, 8) and (heat >= 0).all()
    for of, explained in zip(heat, images.explain(X, n_reasons=1), strict=True):
        (reason,) = explained["reasons"]
        square = of[reason["top"] :, reason["left"] :][: reason["height"], : reason["width"]]
        assert reason["error"] == pytest.approx(square.mean() ** 0.5)
        assert reason["share"] == pytest.approx(square.sum() / of.sum())
    table = np.random.default_rng(0).normal(size=(30, 2))
    detector = AnomalyDetector(AutoEncoder(max_epochs=1, threads=1), measures=("error",), random_state=0).fit(table)
    with pytest.raises(ValueError, match="is in explain"):
        detector.heat(table)


def test_squares_do_not_overlap_and_their_error_is_the_root_mean_square(images):
    X = load_digits().images[500:503]
    for image, explained in zip(X, images.explain(X, n_reasons=4), strict=True):
        error = ((images.estimator_.reconstruct(image[None])[0] - image) / 16) ** 2 / images.typical_errors_[..., 0]
        counted = np.zeros((8, 8), int)
        for reason in explained["reasons"]:
            square = slice(reason["top"], reason["top"] + 2), slice(reason["left"], reason["left"] + 2)
            left_over = np.where(counted, 0, error)
            assert reason["error"] == pytest.approx(np.sqrt(left_over[square].mean()), rel=1e-3)
            assert reason["share"] == pytest.approx(left_over[square].sum() / error.sum(), rel=1e-3)
            counted[square] += 1
        assert explained["missing"] == []
        assert len(explained["reasons"]) == 4


def test_colours_are_one_square():
    random = np.random.default_rng(0)
    X = random.uniform(0.4, 0.6, size=(60, 8, 12, 3))
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=3, threads=1, random_state=0)
    detector = AnomalyDetector(model, random_state=0).fit(X)
    odd = X[:1].copy()
    odd[0, 4:6, 9:11, 2] = 0.0
    reason = detector.explain(odd)[0]["reasons"][0]
    assert (reason["top"], reason["left"]) == (4, 9)
