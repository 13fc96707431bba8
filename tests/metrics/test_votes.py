"""The FactorVAE score on codes whose answer is known, and all scores at once."""

import numpy as np
import polars as pl
import pytest

from isthmus.metrics import disentanglement, factor_vae_score
from isthmus.metrics.votes import _vote

RANDOM = np.random.default_rng(0)
FACTORS = RANDOM.integers(0, 5, (1_500, 3))


def test_one_dimension_for_each_factor_is_perfect():
    assert factor_vae_score(FACTORS[:, [2, 0, 1]] * [1.0, -100.0, 0.3], FACTORS, random_state=0) == 1


def test_a_random_code_is_a_guess():
    score = factor_vae_score(RANDOM.normal(size=(1_500, 6)), FACTORS, random_state=0)
    assert score == pytest.approx(1 / 3, abs=0.08)


def test_a_constant_code_is_a_guess():
    assert factor_vae_score(np.ones((1_500, 2)), FACTORS, random_state=0) == pytest.approx(1 / 3)


def test_a_doubled_code_is_as_good_as_a_single_one():
    assert factor_vae_score(np.hstack([FACTORS, FACTORS]), FACTORS, random_state=0) == 1


def test_a_factor_that_no_dimension_tells_of_costs_its_share():
    # With the third factor fixed neither dimension stays still: the vote falls on one of two.
    score = factor_vae_score(FACTORS[:, :2], FACTORS, random_state=0)
    assert score == pytest.approx(2 / 3, abs=0.05)


def test_a_dimension_that_hardly_varies_is_left_out_where_asked():
    # It stands still unless the second factor is fixed: among all others it would win every vote.
    dead = 0.01 * (FACTORS[:, [0]] == 3) * (FACTORS[:, [1]] == 3)
    codes = np.hstack([FACTORS, dead])
    assert factor_vae_score(codes, FACTORS, random_state=0) < 0.9
    assert factor_vae_score(codes, FACTORS, least_variance=0.05, random_state=0) == 1
    assert factor_vae_score(np.hstack([FACTORS, np.full((1_500, 1), 0.1)]), FACTORS, random_state=0) == 1


def test_a_vote_is_the_dimension_of_least_variance_among_rows_that_share_a_value():
    groups = [[np.flatnonzero(FACTORS[:, 1] == 3)]]
    assert _vote(FACTORS.astype(float), groups, 32, np.random.RandomState(0)) == (1, 0)


@pytest.mark.parametrize(
    ("factors", "options", "message"),
    [
        (FACTORS[:, :1], {}, "give at least two, got 1"),
        (FACTORS, {"group": 1}, "at least 2, got 1 and 2000"),
        (FACTORS, {"votes": 1}, "at least 2, got 64 and 1"),
    ],
)
def test_what_cannot_be_voted_on_is_refused(factors, options, message):
    with pytest.raises(ValueError, match=message):
        factor_vae_score(FACTORS, factors, **options)


def test_all_scores_at_once_are_those_of_each_metric():
    frame = pl.DataFrame({name: FACTORS[:, i] for i, name in enumerate(("shape", "x", "y"))})
    found = disentanglement(FACTORS[:, ::-1], frame, random_state=0)
    assert found.factors == ["shape", "x", "y"]
    assert all(score > 0.95 for score in found.scores.values())
    assert set(found.scores) >= {"mig", "sap", "factor_vae", "modularity", "completeness"}
    assert np.allclose(found.information, np.eye(3)[::-1], atol=0.05)
    assert np.allclose(found.importances, np.eye(3)[::-1], atol=0.05)
    alone = disentanglement(FACTORS, frame.select("x"), random_state=0)
    assert set(found.scores) - set(alone.scores) == {"modularity", "factor_vae"}
