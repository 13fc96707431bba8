"""The decomposition of the divergence, on Gaussians whose total correlation is known."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from isthmus import AutoEncoder
from isthmus.batch import Batch, Step
from isthmus.bottlenecks import Gaussian
from isthmus.penalties import TotalCorrelation
from isthmus.penalties.total_correlation import decompose


def posteriors(n, d=3):
    torch.manual_seed(0)
    mean, log_variance = torch.randn(n, d).double(), torch.randn(n, d).double() - 1
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    return z, mean, log_variance


def log_densities(z, mean, log_variance):
    """Return log q(z_i|x_j) of each dimension, (i, j, d)."""
    return Normal(mean[None], (0.5 * log_variance).exp()[None]).log_prob(z[:, None])


@pytest.mark.parametrize("n", [None, 100])
def test_the_three_terms_add_up_to_the_drawn_divergence(n):
    z, mean, log_variance = posteriors(20)
    terms = decompose(z, mean, log_variance, n)
    own = Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(1)
    torch.testing.assert_close(sum(terms), own - Normal(0.0, 1.0).log_prob(z).sum(1))


def test_on_the_whole_data_set_the_aggregate_posterior_is_the_mixture_itself():
    z, mean, log_variance = posteriors(30)
    each = log_densities(z, mean, log_variance)
    joint = each.sum(2).logsumexp(1) - math.log(30)
    dimensions = (each.logsumexp(1) - math.log(30)).sum(1)
    for n in (None, 30):
        terms = decompose(z, mean, log_variance, n)
        torch.testing.assert_close(terms.total_correlation, joint - dimensions)
        torch.testing.assert_close(terms.information, each.sum(2).diagonal() - joint)


def test_stratified_batches_average_to_the_whole_data_set():
    z, mean, log_variance = posteriors(6)
    exact = log_densities(z, mean, log_variance).sum(2).logsumexp(1).exp()[0] / 6
    found = []
    for others in itertools.combinations(range(1, 6), 2):
        rows = [0, *others]
        terms = decompose(z[rows], mean[rows], log_variance[rows], n=6)
        own = Normal(mean[0], (0.5 * log_variance[0]).exp()).log_prob(z[0]).sum()
        found.append((own - terms.information[0]).exp())
    torch.testing.assert_close(torch.stack(found).mean(), exact)


def test_weighted_sampling_has_the_gradient_of_the_paper_s():
    z, mean, log_variance = posteriors(8)
    z, mean = z.requires_grad_(), mean.requires_grad_()
    ours = torch.autograd.grad(decompose(z, mean, log_variance).total_correlation.sum(), [z, mean])
    each, n = log_densities(z, mean, log_variance), 50_000
    constant = math.log(n * 8)
    theirs = (each.sum(2).logsumexp(1) - constant) - (each.logsumexp(1) - constant).sum(1)
    torch.testing.assert_close(ours, torch.autograd.grad(theirs.sum(), [z, mean]))


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_a_gaussian_aggregate_has_its_known_total_correlation(correlation):
    random, noise, n = np.random.default_rng(0), 0.3, 1_500
    covariance = np.array([[1, correlation], [correlation, 1]])
    # Posteriors of variance noise**2 around means of the rest: together the correlated Gaussian.
    narrow = covariance - noise**2 * np.eye(2)
    mean = torch.from_numpy(random.multivariate_normal([0, 0], narrow, n))
    z = mean + noise * torch.from_numpy(random.normal(size=(n, 2)))
    found = decompose(z, mean, torch.full_like(mean, 2 * math.log(noise)), n)
    assert float(found.total_correlation.mean()) == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.08)
    # Unit marginals: no divergence of the dimensions; the rest of it is information.
    assert float(found.marginals.mean()) == pytest.approx(0.0, abs=0.08)


def test_positions_are_estimated_apart_and_padding_is_not_looked_at():
    torch.manual_seed(0)
    z, mean, log_variance = (torch.randn(5, 2, 3).double() for _ in range(3))
    mask = torch.tensor([[True, True], [True, False], [True, True], [True, False], [True, True]])
    terms = decompose(z, mean, log_variance, None, mask)
    kept = mask[:, 1]
    alone = decompose(z[kept, 1], mean[kept, 1], log_variance[kept, 1])
    torch.testing.assert_close(terms.total_correlation[kept, 1], alone.total_correlation)
    first = decompose(z[:, 0], mean[:, 0], log_variance[:, 0])
    torch.testing.assert_close(terms.total_correlation[:, 0], first.total_correlation)


def test_weights_choose_among_the_terms():
    torch.manual_seed(0)
    bottleneck = Gaussian(3).build(width=4)
    features = torch.randn(6, 4)
    code = bottleneck(features)
    step = Step(Batch(features), Batch(features), features, code, None)
    terms = decompose(code.z, *bottleneck.posterior(features), 40)
    penalty = TotalCorrelation(2.0, information=-0.5, marginals=0.3, n=40).build()
    penalty.watch(bottleneck)
    wanted = 2.0 * terms.total_correlation - 0.5 * terms.information + 0.3 * terms.marginals
    torch.testing.assert_close(penalty(step), wanted)


def test_all_three_at_weight_one_are_the_divergence_in_the_mean():
    torch.manual_seed(0)
    bottleneck = Gaussian(2).build(width=2)
    features = torch.randn(3, 2).repeat(4_000, 1)
    step = Step(Batch(features), Batch(features), features, bottleneck(features), None)
    terms = [
        decompose(step.code.z[i : i + 300], *(one[i : i + 300] for one in bottleneck.posterior(features)))
        for i in range(0, 12_000, 300)
    ]
    total = torch.cat([sum(one) for one in terms]).mean()
    torch.testing.assert_close(total, step.code.penalty.mean(), rtol=0.02, atol=0.02)


def test_another_bottleneck_is_refused():
    with pytest.raises(ValueError, match="needs a bottleneck with a normal posterior, such as gaussian; got Linear"):
        AutoEncoder(penalties=["total_correlation"], max_epochs=1).fit(np.random.default_rng(0).normal(size=(30, 4)))


@pytest.mark.parametrize(
    ("penalty", "message"),
    [(TotalCorrelation(-1.0), "weight must be at least 0"), (TotalCorrelation(n=1), "n must be at least 2")],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build()
