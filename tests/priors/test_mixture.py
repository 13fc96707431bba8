"""The mixture prior: its density, its draws, and where it starts."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from isthmus.guards import seeded
from isthmus.priors import Mixture
from isthmus.priors.mixture import log_components

MIDDLES = torch.tensor([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]]).double()


def mixed(components=4, size=3, covariance="diagonal"):
    """A mixture with weights, means and spreads of its own."""
    with seeded(0):
        prior = Mixture(components, covariance).build(size=size).double()
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.copy_(0.7 * torch.randn_like(parameter))
    return prior


def as_distribution(prior):
    parts = Independent(Normal(prior.means, prior.log_scales.exp()), 1)
    if prior.covariance == "full":
        # z = m + y S (I + U)^-1, of row vectors.
        unit = torch.eye(prior.means.shape[1]).double()
        lower = (prior.log_scales.exp()[:, :, None] * torch.linalg.inv(prior.turns.triu(1) + unit)).mT
        parts = MultivariateNormal(prior.means, scale_tril=lower)
    return MixtureSameFamily(Categorical(logits=prior.logits), parts)


def groups(n=900):
    """Codes of three groups, two thirds of them in the first, and which group each is of."""
    with seeded(1):
        group = torch.where(torch.arange(n) % 3 < 2, 0, 1 + torch.arange(n) % 2)
        return MIDDLES[group] + 0.5 * torch.randn(n, 3).double(), group


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_density_is_that_of_torch_distributions(covariance):
    prior, z = mixed(covariance=covariance), torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(prior.log_prob(z), as_distribution(prior).log_prob(z))


def test_positions_are_independent():
    prior, z = mixed(), torch.randn(6, 2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(prior.log_prob(z), as_distribution(prior).log_prob(z).sum((1, 2)))


def test_the_matrix_products_keep_their_digits_far_from_the_origin():
    with seeded(0):
        z, means, log_scales = 50 + torch.randn(64, 40), 50 + torch.randn(100, 40), -1 + 0.3 * torch.randn(100, 40)
    exact = Normal(means.double(), log_scales.double().exp()).log_prob(z.double()[:, None]).sum(2)
    torch.testing.assert_close(log_components(z, means, log_scales).double(), exact, rtol=2e-6, atol=2e-3)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_draws_have_the_mixture_s_moments(covariance):
    prior = mixed(covariance=covariance)
    with seeded(2), torch.no_grad():
        z = prior.sample(10_000, (2,)).flatten(0, 1)
    wanted = as_distribution(prior)
    # Four standard errors of a mean over 20,000.
    assert ((z.mean(0) - wanted.mean).abs() < 4 * wanted.stddev / 20_000**0.5).all()
    torch.testing.assert_close(z.var(0), wanted.variance.detach(), rtol=0.05, atol=0)


def test_it_starts_at_the_groups_of_the_codes():
    z, group = groups()
    prior = Mixture(3).build(size=3).double()
    with seeded(0):
        prior.start(z, z)
    order = torch.cdist(MIDDLES, prior.means.detach()).argmin(1)
    torch.testing.assert_close(prior.means[order], MIDDLES, atol=0.1, rtol=0)
    torch.testing.assert_close(prior.log_scales.exp(), torch.full((3, 3), 0.5).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(prior.logits.softmax(0)[order], torch.bincount(group) / 900, check_dtype=False)
    assert torch.equal(prior.responsibilities(z).argmax(1), order[group])


def test_full_covariances_start_at_those_of_the_codes():
    mixing = torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.3, -0.4], [0.0, 0.0, 2.0]]).double()
    with seeded(3):
        z = torch.randn(2_000, 3).double() @ mixing + torch.tensor([1.0, 2.0, 3.0])
    prior = Mixture(1, "full").build(size=3).double()
    with seeded(0), torch.no_grad():
        prior.start(z, z)
        drawn = prior.sample(20_000)
    parts = as_distribution(prior).component_distribution
    torch.testing.assert_close(parts.covariance_matrix[0].detach(), torch.cov(z.mT, correction=0), atol=0.02, rtol=0)
    torch.testing.assert_close(prior.means[0].detach(), z.mean(0))
    torch.testing.assert_close(torch.cov(drawn.mT), torch.cov(z.mT), atol=0.15, rtol=0)
    assert (prior.log_prob(z).mean() > Normal(z.mean(0), z.std(0)).log_prob(z).sum(1).mean() + 0.1).all()


def test_a_covariance_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="covariance must be one of 'diagonal', 'full', got 'tied'"):
        Mixture(2, "tied").build(size=3)


def test_with_fewer_codes_than_components_several_share_a_place():
    z = MIDDLES.repeat(5, 1)
    few, many = Mixture(3).build(size=3).double(), Mixture(7).build(size=3).double()
    for prior in (few, many):
        with seeded(0):
            prior.start(z, z)
    torch.testing.assert_close(many.log_prob(z), few.log_prob(z))


def test_a_spread_out_of_bounds_stays_finite_and_is_pulled_back():
    prior = mixed()
    with torch.no_grad():
        prior.log_scales.fill_(-50)
        prior.means.zero_()
    nats = -prior.log_prob(torch.ones(2, 3).double())
    assert nats.isfinite().all()
    nats.mean().backward()
    assert (prior.log_scales.grad < 0).all()


@pytest.mark.parametrize("components", [0, -1, 100_001])
def test_a_mixture_of_no_components_is_refused(components):
    with pytest.raises(ValueError, match=f"components must be a whole number from 1 to 100,000, got {components}"):
        Mixture(components).build(size=2)
