"""Thresholds from held-out scores: the law of their rate, what so many rows can vouch for, budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, kstest

from isthmus.decisions import (
    Threshold,
    p_values,
    rate_of_budget,
    rows_needed,
    rows_per_day,
    smallest_rate,
    threshold_at,
    worst,
)

QUICK = settings(max_examples=60, deadline=None)
whole = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)


def test_the_true_rate_of_a_threshold_follows_the_beta_law():
    # Of uniform scores the rate of a threshold is the threshold itself.
    random = np.random.default_rng(0)
    m, rate, draws = 199, 0.05, 2_000
    thresholds = [threshold_at(random.uniform(size=m), rate) for _ in range(draws)]
    assert {threshold.rank for threshold in thresholds} == {10}
    rates = [threshold.offset for threshold in thresholds]
    assert kstest(rates, beta(10, m + 1 - 10).cdf).pvalue > 0.01
    assert np.mean(rates) == pytest.approx(thresholds[0].expected_rate, abs=3 * np.std(rates) / math.sqrt(draws))


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_holds_the_true_rate_as_often_as_it_says(level):
    random, draws = np.random.default_rng(1), 2_000
    hits = 0
    for _ in range(draws):
        threshold = threshold_at(random.normal(size=150), 0.02)
        low, high = threshold.interval(level)
        # The standard normal's own distribution function, which no estimate is.
        hits += low <= 0.5 * math.erfc(-threshold.offset / math.sqrt(2)) <= high
    low, high = binom.ppf([0.0005, 0.9995], draws, level)
    assert low <= hits <= high


def test_with_equal_scores_the_rate_is_at_most_what_the_law_says():
    random, draws = np.random.default_rng(2), 500
    rates = np.array([math.floor(threshold_at(random.integers(0, 20, 99), 0.1).offset) / 20 for _ in range(draws)])
    for share in (0.05, 0.1, 0.15):
        assert (rates > share).mean() <= beta(10, 90).sf(share) + 3 / math.sqrt(draws)


def test_the_interval_is_that_of_clopper_and_pearson_turned_round():
    # P(Beta(k, m + 1 - k) <= x) = P(Binomial(m, x) >= k): k or more of m rows are below a rate x.
    threshold = Threshold(0.0, 7, 300)
    for end, tail in zip(threshold.interval(0.9), (0.05, 0.95), strict=True):
        assert binom.sf(6, 300, end) == pytest.approx(tail)


def test_the_interval_of_a_batch_holds_what_is_observed_in_it():
    random, draws, rows = np.random.default_rng(6), 1_000, 150
    hits = 0
    for _ in range(draws):
        threshold = threshold_at(random.normal(size=120), 0.1)
        low, high = threshold.interval(0.8, rows)
        hits += low <= (random.normal(size=rows) < threshold.offset).mean() <= high
    # A count cannot hit a level on the nose: at least so often, and not by much more.
    assert binom.ppf(0.0005, draws, 0.8) <= hits <= 0.88 * draws
    wide, narrow = Threshold(0.0, 7, 300).interval(rows=10**7), Threshold(0.0, 7, 300).interval()
    assert wide == pytest.approx(narrow, rel=1e-3)
    with pytest.raises(ValueError, match="rows must be a whole number"):
        threshold.interval(rows=0)


def test_with_a_confidence_the_rate_is_kept_for_that_share_of_the_draws():
    random, draws = np.random.default_rng(3), 1_000
    rates = [threshold_at(random.uniform(size=1_000), 0.02, confidence=0.9).offset for _ in range(draws)]
    share = (np.array(rates) <= 0.02).mean()
    assert share >= 0.9 - 3 * math.sqrt(0.09 / draws)
    # And no lower than it need be: one rank more would not keep it.
    rank = threshold_at(np.arange(1_000.0), 0.02, confidence=0.9).rank
    assert Threshold(0.0, rank, 1_000).bound(0.9) <= 0.02 < Threshold(0.0, rank + 1, 1_000).bound(0.9)


@QUICK
@given(whole, st.floats(0.001, 0.999))
def test_a_threshold_is_one_of_the_scores_and_no_more_are_below_it_than_it_says(scores, rate):
    threshold = threshold_at(scores, rate)
    assert threshold.offset == sorted(scores)[threshold.rank - 1]
    assert sum(score < threshold.offset for score in scores) < threshold.rank
    assert threshold.rank == 1 or threshold.expected_rate <= rate + 1e-8
    assert threshold.rank == len(scores) or (threshold.rank + 1) / (len(scores) + 1) > rate


@QUICK
@given(whole, whole, st.floats(0.001, 0.999))
def test_thresholds_and_p_values_never_disagree(held_out, scores, rate):
    threshold = threshold_at(held_out, rate)
    below = np.array(scores) < threshold.offset
    assert (below == (p_values(held_out, scores) <= threshold.expected_rate)).all()


@QUICK
@given(whole, st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_a_higher_rate_never_lowers_the_threshold(scores, rate, more):
    assert threshold_at(scores, rate).offset <= threshold_at(scores, rate + more).offset


def test_a_rate_that_is_a_whole_number_of_rows_is_not_lost_to_rounding():
    for m, rate, rank in ((9, 0.1, 1), (99, 0.07, 7), (999, 0.001, 1), (9_999, 0.003, 30)):
        assert threshold_at(np.arange(m), rate).rank == rank


@pytest.mark.parametrize("confidence", [None, 0.5, 0.95])
@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 0.001])
def test_the_rows_needed_are_the_fewest_that_can_vouch(rate, confidence):
    m = rows_needed(rate, confidence)
    assert smallest_rate(m, confidence) <= rate + 1e-12
    assert m == 1 or smallest_rate(m - 1, confidence) > rate


def test_the_smallest_rate_is_that_of_the_least_normal_row():
    threshold = threshold_at(np.arange(40), 0.001)
    assert threshold.rank == 1
    assert threshold.expected_rate == smallest_rate(40)
    assert threshold.bound(0.95) == pytest.approx(smallest_rate(40, 0.95))


def test_a_budget_a_day_is_a_rate():
    assert rate_of_budget(50, 20_000) == 0.0025
    for budget, rows in ((0, 10), (10, 10), (11, 10), (math.nan, 10), (1, math.inf)):
        with pytest.raises(ValueError, match="a budget must be above 0 and below the number of rows a day"):
            rate_of_budget(budget, rows)


def test_rows_a_day_are_counted_from_the_first_time_to_the_last():
    times = np.datetime64("2024-03-01T06:00") + np.arange(97) * np.timedelta64(30, "m")
    assert rows_per_day(np.random.default_rng(0).permutation(times)) == 48
    assert rows_per_day(np.append(times, np.datetime64("NaT"))) == 48
    with pytest.raises(ValueError, match="two different times"):
        rows_per_day(times[[3, 3]])
    with pytest.raises(TypeError, match="must be dates"):
        rows_per_day([1.0, 2.0])


@QUICK
@given(
    st.lists(st.tuples(st.integers(-4, 4).map(float), st.integers(0, 3)), max_size=40),
    st.integers(1, 50),
)
def test_the_worst_are_those_of_a_stable_sort_of_each_group(rows, budget):
    scores, groups = [score for score, _ in rows], [group for _, group in rows]
    for labels in (None, groups):
        expected = np.zeros(len(rows), bool)
        for label in set(labels or [0]):
            here = [i for i in range(len(rows)) if labels is None or labels[i] == label]
            expected[sorted(here, key=lambda i: scores[i])[:budget]] = True
        assert (worst(scores, budget, labels) == expected).all()


def test_what_is_no_share_no_score_and_no_budget_is_refused():
    with pytest.raises(ValueError, match="rate must be above 0 and below 1, got 1"):
        threshold_at([0.0], 1)
    with pytest.raises(ValueError, match="confidence must be above 0"):
        threshold_at([0.0], 0.5, confidence=0.0)
    for scores in ([], [[1.0]], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match="held-out scores must be finite"):
            threshold_at(scores, 0.5)
    for budget in (0, 1.5, True):
        with pytest.raises(ValueError, match="budget must be a whole number"):
            worst([1.0], budget)
    with pytest.raises(ValueError, match="groups must name one for each of the 2"):
        worst([1.0, 2.0], 1, ["a"])
