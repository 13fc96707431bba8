"""The log-likelihood by importance sampling, against a model whose likelihood is known."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from isthmus import AutoEncoder, inference
from isthmus.bottlenecks import Gaussian
from isthmus.modalities import Images
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.priors import Flow, Mixture, Normal, VampPrior

X = np.random.default_rng(0).normal(size=(40, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
# Orthogonal columns: the exact posterior then has no correlations, and is one of the bottleneck's.
LOADINGS = torch.linalg.qr(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double())[0] * torch.tensor(
    [2.0, 0.7]
)
MEAN = torch.tensor([0.3, -0.2, 0.0, 0.1, 0.5]).double()


def linear_gaussian(prior=None, widened=0.0):
    """Probabilistic PCA: ``z ~ N(0, 1)``, ``x ~ N(W z + m, 1)``, and its posterior, or one wider than that."""
    model = AutoEncoder(
        bottleneck=Gaussian(2, prior=prior),
        encoder=MLPEncoder((), shortcut=False),
        decoder=MLPDecoder((), shortcut=False),
        loss="gaussian_likelihood",
        max_epochs=1,
        dtype="float64",
        threads=1,
        random_state=0,
    ).fit(X)
    module = model.module_
    precision = 1 + LOADINGS.square().sum(0)
    with torch.no_grad():
        module.decoder.head.weight.copy_(LOADINGS)
        module.decoder.head.bias.copy_(MEAN)
        module.bottleneck.linear.weight.copy_(LOADINGS.T / precision[:, None])
        module.bottleneck.linear.bias.copy_(-(LOADINGS.T / precision[:, None]) @ MEAN)
        module.bottleneck.log_variance.weight.zero_()
        module.bottleneck.log_variance.bias.copy_(-precision.log() + widened)
    return model


def exact(model):
    x = next(model._blocks(model._rows(X))).x
    return MultivariateNormal(MEAN, LOADINGS @ LOADINGS.T + torch.eye(5)).log_prob(x).numpy()


@pytest.mark.parametrize("prior", [None, Normal()])
def test_with_the_exact_posterior_one_draw_is_exact(prior):
    model = linear_gaussian(prior)
    np.testing.assert_allclose(model.log_likelihood(X, n_samples=1, random_state=5), exact(model), rtol=1e-9)


def test_with_another_posterior_the_estimate_rises_to_the_likelihood():
    model = linear_gaussian(widened=1.0)
    means = [model.log_likelihood(X, n_samples=n, random_state=0).mean() for n in (1, 10, 4_000)]
    wanted = exact(model).mean()
    assert means[0] < means[1] < wanted + 0.02
    assert abs(means[2] - wanted) < 0.02


@pytest.mark.parametrize("piece", [64, 700, 10**6])
def test_pieces_of_any_size_put_each_row_s_draws_together(piece, monkeypatch):
    model = linear_gaussian(widened=0.5)
    monkeypatch.setattr(inference, "piece_size", lambda module, stored: piece)
    # The error of 700 draws is some 0.02 a row; a row mistaken for another is off by whole nats.
    found = model.log_likelihood(X, n_samples=700, random_state=0)
    np.testing.assert_allclose(found, exact(model), atol=0.15)
    assert exact(model).std() > 1


def test_memory_is_bounded_whatever_the_draws(monkeypatch):
    model = linear_gaussian()
    seen = []
    draw = model.module_.bottleneck.draw
    monkeypatch.setattr(model.module_.bottleneck, "draw", lambda features: seen.append(len(features)) or draw(features))
    monkeypatch.setattr(inference, "piece_size", lambda module, stored: 100)
    model.log_likelihood(X, n_samples=250)
    assert max(seen) <= 100
    assert sum(seen) == 250 * len(X)


def test_a_seed_repeats_the_estimate_and_another_does_not():
    model = linear_gaussian(widened=1.0)
    first, again, other = (model.log_likelihood(X, 5, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("prior", [None, Mixture(3), VampPrior(4), Flow(layers=2, hidden=4)])
def test_the_likelihoods_of_all_binary_images_sum_to_one(prior):
    bits = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.uint8).reshape(16, 2, 2) * 255
    model = AutoEncoder(
        Images(likelihood="bernoulli", binarize="dynamic"),
        Gaussian(2, prior=prior),
        encoder=MLPEncoder((8,)),
        decoder=MLPDecoder((8,)),
        max_epochs=3,
        threads=1,
        random_state=0,
    ).fit(bits)
    with torch.no_grad():  # posteriors so wide that no ratio of densities is extreme
        model.module_.bottleneck.linear.weight.mul_(0.3)
        model.module_.bottleneck.log_variance.bias.fill_(1.2)
    total = np.exp(model.log_likelihood(bits, n_samples=20_000, random_state=0)).sum()
    assert math.isclose(total, 1, abs_tol=0.02)


@pytest.mark.parametrize("n_samples", [0, -3, 2.5, True])
def test_a_number_of_samples_that_is_none_is_refused(n_samples):
    with pytest.raises(ValueError, match=f"n_samples must be a whole number of at least 1, got {n_samples}"):
        linear_gaussian().log_likelihood(X, n_samples)


def test_a_code_without_a_density_is_refused_and_those_that_have_one_are_named():
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=1, threads=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="log_likelihood needs a bottleneck that can draw, got Linear.*Gaussian"):
        model.log_likelihood(X)
