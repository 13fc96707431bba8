"""The Bernoulli likelihood against scipy's, and in its own limits."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from isthmus.batch import Batch
from isthmus.losses import BernoulliLikelihood


def test_nats_are_minus_the_log_probability_of_black_and_white():
    random = np.random.default_rng(0)
    logits, x = random.normal(size=(6, 4, 3, 1)) * 3, random.integers(0, 2, (6, 4, 3, 1)).astype(float)
    loss = BernoulliLikelihood().build(shape=[4, 3, 1])
    nats = loss(torch.from_numpy(logits), Batch(torch.from_numpy(x)))
    expected = -stats.bernoulli(special.expit(logits)).logpmf(x.astype(int)).reshape(6, -1).sum(1)
    np.testing.assert_allclose(nats, expected, rtol=1e-10)


def test_grey_levels_give_the_cross_entropy():
    random = np.random.default_rng(0)
    logits, x = random.normal(size=(6, 5)), random.random((6, 5))
    p = special.expit(logits)
    loss = BernoulliLikelihood().build(shape=[5])
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(loss(torch.from_numpy(logits), Batch(torch.from_numpy(x))), expected, rtol=1e-12)


def test_nats_are_finite_where_the_probability_underflows():
    loss = BernoulliLikelihood().build(shape=[2])
    nats = loss(torch.tensor([[500.0, -500.0]]), Batch(torch.tensor([[0.0, 1.0]])))
    assert nats.tolist() == [1000.0]


def test_the_error_is_between_probability_and_value_and_masks_hide():
    random = np.random.default_rng(0)
    logits, x, mask = random.normal(size=(6, 5)), random.random((6, 5)), random.random((6, 5)) < 0.5
    loss = BernoulliLikelihood().build(shape=[5])
    target = Batch(torch.from_numpy(x), torch.from_numpy(mask))
    expected = np.where(mask, (special.expit(logits) - x) ** 2, 0).sum(1)
    np.testing.assert_allclose(loss.error(torch.from_numpy(logits), target), expected, rtol=1e-12)
    assert (loss.cells(torch.from_numpy(logits), target).numpy()[~mask] == 0).all()


def test_grey_levels_are_expected_not_drawn():
    loss = BernoulliLikelihood().build(shape=[2])
    logits = torch.tensor([[0.0, 2.0]])
    assert torch.equal(loss.draw(logits), logits.sigmoid())
    assert torch.equal(loss.mean(logits), logits.sigmoid())


def test_categories_are_refused():
    with pytest.raises(ValueError, match="use cell_likelihood"):
        BernoulliLikelihood().build(shape=[2], categories=[1, 4])
