"""The adversarial prior: what its critic sees, and what comes of it."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch, Code, Step
from isthmus.penalties import MMD, AdversarialPrior
from isthmus.penalties.draws import PriorDraws
from isthmus.penalties.mmd import discrepancy
from isthmus.priors import Normal


def step_of(z, mask=None, factors=None):
    batch = Batch(z.new_zeros(*z.shape[:-1], 1), mask)
    return Step(batch, batch, None, Code(z, z.new_zeros(len(z)), factors=factors), None)


def test_the_critic_s_cost_is_the_cross_entropy_of_draws_and_codes_summed_over_positions():
    penalty = AdversarialPrior(hidden=(4,), updates="reversal").build(code=[3, 2])
    z = torch.randn(5, 3, 2)
    torch.manual_seed(1)
    nats = penalty(step_of(z))
    torch.manual_seed(1)
    drawn = torch.randn_like(z)
    critic = penalty.game.critic
    for i in range(5):
        real, fake = critic(drawn[i]).squeeze(-1), critic(z[i]).squeeze(-1)
        told = F.binary_cross_entropy_with_logits(real, torch.ones(3), reduction="sum")
        told = told + F.binary_cross_entropy_with_logits(fake, torch.zeros(3), reduction="sum")
        torch.testing.assert_close(nats[i], told)


def test_padding_costs_nothing():
    penalty = AdversarialPrior(updates="reversal").build(code=[3, 2])
    z, mask = torch.randn(2, 3, 2), torch.tensor([[True, True, False], [False, False, False]])
    changed = torch.where(mask.unsqueeze(-1), z, torch.full_like(z, 9.0))
    results = []
    for one in (z, changed):
        torch.manual_seed(0)
        results.append(penalty(step_of(one, mask)))
    torch.testing.assert_close(*results)
    assert results[0][1] == 0


def test_a_factor_alone_is_acted_on():
    z = torch.randn(4, 5, requires_grad=True)
    penalty = AdversarialPrior(factor="style").build(code=[5], factors={"content": [2], "style": [3]})
    penalty(step_of(z, factors={"content": z[:, :2], "style": z[:, 2:]})).sum().backward()
    assert (z.grad[:, :2] == 0).all()
    assert (z.grad[:, 2:] != 0).any()
    with pytest.raises(ValueError, match="factor 'tone' is not one of the code's: its factors are 'content', 'style'"):
        AdversarialPrior(factor="tone").build(code=[5], factors={"content": [2], "style": [3]})
    with pytest.raises(ValueError, match="it has none; use the bottleneck split"):
        AdversarialPrior(factor="tone").build(code=[5])


def test_categorical_draws_are_one_hot_and_each_dimension_as_often():
    torch.manual_seed(0)
    drawn = PriorDraws(None, True, 4, [], None).like(torch.zeros(4_000, 4))
    assert ((drawn == 0) | (drawn == 1)).all()
    assert (drawn.sum(1) == 1).all()
    assert (drawn.mean(0) - 0.25).abs().max() < 0.03


def test_a_prior_is_drawn_from_and_does_not_learn():
    penalty = AdversarialPrior(prior=Normal(learned=True)).build(code=[2])
    with torch.no_grad():
        penalty.prior.mean.copy_(torch.tensor([5.0, -5.0]))
    drawn = penalty.draws.like(torch.zeros(500, 2))
    assert (drawn.mean(0) - torch.tensor([5.0, -5.0])).abs().max() < 0.3
    assert not any(parameter.requires_grad for parameter in penalty.prior.parameters())
    with pytest.raises(ValueError, match="leave one of categorical and prior out"):
        AdversarialPrior(prior=Normal(), categorical=True).build(code=[2])


@pytest.mark.slow
@pytest.mark.parametrize("updates", ["reversal", "alternating", "simultaneous"])
def test_codes_that_are_free_to_move_come_to_the_prior(updates):
    torch.manual_seed(0)
    penalty = AdversarialPrior(hidden=(32, 32), updates=updates).build(code=[2])
    z = torch.nn.Parameter(2.5 + 0.3 * torch.randn(256, 2))
    optimizer = torch.optim.Adam([{"params": [z], "lr": 2e-2}, {"params": penalty.parameters(), "lr": 5e-3}])
    before = discrepancy(z.detach(), torch.randn(256, 2), MMD().scales)
    for _ in range(500):
        optimizer.zero_grad()
        penalty(step_of(z)).mean().backward()
        optimizer.step()
        penalty.game.after_step(0.0)
    assert z.mean(0).abs().max() < 0.5
    assert discrepancy(z.detach(), torch.randn(256, 2), MMD().scales) < 0.1 * before
