"""The normal prior: a density, and what is drawn from it."""

import math

import pytest
import torch

from isthmus.bottlenecks import Gaussian
from isthmus.guards import seeded
from isthmus.priors import Normal


def test_the_standard_prior_agrees_with_torch():
    z = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    assert torch.allclose(Normal().build(size=2).log_prob(z), expected)


def test_a_learned_prior_starts_at_the_spread_of_the_codes():
    z = 3 + 2 * torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
    prior = Normal(learned=True).build(size=2)
    prior.start(z, z)
    with seeded(0), torch.no_grad():
        drawn = prior.sample(5000)
    assert torch.allclose(drawn.mean(0), z.mean(0), atol=0.15)
    assert torch.allclose(drawn.std(0), z.std(0), atol=0.15)
    expected = torch.distributions.Normal(z.mean(0), z.std(0, correction=0)).log_prob(z).sum(1)
    assert torch.allclose(prior.log_prob(z), expected, atol=1e-3)


@pytest.mark.parametrize("positions", [(), (3,)])
def test_a_standard_prior_as_a_part_costs_on_average_what_the_closed_form_does(positions):
    features = torch.randn(1, *positions, 4, generator=torch.Generator().manual_seed(1)).repeat(
        20_000, *[1] * (len(positions) + 1)
    )
    with seeded(0), torch.no_grad():
        exact = Gaussian(2).build(width=4, positions=list(positions))
        drawn = Gaussian(2, prior=Normal()).build(width=4, positions=list(positions))
        drawn.load_state_dict(exact.state_dict())
        penalty, ratio = drawn.train()(features).penalty, exact.draw(features).log_ratio
    closed = float(exact.eval()(features).penalty[0].detach())
    # Four standard errors of the mean.
    for found in (penalty, ratio):
        assert abs(float(found.mean()) - closed) < 4 * float(found.std()) / math.sqrt(len(found))
