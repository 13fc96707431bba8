"""Mutual information by counting, its gap and its modularity, on codes whose answer is known."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from isthmus.metrics import mig, modularity, mutual_information
from isthmus.metrics.information import entropy

RANDOM = np.random.default_rng(0)
# Every combination of 4, 5 and 6 values, 20 times: independent, and not only on average.
GRID = np.stack(np.meshgrid(np.arange(4), np.arange(5), np.arange(6), indexing="ij"), -1).reshape(-1, 3).repeat(20, 0)


def rotated(factors, angle=np.pi / 4):
    centred = (factors - factors.mean(0)) / factors.std(0)
    cos, sin = np.cos(angle), np.sin(angle)
    return centred @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def test_information_is_that_of_the_counts():
    codes = RANDOM.normal(size=(500, 2))
    factors = RANDOM.integers(0, 4, (500, 2))
    low, high = codes.min(0), codes.max(0)
    binned = np.minimum((codes - low) / (high - low) * 20, 19).astype(int)
    wanted = [[mutual_info_score(binned[:, i], factors[:, j]) for j in range(2)] for i in range(2)]
    assert np.allclose(mutual_information(codes, factors), wanted)
    assert np.allclose(entropy(factors), [mutual_info_score(column, column) for column in factors.T])


def test_one_dimension_for_each_factor_is_perfect_in_any_order_and_scale():
    codes = GRID[:, [2, 0, 1]] * [-3.0, 1e6, 1e-6] + 7
    assert mig(codes, GRID) == pytest.approx(1)
    assert modularity(codes, GRID) == pytest.approx(1)


def test_dimensions_that_tell_nothing_change_nothing():
    noise, dead = RANDOM.normal(size=(len(GRID), 3)), np.full((len(GRID), 1), 0.1)
    assert mig(np.hstack([GRID, noise, dead]), GRID) > 0.95
    assert mig(np.hstack([GRID, dead]), GRID) == pytest.approx(1)
    assert modularity(np.hstack([GRID, dead]), GRID) == pytest.approx(1)


def test_a_random_code_has_no_gap():
    assert mig(RANDOM.normal(size=(len(GRID), 5)), GRID) < 0.01


def test_a_doubled_code_has_no_gap_and_is_modular_all_the_same():
    codes = np.hstack([GRID, -GRID])
    assert mig(codes, GRID) == pytest.approx(0)
    assert modularity(codes, GRID) == pytest.approx(1)


def test_a_rotated_code_has_little_of_either():
    codes = rotated(GRID)
    information = mutual_information(codes, GRID) / entropy(GRID)
    # Two factors are lost to the rotation, the third is as it was.
    assert mig(codes, GRID) == pytest.approx((1 + np.abs(information[0, :2] - information[1, :2]).sum()) / 3, abs=1e-9)
    assert mig(codes, GRID) < 0.5
    assert modularity(codes, GRID) < 0.8


def test_the_gap_is_the_one_of_the_formula():
    # Of two fair bits one dimension has both, the other the first.
    bits = np.stack(np.meshgrid([0, 1], [0, 1]), -1).reshape(-1, 2).repeat(25, 0)
    codes = np.stack([2 * bits[:, 0] + bits[:, 1], bits[:, 0]], axis=1)
    assert np.allclose(mutual_information(codes, bits) / np.log(2), [[1, 1], [1, 0]])
    assert mig(codes, bits) == pytest.approx((0 + 1) / 2)
    assert modularity(codes, bits) == pytest.approx((0 + 1) / 2)


def test_a_code_of_one_dimension_is_compared_with_nothing():
    assert mig(GRID[:, :1], GRID[:, :1]) == pytest.approx(1)
    with pytest.raises(ValueError, match="modularity compares factors: give at least two, got 1"):
        modularity(GRID[:, :1], GRID[:, :1])


def test_a_constant_code_scores_zero():
    assert mig(np.ones((len(GRID), 2)), GRID) == 0
    assert modularity(np.ones((len(GRID), 2)), GRID) == 0


@pytest.mark.parametrize("bins", [1, 10_001])
def test_wrong_bins_are_refused(bins):
    with pytest.raises(ValueError, match="bins should be a whole number from 2 to 10,000"):
        mig(GRID, GRID, bins)
