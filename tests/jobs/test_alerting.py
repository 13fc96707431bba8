"""Decisions of a fitted detector: p-values, thresholds that move, budgets, false discoveries, records."""

from __future__ import annotations

import json
import logging

import numpy as np
import polars as pl
import pytest

from isthmus import AutoEncoder
from isthmus.decisions import AtRate, benjamini_hochberg, p_values, smallest_rate, threshold_at
from isthmus.jobs import AnomalyDetector
from isthmus.saving import load, save


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Return rows of four correlated numbers."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 4)) + 0.3 * random.normal(size=(n, 4))


def made(**params) -> AnomalyDetector:
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=3, threads=1, random_state=0)
    return AnomalyDetector(model, random_state=0, **params)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "model"
    save(made(false_alarm_rate=0.1, validation_fraction=0.4).fit(rows(300)), path)
    return path


@pytest.fixture
def detector(saved):
    """A detector of one's own, for its threshold moves."""
    return load(saved)


@pytest.fixture
def odd():
    X = rows(60, seed=5)
    X[[3, 17]] += [[0, 0, 9, 0], [0, 90, 0, 0]]
    return X


def test_p_values_are_those_of_the_held_out_scores(detector, odd):
    p = detector.p_values(odd)
    assert np.array_equal(p, p_values(detector.held_out_scores_, detector.score_samples(odd)))
    assert p[17] == p.min() == 1 / 121


def test_the_threshold_and_its_interval_are_those_of_the_held_out_scores(detector):
    expected = threshold_at(detector.held_out_scores_, 0.1)
    assert detector.threshold_ == expected
    assert detector.offset_ == expected.offset
    assert detector.false_alarm_interval_ == expected.interval(0.95)
    assert detector.false_alarm_interval_[0] < expected.expected_rate < detector.false_alarm_interval_[1]


def test_a_moved_threshold_is_that_of_a_detector_fitted_for_its_rate(detector, odd):
    scores, p, name = detector.score_samples(odd), detector.p_values(odd), detector.model_id_
    moved = detector.set_threshold(0.3)
    assert moved is detector
    again = made(false_alarm_rate=0.3, validation_fraction=0.4).fit(rows(300))
    assert moved.get_params()["false_alarm_rate"] == 0.3
    assert moved.offset_ == pytest.approx(again.offset_)
    assert np.array_equal(moved.predict(odd), again.predict(odd))
    assert np.array_equal(moved.score_samples(odd), scores)
    assert np.array_equal(moved.p_values(odd), p)
    assert moved.model_id_ == name


def test_a_moved_threshold_is_saved(detector, odd, tmp_path):
    save(detector.set_threshold(0.2, confidence=0.9), tmp_path / "moved")
    assert load(tmp_path / "moved").threshold_ == detector.threshold_
    assert detector.threshold_ == threshold_at(detector.held_out_scores_, 0.2, 0.9)


def test_a_budget_a_day_is_the_rate_of_it(detector):
    by_day = detector.set_threshold(alerts_per_day=30, rows_per_day=200).offset_
    assert detector.false_alarm_rate == 0.15
    assert by_day == detector.set_threshold(0.15).offset_


def test_a_confidence_that_cannot_be_had_is_said(detector, caplog):
    with caplog.at_level(logging.WARNING, logger="isthmus.jobs.deciding"):
        detector.set_threshold(0.01, confidence=0.95)
    assert (
        f"120 held-out rows can vouch for a false-alarm rate of {smallest_rate(120, 0.95):.2g} at best with a "
        "confidence of 0.95, not 0.01: that takes 299"
    ) in caplog.text
    assert detector.threshold_.rank == 1


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"alerts_per_day": 5},
        {"rows_per_day": 5},
        {"false_alarm_rate": 0.1, "alerts_per_day": 5, "rows_per_day": 9},
        {"false_alarm_rate": 0.1, "rows_per_day": 9},
    ],
)
def test_a_threshold_is_asked_for_in_one_way(detector, asked):
    with pytest.raises(ValueError, match="give false_alarm_rate, or both alerts_per_day and rows_per_day"):
        detector.set_threshold(**asked)


def test_a_refused_threshold_leaves_the_old_one(detector):
    before = detector.threshold_
    for asked in ({"false_alarm_rate": 2.0}, {"false_alarm_rate": 0.1, "confidence": 7}):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            detector.set_threshold(**asked)
    assert (detector.threshold_, detector.false_alarm_rate) == (before, 0.1)


def test_a_budget_takes_the_least_normal_rows_whatever_the_threshold(detector, odd):
    scores = detector.score_samples(odd)
    for budget in (1, 5, 100):
        alerts = detector.alerts(odd, budget=budget)
        assert [alert["row"] for alert in alerts] == np.argsort(scores, kind="stable")[:budget].tolist()
        assert all(alert["score"] < alert["threshold"] for alert in alerts)


def test_false_discoveries_are_those_of_benjamini_and_hochberg(detector, odd):
    alerts = detector.alerts(odd, fdr=0.3)
    expected = np.flatnonzero(benjamini_hochberg(detector.p_values(odd), 0.3))
    assert len(expected) >= 2
    assert sorted(alert["row"] for alert in alerts) == expected.tolist()
    assert all(alert["score"] < alert["threshold"] for alert in alerts)


def test_a_budget_and_a_rate_of_false_discoveries_together_are_refused(detector, odd):
    with pytest.raises(ValueError, match="not both"):
        detector.alerts(odd, budget=3, fdr=0.1)
    assert isinstance(detector.rule(), AtRate)


def test_a_record_says_all_there_is_to_say(detector, odd):
    first = detector.alerts(odd, n_reasons=1)[0]
    assert list(first) == [
        "row",
        "score",
        "percentile",
        "p_value",
        "threshold",
        "severity",
        "reasons",
        "issues",
        "model",
    ]
    assert (first["row"], first["p_value"], first["percentile"]) == (17, 1 / 121, 100.0)
    assert len(first["reasons"]) == 1
    assert first["model"] == detector.model_id_
    json.dumps(first, allow_nan=False)


def test_severity_is_one_at_the_threshold_and_nought_at_the_middle_row(detector, odd, monkeypatch):
    typical, offset = np.median(detector.held_out_scores_), detector.offset_
    scores = np.array([typical, offset, offset + (offset - typical)])
    monkeypatch.setattr(detector, "score_samples", lambda X: scores)
    found = {alert["row"]: alert["severity"] for alert in detector.alerts(odd[:3], budget=3)}
    assert found == pytest.approx({0: 0.0, 1: 1.0, 2: 2.0})


def test_cells_that_are_missing_or_never_seen_are_issues_of_the_row():
    random = np.random.default_rng(0)
    size = random.normal(size=200)
    frame = pl.DataFrame({"a": size, "b": size + 0.1 * random.normal(size=200), "kind": ["ash", "oak"] * 100})
    detector = made(false_alarm_rate=0.2).fit(frame)
    new = pl.DataFrame({"a": [None, 0.0], "b": [0.5, 0.1], "kind": ["ash", "elm"]})
    issues = {alert["row"]: alert["issues"] for alert in detector.alerts(new, n_reasons=3, budget=2)}
    assert [(issue["feature"], issue["issue"]) for issue in issues[0]] == [("a", "missing")]
    assert [(issue["feature"], issue["value"]) for issue in issues[1]] == [("kind", "elm")]


def test_the_name_of_a_model_is_that_of_its_contents(detector, tmp_path):
    save(detector, tmp_path / "again")
    assert load(tmp_path / "again").model_id_ == detector.model_id_
    assert len(detector.model_id_) == 16
    assert int(detector.model_id_, 16) >= 0
    twin = made(false_alarm_rate=0.3, validation_fraction=0.4).fit(rows(300))
    assert twin.model_id_ == detector.model_id_
    assert made(validation_fraction=0.4).fit(rows(300, seed=1)).model_id_ != detector.model_id_
    # A single weight makes another model of it.
    weight = next(twin.estimator_.module_.parameters())
    weight.data.view(-1)[0] += 1e-3
    twin.restore(twin.state())
    assert twin.model_id_ != detector.model_id_
