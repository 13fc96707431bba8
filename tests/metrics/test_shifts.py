"""Two samples of one distribution or not: closed forms, scipy's own answers, and levels by simulation."""

from __future__ import annotations

from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from isthmus.metrics.shifts import holm, same_counts, same_distribution, same_share, stability_index

counts = st.lists(st.integers(0, 60), min_size=2, max_size=8).filter(any)


def test_the_distance_over_all_points_is_scipys_two_sample_test():
    random = np.random.default_rng(0)
    first, second = random.normal(size=300), random.normal(0.2, size=500)
    points = np.append(np.sort(np.concatenate([first, second])), np.inf)
    histograms = [np.histogram(sample, np.append(-np.inf, points))[0] for sample in (first, second)]
    # numpy's bins are open above; a number at its own point falls in the next, which moves no share.
    distance, p_value = same_distribution(*histograms)
    expected = stats.ks_2samp(first, second, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue)


@settings(max_examples=50, deadline=None)
@given(counts, counts)
def test_fewer_bins_never_make_the_distance_larger(first, second):
    size = min(len(first), len(second))
    first, second = np.array(first[:size]), np.array(second[:size])
    if first.sum() and second.sum():
        whole, p_whole = same_distribution(first, second)
        merged = [np.add.reduceat(sample, range(0, size, 2)) for sample in (first, second)]
        assert same_distribution(*merged)[0] <= whole + 1e-12
        assert same_distribution(*merged)[1] >= p_whole - 1e-12


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_the_exact_test_sums_the_hypergeometric_law(first, n, second, m):
    first, second = min(first, n), min(second, m)
    total, rows = first + second, n + m
    law = {k: comb(total, k) * comb(rows - total, m - k) / comb(rows, m) for k in range(min(total, m) + 1)}
    lower = sum(chance for k, chance in law.items() if k <= second)
    upper = sum(chance for k, chance in law.items() if k >= second)
    assert same_share(first, n, second, m) == pytest.approx(min(1, 2 * min(lower, upper)), abs=1e-12)


def test_shares_of_many_rows_are_tested_by_chi_square():
    expected = stats.chi2_contingency([[600, 4_400], [500, 4_500]], correction=False).pvalue
    assert same_share(600, 5_000, 500, 5_000) == pytest.approx(expected)


def test_common_categories_are_tested_by_chi_square_alone():
    first, second = np.array([100, 200, 300, 0]), np.array([60, 80, 110, 0])
    assert same_counts(first, second) == pytest.approx(
        stats.chi2_contingency([first[:3], second[:3]], correction=False).pvalue
    )


def test_a_new_category_too_rare_for_chi_square_is_found():
    assert same_counts(np.array([9_000, 1_000, 0]), np.array([876, 98, 26])) < 1e-6


def test_categories_seen_once_each_are_no_drift_though_nearly_all_are_new():
    # Of a million cities, those of the second sample are others than those of the first.
    random = np.random.default_rng(3)
    values = random.integers(0, 10**6, 3_000)
    _, place = np.unique(values, return_inverse=True)
    first = np.bincount(place[:2_000], minlength=place.max() + 1)
    second = np.bincount(place[2_000:], minlength=place.max() + 1)
    assert ((first == 0) & (second > 0)).sum() > 900
    assert same_counts(first, second) > 0.05


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.96, 0.03, 0.01), tuple(np.geomspace(0.3, 0.0003, 40))])
def test_the_test_of_categories_keeps_its_level(shares):
    random = np.random.default_rng(1)
    shares = np.array(shares) / sum(shares)
    runs = 300
    rejected = sum(
        same_counts(random.multinomial(900, shares), random.multinomial(250, shares)) < 0.1 for _ in range(runs)
    )
    assert rejected <= runs * 0.1 + 3 * (runs * 0.09) ** 0.5


def test_the_stability_index_is_its_formula_and_symmetric():
    first, second = np.array([40, 60]), np.array([70, 30])
    expected = (0.7 - 0.4) * log(0.7 / 0.4) + (0.3 - 0.6) * log(0.3 / 0.6)
    assert stability_index(first, second) == pytest.approx(expected)
    assert stability_index(second, first) == pytest.approx(expected)
    assert stability_index(first, 3 * first) == 0


def test_an_empty_bin_counts_as_half_a_row_and_one_empty_twice_not_at_all():
    expected = (0.1 - 0.005) * log(0.1 / 0.005) + (0.9 - 1.0) * log(0.9)
    assert stability_index(np.array([0, 100, 0]), np.array([10, 90, 0])) == pytest.approx(expected)


def test_holm_is_the_closed_test_of_bonferroni():
    # A hypothesis is rejected if Bonferroni rejects every set of hypotheses that it is in.
    p_values = np.array([0.011, 0.2, 0.003, 0.04])
    sets = [[i for i in range(4) if bits >> i & 1] for bits in range(1, 16)]
    closed = [max(min(1, len(one) * p_values[one].min()) for one in sets if i in one) for i in range(4)]
    np.testing.assert_allclose(holm(p_values), closed)
