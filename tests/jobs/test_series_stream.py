"""A series that comes piece by piece: what is known of it in the end is what is known of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus import AutoEncoder
from isthmus.jobs import SeriesDetector
from isthmus.jobs.series_stream import SeriesStream

PLACES = ("series", "start", "rang", "end", "worst", "percentile", "threshold", "span")
TIMES = np.datetime64("2026-01-01", "us") + np.arange(400) * np.timedelta64(3600, "s")


def wave(steps: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    t = np.arange(steps)[:, None] / 5 + np.arange(2)
    return np.sin(t) + 0.1 * random.normal(size=(steps, 2))


@pytest.fixture(scope="module")
def detector() -> SeriesDetector:
    model = AutoEncoder(bottleneck="linear(size=3)", max_epochs=3, threads=1, random_state=0)
    return SeriesDetector(model, window=16, mute=30, random_state=0).fit(wave(600))


@pytest.fixture(scope="module")
def new() -> np.ndarray:
    series = wave(300, seed=1)
    series[60:66, 0] = 3
    series[85:87, 1] = -4
    series[150:175] = np.nan
    series[240:, 1] += 2
    return series


def heard(detector, series, cuts, times=None):
    """Return all scores, the alarms that rang, and those that are over."""
    stream, begin, found = SeriesStream(detector), 0, []
    for end in [*cuts, len(series)]:
        found.append(stream.update(series[begin:end], None if times is None else times[begin:end]))
        begin = end
    found.append(stream.finish())
    firsts = np.cumsum([0, *(len(one.scores) for one in found)])
    assert [one.first for one in found] == firsts[:-1].tolist()
    alarms = [alarm for one in found for alarm in one.alarms]
    rung, over = ([alarm for alarm in alarms if alarm["over"] is kind] for kind in (False, True))
    return np.concatenate([one.scores for one in found]), rung, over, alarms


def assert_same(found, expected):
    """The same alarms, whatever is said of them besides, their figures but for rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert [one[name] for name in PLACES] == [other[name] for name in PLACES]
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)
        for why, of in zip(one["reasons"], other["reasons"], strict=True):
            assert (why["feature"], why["step"]) == (of["feature"], of["step"])
            assert why["expected"] == pytest.approx(of["expected"], rel=1e-4)
            assert why["share"] == pytest.approx(of["share"], rel=1e-4)


@pytest.mark.parametrize("cuts", [range(1, 300), [15, 16, 17, 40], [100, 100, 299], []])
def test_pieces_of_any_lengths_give_scores_and_alarms_of_the_whole(detector, new, cuts):
    scores, rung, over, told = heard(detector, new, cuts, TIMES[:300])
    np.testing.assert_allclose(scores, detector.score_samples(new), rtol=1e-5)
    assert np.isnan(scores).any()
    whole = detector.alarms(new)
    assert len(whole) >= 4
    assert_same(over, whole)
    assert over[0]["start_time"] == str(TIMES[over[0]["start"]]) and over[0]["end_time"] == str(TIMES[over[0]["end"]])
    # Each is told when it rings, and again, the same alarm, when it is over; never two at once.
    assert [alarm["over"] for alarm in told] == [False, True] * len(whole)
    assert [(one["start"], one["rang"], one["rang"]) for one in over] == [
        (one["start"], one["rang"], one["end"]) for one in rung
    ]


def test_what_is_told_when_it_rings_does_not_hang_on_the_pieces(detector, new):
    _, one_by_one, *_ = heard(detector, new, range(1, 300))
    _, at_once, *_ = heard(detector, new, [])
    assert_same(one_by_one, at_once)


def test_a_score_is_known_when_no_later_step_can_change_it(detector, new):
    stream = SeriesStream(detector)
    counts = [len(stream.update(new[i : i + 1]).scores) for i in range(40)]
    assert counts == [0] * 15 + [1] * 25


def test_without_a_mute_window_an_alarm_is_over_at_once(detector, new):
    other = SeriesDetector(mute=0, window=16)
    other.estimator_ = detector.estimator_
    other.restore(detector.state())
    _, rung, over, told = heard(other, new[:100], range(1, 100))
    assert_same(over, other.alarms(new[:100]))
    assert [alarm["over"] for alarm in told] == [False, True] * len(rung)


def test_a_series_shorter_than_a_window_is_one_window_and_none_is_none(detector, new):
    scores, *_ = heard(detector, new[:7], [3])
    np.testing.assert_allclose(scores, detector.score_samples(new[:7]), rtol=1e-5)
    nothing = SeriesStream(detector).finish()
    assert not len(nothing.scores) and not nothing.alarms


def test_what_is_kept_does_not_grow(detector):
    stream, most = SeriesStream(detector), 0
    for piece in np.split(wave(3000, seed=4), 60):
        stream.update(piece)
        most = max(most, len(stream._values))
    assert most <= 30 + 3 * 16 + 5


@pytest.mark.parametrize(
    ("values", "times", "why"),
    [
        (np.zeros((3, 1)), None, r"\(n, 2\)"),
        (np.full((3, 2), np.inf), None, "infinity"),
        (np.zeros((3, 2)), TIMES[:3], "of all steps of a series, or of none"),
    ],
)
def test_steps_that_do_not_fit_are_refused(detector, values, times, why):
    stream = SeriesStream(detector)
    stream.update(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=why):
        stream.update(values, times)
