"""Windows of series: where they lie, and what is told of their steps."""

import numpy as np
import pytest

from isthmus.jobs.baselines import PCAReconstruction
from isthmus.jobs.window_baselines import OnWindows
from isthmus.jobs.windows import Windows, default_window, filled, split_series
from isthmus.rows import SequenceRows


def series(*lengths: int, channels: int = 2) -> SequenceRows:
    total = sum(lengths)
    values = np.arange(total * channels, dtype=float).reshape(total, channels)
    return SequenceRows(values, np.concatenate([[0], np.cumsum(lengths)]))


def test_windows_never_reach_into_another_series_and_short_ones_are_filled_with_nothing():
    rows = series(5, 2, 3)
    windows = Windows(rows, 3)
    cut = windows.take(slice(None))
    assert cut.shape == (3 + 1 + 1, 3, 2)
    np.testing.assert_array_equal(cut[2], rows.values[2:5])
    np.testing.assert_array_equal(cut[3, :2], rows.values[5:7])
    assert np.isnan(cut[3, 2]).all()


def test_a_step_is_told_the_mean_of_the_judged_windows_that_cover_it():
    windows = Windows(series(6, 2), 3)
    costs = np.array([1.0, np.nan, 4.0, np.nan, 7.0])
    np.testing.assert_array_equal(windows.spread(costs), [1, 1, 2.5, 4, 4, np.nan, 7, 7])


def test_a_huge_cost_leaves_no_trace_where_its_window_is_not():
    windows = Windows(series(40), 4)
    costs = np.full(37, 0.1)
    costs[5] = 1e18
    assert (windows.spread(costs)[9:] == windows.spread(np.full(37, 0.1))[9:]).all()


def test_default_windows():
    assert default_window(np.array([4_000])) == 128
    assert default_window(np.array([200])) == 50
    assert default_window(np.array([140] * 30)) == 140
    assert default_window(np.array([5_000] * 30)) == 128


def test_few_series_are_cut_in_time_and_a_short_one_is_kept_whole():
    kept, held = split_series(series(50, 12), 10, 0.2, seed=0)
    assert kept.lengths.tolist() == [40, 12] and held.lengths.tolist() == [10]
    np.testing.assert_array_equal(held.values, series(50, 12).values[40:50])


def test_the_baseline_is_the_scorer_on_the_same_windows():
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 1)).cumsum(0)
    model = OnWindows(PCAReconstruction(2), window=6).fit(values)
    scaled = (values - values.mean()) / values.std()
    cut = np.stack([scaled[i : i + 6, 0] for i in range(55)])
    scores = PCAReconstruction(2).fit(cut).score_samples(cut)
    expected = [np.mean([scores[i] for i in range(55) if i <= t < i + 6]) for t in range(60)]
    np.testing.assert_allclose(model.score_samples(values), expected, rtol=1e-9)


def test_the_baseline_fills_gaps_on_a_line():
    values = np.arange(30.0)[:, None]
    model = OnWindows(PCAReconstruction(1), window=5).fit(values)
    gap = values.copy()
    gap[10:13] = np.nan
    assert model.score_samples(gap) == pytest.approx(model.score_samples(values))


def test_gaps_of_a_window_are_filled_on_a_line_and_held_at_its_ends():
    cut = np.array([[np.nan, 1.0, np.nan, np.nan, 4.0, np.nan], [np.nan] * 6])[..., None]
    np.testing.assert_array_equal(filled(cut)[0, :, 0], [1, 1, 2, 3, 4, 4])
    assert np.isnan(filled(cut)[1]).all()
