"""Metrics of generation: closed forms, and a re-statement with all distances at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from isthmus.metrics import covered, frechet_distance

RANDOM = np.random.default_rng(0)


def test_the_frechet_distance_is_the_one_with_a_matrix_square_root():
    a = RANDOM.normal(size=(60, 4)) @ RANDOM.normal(size=(4, 4))
    b = RANDOM.normal(size=(50, 4)) @ RANDOM.normal(size=(4, 4)) + 1
    first, second = np.cov(a.T), np.cov(b.T)
    root = sqrtm(first @ second).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + [3, 0, 0, 4]) == pytest.approx(25)


def test_the_frechet_distance_of_one_column_is_of_means_and_deviations():
    a, b = RANDOM.normal(size=(40, 1)), 2 + 3 * RANDOM.normal(size=(40, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_covered_is_the_share_within_the_reach_of_any_other():
    rows, among = RANDOM.normal(size=(600, 3)) * 1.5, RANDOM.normal(size=(80, 3))
    own = np.sort(np.sqrt(((among[:, None] - among[None]) ** 2).sum(2)), 1)[:, 3]
    distances = np.sqrt(((rows[:, None] - among[None]) ** 2).sum(2))
    assert covered(rows, among) == pytest.approx((distances <= own).any(1).mean())
    assert 0.1 < covered(rows, among) < 0.99


def test_a_single_row_covers_itself_alone():
    assert covered(np.array([[1.0, 2.0], [1.0, 2.5]]), np.array([[1.0, 2.0]])) == 0.5


def test_rows_that_copy_a_few_are_precise_and_do_not_cover_the_rest():
    real = RANDOM.normal(size=(300, 2))
    copies = np.repeat(real[:5], 20, axis=0)
    assert covered(copies, real) == 1.0
    assert covered(real, copies) == pytest.approx(5 / 300)


def test_a_wider_reach_covers_more():
    rows, among = RANDOM.normal(size=(200, 4)), RANDOM.normal(size=(40, 4))
    shares = [covered(rows, among, n_neighbors) for n_neighbors in (1, 3, 10, 1_000)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_what_cannot_be_compared_is_refused():
    rows = RANDOM.normal(size=(5, 2))
    for a, b in ((rows, rows[:, :1]), (rows[0], rows), (rows, rows[:1])):
        with pytest.raises(ValueError, match="equally many columns and at least 2 rows"):
            frechet_distance(a, b)
    with pytest.raises(ValueError, match="at least 1 rows each"):
        covered(rows[:0], rows)
    with pytest.raises(ValueError, match="n_neighbors must be at least 1, got 0"):
        covered(rows, rows, 0)
