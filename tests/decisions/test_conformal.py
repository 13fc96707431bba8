"""Conformal p-values are valid, and Benjamini and Hochberg's rule is what it says and controls what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.decisions import adjusted_p_values, benjamini_hochberg, fewest_discoveries, p_values

QUICK = settings(max_examples=60, deadline=None)
whole = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)
shares = st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=1, max_size=30)


@QUICK
@given(whole, whole)
def test_p_values_count_the_held_out_rows_that_are_at_least_as_anomalous(held_out, scores):
    expected = [(1 + sum(other <= score for other in held_out)) / (len(held_out) + 1) for score in scores]
    assert p_values(held_out, scores).tolist() == expected


def test_p_values_of_exchangeable_rows_are_uniform_on_their_steps():
    # Any of m + 1 rows may be the new one: each gives one of the p-values 1/(m+1), ..., 1.
    scores = np.random.default_rng(0).normal(size=20)
    found = sorted(float(p_values(np.delete(scores, i), scores[i : i + 1])[0]) for i in range(20))
    assert found == [(i + 1) / 20 for i in range(20)]


@QUICK
@given(st.lists(st.integers(0, 3).map(float), min_size=2, max_size=30))
def test_p_values_are_super_uniform_also_where_scores_are_equal(scores):
    p = np.array([p_values(np.delete(scores, i), scores[i : i + 1])[0] for i in range(len(scores))])
    for u in np.arange(1, len(scores) + 1) / len(scores):
        assert (p <= u + 1e-12).mean() <= u + 1e-12


@QUICK
@given(shares, st.integers(1, 19).map(lambda k: k / 20))
def test_the_rule_is_the_largest_k_by_brute_force(p, fdr):
    ordered = sorted(p)
    # In twentieths, and so without rounding.
    fits = [k for k in range(1, len(p) + 1) if round(20 * ordered[k - 1]) * len(p) <= round(20 * fdr) * k]
    largest = ordered[max(fits) - 1] if fits else -1.0
    assert benjamini_hochberg(p, fdr).tolist() == [value <= largest for value in p]


@QUICK
@given(shares)
def test_adjusted_p_values_are_the_rates_at_which_each_row_is_found(p):
    adjusted = adjusted_p_values(p)
    assert (adjusted >= np.array(p) - 1e-12).all()
    for q in np.unique(adjusted):
        if 0 < q < 1:
            assert (benjamini_hochberg(p, q) == (adjusted <= q * (1 + 1e-9))).all()


@pytest.mark.parametrize(("n_odd", "shift"), [(0, 0.0), (20, 3.0), (60, 2.0)])
def test_false_discoveries_among_conformal_p_values_are_the_promised_share_on_average(n_odd, shift):
    random, q, n, draws = np.random.default_rng(4), 0.2, 200, 800
    shares = []
    for _ in range(draws):
        scores = random.normal(size=n)
        scores[:n_odd] -= shift
        alert = benjamini_hochberg(p_values(random.normal(size=500), scores), q)
        shares.append(alert[n_odd:].sum() / max(1, alert.sum()))
    # Its expectation is at most q times the share of normal rows.
    assert np.mean(shares) <= q * (n - n_odd) / n + 3 * np.std(shares) / math.sqrt(draws)


def test_fewer_alerts_than_the_held_out_rows_can_vouch_for_are_never_given():
    n, m, q = 2_000, 99, 0.1
    least = fewest_discoveries(n, m, q)
    assert least == 200
    for count, expected in ((least - 1, 0), (least, least)):
        p = np.ones(n)
        p[:count] = 1 / (m + 1)
        assert benjamini_hochberg(p, q).sum() == expected


def test_no_rows_are_no_discoveries_and_what_is_no_p_value_is_refused():
    assert benjamini_hochberg([], 0.1).shape == (0,)
    with pytest.raises(ValueError, match="from 0 to 1"):
        benjamini_hochberg([1.5], 0.1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjusted_p_values([math.nan])
    with pytest.raises(ValueError, match="fdr must be above 0"):
        benjamini_hochberg([0.5], 0)
