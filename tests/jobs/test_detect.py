"""Anomaly detection: its threshold, its rate of false alarms, its answers and its figures."""

from __future__ import annotations

import copy
import json
import logging
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score, roc_auc_score

from isthmus import AutoEncoder
from isthmus.jobs import AnomalyDetector

QUICK = dict(max_epochs=5, threads=1, random_state=0)
RANDOM = np.random.default_rng(0)


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Return rows of five correlated numbers."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 5)) + 0.3 * random.normal(size=(n, 5))


def in_spreads(found: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return logarithms less the middle held-out one, in units of the way from there to one in ten."""
    floor = 1e-6 + 1e-3 * held_out.mean()
    logs = np.log(held_out + floor)
    spread = max(np.quantile(logs, 0.9) - np.median(logs), logs.std() / 2, 1e-3)
    return (np.log(found + floor) - np.median(logs)) / spread


def small(**params) -> AutoEncoder:
    return AutoEncoder(bottleneck="linear(size=2)", **QUICK | params)


@pytest.fixture(scope="module")
def fitted() -> AnomalyDetector:
    return AnomalyDetector(small(dtype="float64"), false_alarm_rate=0.1, random_state=0).fit(rows(200))


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3, 0.5, 0.99])
def test_the_threshold_is_the_conformal_quantile_of_costs_counted_without_each_rows_own_error(rate, monkeypatch):
    X, seen = rows(100), []
    fit = AutoEncoder.fit
    monkeypatch.setattr(AutoEncoder, "fit", lambda self, X, y=None: seen.append(X.array) or fit(self, X, y))
    detector = AnomalyDetector(
        small(dtype="float64", max_epochs=1), false_alarm_rate=rate, measures=("error",), random_state=1
    ).fit(X)
    trained = seen[0]
    held = X[[not (row == trained).all(1).any() for row in X]]
    m = len(held)
    assert (m, len(trained)) == (20, 80)
    errors = ((detector.estimator_.reconstruct(held) - held) / trained.std(0)) ** 2
    costs = []
    for row in range(m):
        others = np.delete(errors, row, axis=0)
        typical = (others.sum(0) + 5 * others.mean()) / (m - 1 + 5)
        costs.append((errors[row] / typical).mean())
    costs = in_spreads(np.array(costs), np.array(costs))
    # Of a rate below 1 / (m + 1) there is no such cost: the largest is the best there is.
    place = min(m, math.ceil(round((m + 1) * (1 - rate), 9)))
    np.testing.assert_allclose(-detector.offset_, np.sort(costs)[place - 1], rtol=1e-6)
    np.testing.assert_allclose(detector.held_out_scores_, np.sort(-np.array(costs)), rtol=1e-6)
    assert detector.attainable_rate_ == max(rate, 1 / (m + 1))


def test_scores_of_new_rows_are_mean_errors_in_units_of_all_held_out_rows(fitted):
    X = rows(7, seed=3)
    scale = np.array([column["scale"] for column in fitted.estimator_.modality_.columns])
    errors = ((fitted.estimator_.reconstruct(X) - X) / scale) ** 2
    state = fitted.state()
    floor, middle, spread = state["units"][state["measures"].index("error")]
    logs = np.log((errors / fitted.typical_errors_).mean(1) + floor)
    found = [row["measures"]["error"] for row in fitted.explain(X)]
    np.testing.assert_allclose(found, fitted.measures_["error"] * (logs - middle) / spread, rtol=1e-6)
    np.testing.assert_allclose(
        fitted.score_samples(X), [-sum(row["measures"].values()) for row in fitted.explain(X)], rtol=1e-6
    )


def test_a_row_at_the_threshold_is_normal_and_one_just_below_is_not(fitted, monkeypatch):
    offset = fitted.offset_
    around = np.array([offset, np.nextafter(offset, -np.inf), np.nextafter(offset, np.inf)])
    monkeypatch.setattr(fitted, "score_samples", lambda X: around)
    assert fitted.predict(rows(3)).tolist() == [1, -1, 1]
    assert (fitted.decision_function(rows(3)) < 0).tolist() == [False, True, False]


def test_predict_says_minus_one_of_a_spoilt_row_and_one_of_the_mean(fitted):
    X = np.stack([rows(200).mean(0), rows(200).mean(0) + [0, 0, 50, 0, 0]])
    assert fitted.predict(X).tolist() == [1, -1]
    assert fitted.score_samples(X)[1] < fitted.offset_ < fitted.score_samples(X)[0]


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_rate_of_false_alarms_is_the_promised_one_over_two_hundred_splits(rate, monkeypatch):
    model = small().fit(rows(300, seed=1))
    frozen = copy.copy(model)
    # Only the split and the threshold are on trial; the network is one that has seen none of these rows.
    monkeypatch.setattr(frozen, "fit", lambda X: model)
    monkeypatch.setattr(AnomalyDetector, "_prepared", lambda self, rows: frozen)
    pool, random = rows(6_000, seed=2), np.random.default_rng(3)
    splits, m, new = 200, 59, 100
    alarms = []
    for seed in range(splits):
        chosen = pool[random.choice(len(pool), 2 * m + new, replace=False)]
        detector = AnomalyDetector(false_alarm_rate=rate, validation_fraction=0.5, random_state=seed)
        detector.fit(chosen[: 2 * m])
        alarms.append((detector.predict(chosen[2 * m :]) < 0).mean())
    expected = math.floor((m + 1) * rate) / (m + 1)
    # The share that one threshold lets through is a beta variable, of which each split draws a binomial.
    variance = expected * (1 - expected) * (1 / (m + 2) + 1 / new)
    assert abs(np.mean(alarms) - expected) < 3 * math.sqrt(variance / splits)
    assert np.mean(alarms) < rate + 3 * math.sqrt(variance / splits)


def test_a_rate_too_low_for_the_held_out_rows_is_said(caplog):
    with caplog.at_level(logging.WARNING, logger="isthmus.jobs.deciding"):
        detector = AnomalyDetector(small(max_epochs=1), false_alarm_rate=0.01, random_state=0).fit(rows(100))
    assert "20 held-out rows can vouch for a false-alarm rate of 0.048 at best, not 0.01: that takes 99" in caplog.text
    assert detector.attainable_rate_ == pytest.approx(1 / 21)
    assert detector.offset_ == detector.held_out_scores_[0]


def test_a_rate_that_the_held_out_rows_can_vouch_for_is_not_worth_a_word(caplog):
    with caplog.at_level(logging.WARNING, logger="isthmus.jobs.deciding"):
        AnomalyDetector(small(max_epochs=1), false_alarm_rate=1 / 21, random_state=0).fit(rows(100))
    assert not caplog.records


def test_scores_are_the_same_in_batches_of_one_seven_and_all(fitted):
    X = rows(29, seed=4)
    whole = fitted.score_samples(X)
    assert np.array_equal(whole, fitted.score_samples(X))
    for size in (1, 7):
        pieces = [fitted.score_samples(X[i : i + size]) for i in range(0, len(X), size)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-5)


def test_one_seed_is_one_detector_and_another_seed_another():
    one, again, other = (AnomalyDetector(small(), random_state=seed).fit(rows(60)) for seed in (0, 0, 1))
    assert np.array_equal(one.held_out_scores_, again.held_out_scores_)
    assert not np.array_equal(one.held_out_scores_, other.held_out_scores_)


def test_alerts_are_the_anomalies_the_least_normal_first(fitted):
    X = rows(40, seed=5)
    X[[3, 17]] += [[0, 0, 9, 0, 0], [0, 90, 0, 0, 0]]
    alerts = fitted.alerts(X, n_reasons=2)
    scores = fitted.score_samples(X)
    assert [alert["row"] for alert in alerts[:2]] == [17, 3]
    assert {alert["row"] for alert in alerts} == set(np.flatnonzero(fitted.predict(X) < 0).tolist())
    assert [alert["score"] for alert in alerts] == sorted(scores[scores < fitted.offset_])
    assert all(alert["threshold"] == fitted.offset_ and len(alert["reasons"]) <= 2 for alert in alerts)
    for alert in alerts:
        # Each is joined to its own row: the values are those of the row it names.
        for reason in alert["reasons"]:
            assert reason["value"] == X[alert["row"], int(reason["feature"][1:])]
    assert alerts[0]["percentile"] == 100.0
    json.dumps(alerts, allow_nan=False)


def test_the_percentile_of_an_alert_counts_held_out_rows_that_are_more_normal(fitted):
    for alert in fitted.alerts(rows(100, seed=6)):
        assert alert["percentile"] == pytest.approx(100 * (fitted.held_out_scores_ > alert["score"]).mean())


def test_without_an_anomaly_there_are_no_alerts(fitted):
    assert fitted.alerts(rows(200).mean(0, keepdims=True)) == []


def test_a_row_with_gaps_is_judged_by_the_cells_it_has():
    X = rows(150)
    X[::3, 0] = np.nan
    detector = AnomalyDetector(small(), false_alarm_rate=0.1, random_state=0).fit(X)
    odd = X[1:4].copy()
    odd[0, 0], odd[1, 0], odd[2] = np.nan, 40.0, np.nan
    scores = detector.score_samples(odd)
    assert scores[1] < detector.offset_
    assert scores[2] == 0.0
    assert detector.predict(odd).tolist()[1:] == [-1, 1]
    assert detector.explain(odd)[0]["missing"] == ["x0"]
    nothing = detector.explain(odd)[2]
    assert nothing.pop("measures") == dict.fromkeys(detector.measures_, 0.0)
    assert nothing == {"reasons": [], "missing": ["x0", "x1", "x2", "x3", "x4"]}


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_frames_and_arrays_give_the_same_scores(container, fitted):
    names = ["a", "b", "c", "d", "e"]
    frame = container({name: rows(200)[:, i] for i, name in enumerate(names)})
    detector = AnomalyDetector(small(dtype="float64"), false_alarm_rate=0.1, random_state=0).fit(frame)
    np.testing.assert_allclose(detector.score_samples(frame), fitted.score_samples(rows(200)), rtol=1e-9)
    assert detector.feature_names_in_.tolist() == names
    turned = frame[names[::-1]]
    np.testing.assert_array_equal(detector.score_samples(turned), detector.score_samples(frame))
    assert detector.explain(turned[:1])[0] == detector.explain(frame[:1])[0]


def test_compare_judges_the_detector_and_three_baselines_on_one_split():
    train, test = rows(200), rows(60, seed=7)
    test[:20, 1] += 8
    y = np.arange(60) < 20
    detector = AnomalyDetector(small(), false_alarm_rate=0.1, random_state=0).fit(train)
    table = detector.compare(train, test, y)
    methods = ["auto-encoder", "PCA reconstruction", "5-NN distance", "isolation forest"]
    assert [row["method"] for row in table] == methods
    scores = detector.score_samples(test)
    assert table[0] == {
        "method": "auto-encoder",
        "auroc": roc_auc_score(y, -scores),
        "average_precision": average_precision_score(y, -scores),
        "found": (scores[y] < detector.offset_).mean(),
        "false_alarms": (scores[~y] < detector.offset_).mean(),
    }
    for row in table:
        assert set(row) == set(table[0])
        assert row["auroc"] > 0.7
        assert row["false_alarms"] < 0.35
    assert detector.compare(train, test, y) == table


def test_compare_without_labels_says_what_share_is_flagged():
    table = AnomalyDetector(small(), false_alarm_rate=0.2, random_state=0).compare(rows(100), rows(50, seed=8))
    assert [set(row) for row in table] == [{"method", "flagged"}] * 4
    assert all(0 <= row["flagged"] < 0.6 for row in table)


@pytest.mark.parametrize("y", [np.zeros(50), np.ones(50), np.arange(49) % 2])
def test_compare_refuses_labels_that_cannot_judge(y, fitted):
    with pytest.raises(ValueError, match="hold both kinds"):
        fitted.compare(rows(200), rows(50), y)


def test_images_find_their_baselines_too():
    images = load_digits().images[:80]
    table = AnomalyDetector(small(), false_alarm_rate=0.2, random_state=0).compare(
        images[:60], images[60:], np.arange(20) < 5
    )
    assert len(table) == 4
    assert all(math.isfinite(row["auroc"]) for row in table)


def test_state_and_restore_give_the_same_detector(fitted):
    # A detector from a file has an auto-encoder before it has a state.
    again = AnomalyDetector(false_alarm_rate=0.1)
    again.estimator_ = fitted.estimator_
    again.restore(fitted.state())
    X = rows(30, seed=9)
    assert again.offset_ == fitted.offset_
    assert again.attainable_rate_ == fitted.attainable_rate_
    assert np.array_equal(again.decision_function(X), fitted.decision_function(X))
    assert again.alerts(X) == fitted.alerts(X)
    assert again.compare(rows(200), X) == fitted.compare(rows(200), X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held_out_scores": None}, "held_out_scores should be finite numbers, got None"),
        ({"held_out_scores": []}, "held_out_scores should be finite"),
        ({"held_out_scores": [0.0, np.nan]}, "held_out_scores should be finite"),
        ({"error_total": [np.inf] * 5}, "error_total should be finite"),
        ({"error_count": 3.0}, "error_count should be finite"),
        ({"error_count": [1.0]}, "should have one shape"),
        ({"measures": []}, "measures should be a list of names"),
        ({"measures": ["error", "error"]}, "measures should be a list of names"),
        ({"measures": ["error", "height"]}, "measures are error, codes"),
        ({"weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]}, "units and weights should be of its measures"),
        ({"units": None}, "units should be finite"),
        ({"reference": np.zeros((3, 4))}, "reference should be rows of \\[5\\] cells"),
        ({"reference": np.zeros((30_000, 5))}, "reference should be rows of \\[5\\] cells"),
        ({"reference_mask": np.ones((2, 5))}, "reference_mask should be of shape"),
        ({"seed": "0"}, "seed should be a whole number, got 0"),
        ({"seed": None}, "seed should be a whole number"),
    ],
)
def test_a_state_that_is_not_a_detectors_is_refused(change, message, fitted):
    with pytest.raises(ValueError, match=message):
        copy.copy(fitted).restore(fitted.state() | change)


@pytest.mark.parametrize("name", ["false_alarm_rate", "validation_fraction"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_shares_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be above 0 and below 1"):
        AnomalyDetector(small(), **{name: value}).fit(rows(30))


def test_one_row_is_too_few_and_two_are_enough():
    with pytest.raises(ValueError, match="1 sample.* minimum of 2 is required"):
        AnomalyDetector(small()).fit(rows(1))
    detector = AnomalyDetector(small(), random_state=0).fit(rows(2))
    assert detector.predict(rows(2)).shape == (2,)
    assert len(detector.compare(rows(2), rows(4))) == 4


@pytest.mark.parametrize("n_reasons", [0, -1, 1.5, True])
def test_a_number_of_reasons_that_is_none_is_refused(n_reasons, fitted):
    with pytest.raises(ValueError, match="n_reasons must be a whole number"):
        fitted.explain(rows(2), n_reasons)


@pytest.mark.parametrize("method", ["score_samples", "decision_function", "predict", "explain", "alerts"])
def test_before_fitting_there_is_no_answer(method):
    with pytest.raises(NotFittedError):
        getattr(AnomalyDetector(), method)(rows(2))


def test_rows_of_another_width_are_refused(fitted):
    with pytest.raises(ValueError, match="X has 4 features, but AnomalyDetector is expecting 5"):
        fitted.score_samples(rows(2)[:, :4])


def test_a_table_learns_to_put_right_swapped_cells_and_images_do_not():
    assert AnomalyDetector().default_estimator(rows(3)).corruption == "swap_rows(share=0.2)"
    assert AnomalyDetector().default_estimator(np.zeros((3, 4, 4))).corruption is None
