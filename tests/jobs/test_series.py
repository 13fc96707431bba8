"""The detector of series: its score written down again, its threshold, its alarms, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from isthmus import AutoEncoder, saving
from isthmus.checks import check_job
from isthmus.jobs import SeriesDetector
from isthmus.jobs.series_reasons import shortest_half

QUICK = dict(max_epochs=3, threads=1, random_state=0)


def small(**params) -> AutoEncoder:
    return AutoEncoder(bottleneck="linear(size=3)", **QUICK | params)


def wave(steps: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    t = np.arange(steps)[:, None] / 5 + np.arange(channels)
    return np.sin(t) + 0.1 * random.normal(size=(steps, channels))


@pytest.fixture(scope="module")
def fitted() -> SeriesDetector:
    return SeriesDetector(small(), window=20, random_state=0).fit(wave(600))


class OnExamples(SeriesDetector):
    """A detector that says of the rows of a table that they are examples, which makes scikit-learn check it."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def other_checks():
    """All of scikit-learn's checks but the two that take another order, or a part alone, for the same examples."""
    of_examples = ("check_methods_sample_order_invariance", "check_methods_subset_invariance")
    every = estimator_checks_generator(OnExamples(small(dtype="float64")))
    named = [(check.func.__name__, estimator, check) for estimator, check in every]
    return [pytest.param(estimator, check, id=name) for name, estimator, check in named if name not in of_examples]


def test_rows_are_no_examples_and_are_not_said_to_be():
    """The cost of a step is of all windows around it: it must change where its neighbours do."""
    tags = get_tags(SeriesDetector()).input_tags
    assert tags.three_d_array and not tags.two_d_array
    with pytest.warns(SkipTestWarning, match="Can't test"):
        check_estimator(SeriesDetector())


@pytest.mark.parametrize(("estimator", "check"), other_checks())
def test_scikit_learns_other_checks_hold_for_an_array_of_steps(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_the_contract_of_jobs_holds():
    check_job(SeriesDetector(small()))


def test_the_score_of_a_step_is_the_mean_of_the_costs_of_all_windows_that_cover_it(fitted):
    new, w = wave(70, seed=1), 20
    new[30:34] += 2
    windows = np.stack([new[i : i + w] for i in range(len(new) - w + 1)])
    again = fitted.estimator_.reconstruct(windows)
    scale = fitted.estimator_.modality_.channels[0]["scale"]
    centre = fitted.estimator_.modality_.channels[0]["center"]
    error = np.square((windows - again) / scale).mean((1, 2))
    codes = ((again - centre) / scale).reshape(len(again), -1)
    distances = np.linalg.norm(codes[:, None] - fitted.state()["references"][None], axis=2)
    distance = np.sort(distances, 1)[:, :5].mean(1) ** 2 / w
    costs = np.maximum(error / fitted.state()["error"], distance / fitted.state()["distance"])
    expected = [-np.mean([costs[i] for i in range(len(costs)) if i <= t < i + w]) for t in range(len(new))]
    np.testing.assert_allclose(fitted.score_samples(new), expected, rtol=1e-4)


def test_what_is_held_out_is_the_end_and_sets_units_and_threshold(fitted):
    # 120 of 600 steps; as they are judged by themselves, scoring them anew gives the same.
    scores = fitted.score_samples(wave(600)[480:])
    np.testing.assert_allclose(np.sort(scores), fitted.held_out_scores_, rtol=1e-6)
    assert fitted.held_out_["steps"] == 120 and fitted.held_out_["windows"] == 6
    assert (scores < fitted.offset_).sum() <= 0.01 * 121
    assert fitted.attainable_rate_ == pytest.approx(1 / 7)


def test_no_window_has_held_out_steps_and_others(monkeypatch):
    seen, fit = [], AutoEncoder.fit
    monkeypatch.setattr(AutoEncoder, "fit", lambda self, X, y=None: seen.append(X.array) or fit(self, X, y))
    SeriesDetector(small(max_epochs=1), window=10, random_state=0).fit(np.arange(100.0)[:, None])
    assert seen[0].shape == (71, 10, 1)
    assert seen[0].max() == 79


def test_an_anomaly_rings_once_within_the_mute_window_and_its_span_and_channel_are_named():
    detector = SeriesDetector(small(), window=20, mute=100, random_state=0).fit(wave(800, channels=2))
    new = wave(300, seed=2, channels=2)
    new[150:158, 1] = 3.0
    alarms = [alarm for alarm in detector.alarms(new) if alarm["score"] < 2 * detector.offset_]
    assert len(alarms) == 1
    alarm = alarms[0]
    assert alarm["start"] <= 150 and alarm["end"] >= 157
    assert 149 <= alarm["span"][0] <= alarm["span"][1] <= 158
    assert alarm["reasons"][0]["feature"] == "x1" and alarm["reasons"][0]["share"] > 0.5
    assert alarm["reasons"][0]["value"] == 3.0 and alarm["reasons"][0]["expected"] < 2.5
    json.dumps(alarm, allow_nan=False)


def test_steps_that_no_window_can_judge_have_no_score_and_are_not_anomalous(fitted):
    new = wave(200, seed=3)
    new[60:140] = np.nan
    scores = fitted.score_samples(new)
    # A window needs half of its steps: those 10 deep within the gap have none.
    assert np.isnan(scores[70:130]).all() and np.isfinite(scores[:60]).all() and np.isfinite(scores[140:]).all()
    assert (fitted.predict(new)[70:130] == 1).all()


def test_a_few_missing_steps_change_little(fitted):
    new = wave(200, seed=4)
    whole = fitted.score_samples(new)
    new[[50, 90, 91]] = np.nan
    assert np.abs(fitted.score_samples(new) / whole - 1).max() < 0.5


def test_several_series_are_judged_each_by_itself(fitted):
    one, other, short = wave(100, seed=5), wave(60, seed=6), wave(7, seed=7)
    several = fitted.score_samples([one, other, short])
    assert [len(scores) for scores in several] == [100, 60, 7]
    np.testing.assert_allclose(several[0], fitted.score_samples(one), rtol=1e-6)
    # Shorter than a window, a series is one window: all of its steps have one score.
    assert np.ptp(several[2]) == 0 and np.isfinite(several[2]).all()


def test_of_many_short_series_some_are_held_out_whole():
    beats = [wave(24, seed=i) for i in range(20)]
    detector = SeriesDetector(small(), random_state=0).fit(beats)
    assert detector.window_ == 24
    assert detector.held_out_["steps"] == 4 * 24
    beats[3] = beats[3][::-1] * 3
    worst = [scores.min() for scores in detector.score_samples(beats)]
    assert int(np.argmin(worst)) == 3


def test_a_table_is_one_series_and_its_dates_are_told(tmp_path):
    times = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 26), "1h", eager=True)[:600]
    frame = pl.DataFrame({"when": times, "a": wave(600)[:, 0], "b": wave(600, 1)[:, 0]})
    detector = SeriesDetector(small(), window=20, random_state=0).fit(frame)
    assert detector.feature_names_in_.tolist() == ["a", "b"]
    changed = frame.with_columns(a=pl.when(pl.arange(0, 600) == 300).then(9.0).otherwise(pl.col("a")))
    alarm = min(detector.alarms(changed.select("b", "when", "a")), key=lambda alarm: alarm["score"])
    assert alarm["reasons"][0]["feature"] == "a" and alarm["reasons"][0]["step"] == 300
    assert alarm["start_time"] < str(times[300].isoformat()) < alarm["end_time"]
    saving.save(detector, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    assert again.alarms(changed) == detector.alarms(changed)
    assert again.held_out_ == detector.held_out_
    with pytest.raises(ValueError, match="no channel b"):
        detector.alarms(frame.select("when", "a"))


def test_another_rate_needs_no_new_fit(fitted):
    other = SeriesDetector(small(), window=20, false_alarm_rate=0.2)
    other.estimator_ = fitted.estimator_
    other.restore(fitted.state())
    assert other.offset_ > fitted.offset_
    assert (fitted.held_out_scores_ < other.offset_).mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_figures_stand_beside_those_of_windows_without_the_code(fitted):
    new, labels = wave(300, seed=8), np.zeros(300, bool)
    new[100:110], labels[100:110] = 0, True
    table = SeriesDetector(small(), window=20, random_state=0).compare(wave(600), new, labels)
    assert [row["method"] for row in table] == ["auto-encoder", "window PCA", "window 5-NN", "plain auto-encoder"]
    assert all(0 <= row["vus_pr"] <= 1 for row in table)
    assert table[0]["vus_pr"] > 0.3


@pytest.mark.parametrize(
    ("X", "params", "why"),
    [
        (np.zeros((30, 1)), {"window": 16}, "minimum of 32"),
        (np.zeros((4, 8, 8, 3), np.uint8), {}, "For images use AnomalyDetector"),
        (pl.DataFrame({"a": ["x", "y"] * 20}), {}, "numbers and at most one column of times"),
        (np.where(np.arange(40)[:, None] == 7, np.inf, 0.0), {"window": 4}, "infinity at step 7"),
        (np.full((40, 1), np.nan), {"window": 4}, "half of its values"),
        (wave(40), {"window": 1}, "window must be"),
        (wave(40), {"alarm_steps": 4, "alarm_of": 3}, "n of the last m"),
        (wave(40), {"false_alarm_rate": 0.0}, "false_alarm_rate"),
        (wave(40), {"estimator": AutoEncoder("tables")}, "reads sequences"),
    ],
)
def test_what_cannot_be_watched_is_refused(X, params, why):
    with pytest.raises(ValueError, match=why):
        SeriesDetector(**{"estimator": small()} | params).fit(X)


@pytest.mark.parametrize(
    "change", [{"window": 9}, {"references": np.zeros((3, 4))}, {"held_out": np.full(120, np.inf)}, {"error": -1.0}]
)
def test_a_state_that_does_not_fit_is_refused(fitted, change):
    other = SeriesDetector(small())
    other.estimator_ = fitted.estimator_
    with pytest.raises(ValueError, match="the detector's"):
        other.restore(fitted.state() | change)


def test_the_shortest_half_of_an_error_is_where_it_lies():
    error = np.array([0.1, 0, 3, 4, 0, 0.5])[:, None]
    assert shortest_half(error) == (3, 3)
    assert shortest_half(np.zeros((4, 2))) == (0, 0)
    assert shortest_half(np.ones((6, 1))) == (0, 2)
