"""The Gaussian likelihood against scipy's densities."""

import numpy as np
import pytest
import torch
from scipy import stats

from isthmus.batch import Batch
from isthmus.losses import GaussianLikelihood


def data(*shape):
    random = np.random.default_rng(0)
    return random.normal(size=shape), random.normal(size=shape)


@pytest.mark.parametrize("sigma", [1.0, 0.3, 5.0])
@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 6, 3)])
def test_nats_are_minus_the_log_density_with_its_constants(sigma, shape):
    output, x = data(*shape)
    loss = GaussianLikelihood(sigma).build(shape=list(shape[1:]))
    nats = loss(torch.from_numpy(output), Batch(torch.from_numpy(x)))
    expected = -stats.norm(output, sigma).logpdf(x).reshape(len(x), -1).sum(1)
    np.testing.assert_allclose(nats, expected, rtol=1e-12)


def test_a_learned_sigma_is_one_per_channel():
    output, x = data(6, 4, 4, 2)
    loss = GaussianLikelihood(0.7, learned=True).build(shape=[4, 4, 2]).double()
    np.testing.assert_allclose(loss.log_sigma.detach(), np.log([0.7, 0.7]), rtol=1e-7)
    with torch.no_grad():
        loss.log_sigma.copy_(torch.tensor([-1.0, 2.0]))
    nats = loss(torch.from_numpy(output), Batch(torch.from_numpy(x)))
    expected = -stats.norm(output, np.exp([-1.0, 2.0])).logpdf(x).reshape(6, -1).sum(1)
    np.testing.assert_allclose(nats.detach(), expected, rtol=1e-12)


def test_sigma_learns_the_channel_s_typical_error():
    torch.manual_seed(0)
    x = torch.randn(5_000, 2).double() * torch.tensor([0.2, 3.0])
    loss = GaussianLikelihood(learned=True).build(shape=[2]).double()
    adam = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(300):
        adam.zero_grad()
        loss(torch.zeros_like(x), Batch(x)).mean().backward()
        adam.step()
    torch.testing.assert_close(loss.log_sigma.detach().exp(), x.square().mean(0).sqrt(), rtol=1e-3, atol=0)


def test_a_channel_reproduced_exactly_has_finite_nats_and_a_sigma_that_comes_back():
    loss = GaussianLikelihood(learned=True).build(shape=[1]).double()
    with torch.no_grad():
        loss.log_sigma.fill_(-20)
    exact = loss(torch.zeros(3, 1).double(), Batch(torch.zeros(3, 1).double()))
    np.testing.assert_allclose(exact.detach(), -7 + 0.5 * np.log(2 * np.pi), rtol=1e-12)
    loss(torch.ones(3, 1).double(), Batch(torch.zeros(3, 1).double())).mean().backward()
    assert loss.log_sigma.grad < 0


def test_the_sigmoid_link_is_the_mean():
    output, x = data(5, 3)
    loss = GaussianLikelihood(0.5, link="sigmoid").build(shape=[3])
    mean = 1 / (1 + np.exp(-output))
    batch = Batch(torch.from_numpy(x))
    np.testing.assert_allclose(loss.mean(torch.from_numpy(output)), mean, rtol=1e-12)
    expected = -stats.norm(mean, 0.5).logpdf(x).sum(1)
    np.testing.assert_allclose(loss(torch.from_numpy(output), batch), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.error(torch.from_numpy(output), batch), ((mean - x) ** 2).sum(1), rtol=1e-12)


def test_the_guess_of_the_sigmoid_link_touches_the_logit_at_one_half():
    loss = GaussianLikelihood(link="sigmoid").build(shape=[1])
    x = torch.tensor([[0.5], [0.501]]).double()
    torch.testing.assert_close(loss.mean(loss.guess(Batch(x))), x, atol=1e-8, rtol=0)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 4, 3)])
def test_only_observed_values_count(learned, shape):
    output, x = data(*shape)
    mask = np.random.default_rng(1).random(shape if len(shape) == 2 else shape[:-1]) < 0.6
    each = np.broadcast_to(mask if len(shape) == 2 else mask[..., None], shape)
    loss = GaussianLikelihood(0.5, learned).build(shape=list(shape[1:])).double()
    target = Batch(torch.from_numpy(x), torch.from_numpy(mask))
    density = np.where(each, -stats.norm(output, 0.5).logpdf(x), 0)
    np.testing.assert_allclose(loss.cells(torch.from_numpy(output), target).detach(), density, rtol=1e-6)
    nats = loss(torch.from_numpy(output), target)
    np.testing.assert_allclose(nats.detach(), density.reshape(6, -1).sum(1), rtol=1e-6)
    error = np.where(each, (output - x) ** 2, 0).reshape(6, -1).sum(1)
    np.testing.assert_allclose(loss.error(torch.from_numpy(output), target), error, rtol=1e-12)


def test_draws_have_the_learned_spread_and_are_the_mean_without_one():
    torch.manual_seed(0)
    output = torch.full((50_000, 1), 2.0)
    assert torch.equal(GaussianLikelihood(0.5).build(shape=[1]).draw(output), output)
    drawn = GaussianLikelihood(0.5, learned=True).build(shape=[1]).draw(output).detach()
    assert abs(drawn.mean().item() - 2) < 0.01
    assert abs(drawn.std().item() - 0.5) < 0.01


@pytest.mark.parametrize(
    ("params", "facts", "message"),
    [
        ({"sigma": 0.0}, {}, "sigma must be above 0, got 0.0"),
        ({"sigma": -1.0}, {}, "sigma must be above 0"),
        ({"link": "exp"}, {}, "link must be one of 'identity', 'sigmoid'"),
        ({}, {"categories": [0, 3]}, "use cell_likelihood for a table with categories"),
    ],
)
def test_what_does_not_fit_is_refused(params, facts, message):
    with pytest.raises(ValueError, match=message):
        GaussianLikelihood(**params).build(shape=[2], **facts)
