"""The VampPrior: a mixture of posteriors, of whole codes."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from isthmus.bottlenecks import Gaussian
from isthmus.guards import seeded
from isthmus.priors import VampPrior


def vamp(positions=(), pseudo_inputs=5):
    """A bottleneck with a VampPrior, whose weights are not equal."""
    with seeded(0):
        part = Gaussian(3, prior=VampPrior(pseudo_inputs)).build(width=4, positions=list(positions)).double()
        with torch.no_grad():
            part.prior.logits.copy_(torch.randn(pseudo_inputs))
    return part


def as_distribution(part):
    mean, log_variance = part.posterior(part.prior.features)
    parts = Independent(Normal(mean, (0.5 * log_variance).exp()), mean.ndim - 1)
    return MixtureSameFamily(Categorical(logits=part.prior.logits), parts)


def codes(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("positions", [(), (2,), (2, 4)])
def test_the_density_is_the_mixture_of_the_posteriors_of_the_pseudo_features(positions):
    part, z = vamp(positions), codes(6, *positions, 3)
    torch.testing.assert_close(part.prior.log_prob(z), as_distribution(part).log_prob(z))


def test_positions_it_was_not_built_for_are_independent():
    part, z = vamp((2,)), codes(6, 4, 2, 3)
    expected = as_distribution(part).log_prob(z.flatten(0, 1)).view(6, 4).sum(1)
    torch.testing.assert_close(part.prior.log_prob(z), expected)


def test_draws_have_the_mixture_s_moments():
    part = vamp((2,))
    with seeded(2), torch.no_grad():
        z = part.sample(20_000, (2,))
        wanted = as_distribution(part)
    assert ((z.mean(0) - wanted.mean).abs() < 4 * wanted.stddev / 20_000**0.5).all()
    torch.testing.assert_close(z.var(0), wanted.variance, rtol=0.06, atol=0)


def test_the_posterior_s_weights_learn_from_the_prior_too():
    part = vamp()
    part.prior.log_prob(codes(6, 3)).sum().backward()
    for parameter in part.parameters():
        assert parameter.grad.abs().sum() > 0


def test_it_starts_at_features_of_rows_each_once():
    features = codes(8, 4)
    part = vamp()
    part.start(features)
    found = (part.prior.features[:, None] == features).all(2)
    assert found.sum(1).tolist() == [1] * 5
    assert found.sum(0).max() == 1


def test_with_fewer_rows_than_components_rows_repeat():
    features = codes(3, 4)
    part = vamp()
    part.start(features)
    assert sorted((part.prior.features[:, None] == features).all(2).sum(0).tolist()) == [1, 2, 2]


def test_alone_it_says_what_it_needs():
    with pytest.raises(ValueError, match=r"use it as Gaussian\(prior=VampPrior\(\)\)"):
        VampPrior(5).build(size=3, width=4).log_prob(codes(2, 3))


def test_codes_of_other_positions_are_refused():
    part = vamp((2,))
    for call in (lambda: part.prior.log_prob(codes(6, 3, 3)), lambda: part.sample(4)):
        with pytest.raises(ValueError, match=r"codes with positions \(2,\), got"):
            call()


def test_no_pseudo_inputs_are_refused():
    with pytest.raises(ValueError, match="pseudo_inputs must be a whole number from 1 to 100,000, got 0"):
        vamp(pseudo_inputs=0)
