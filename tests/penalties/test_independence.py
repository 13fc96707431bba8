"""Permuted codes, and a critic whose logit is the total correlation."""

import math

import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch, Code, Step
from isthmus.penalties import IndependenceCritic
from isthmus.penalties.independence import permuted


def step_of(z, mask=None):
    batch = Batch(z.new_zeros(*z.shape[:-1], 1), mask)
    return Step(batch, batch, None, Code(z, z.new_zeros(len(z))), None)


def test_permuted_codes_keep_every_marginal_and_lose_what_binds_them():
    torch.manual_seed(0)
    z = torch.randn(500, 1).expand(-1, 3) * torch.tensor([1.0, 2.0, 3.0])
    apart = permuted(z)
    assert torch.equal(apart.sort(0).values, z.sort(0).values)
    assert (torch.corrcoef(apart.T) - torch.eye(3)).abs().max() < 0.15


def test_padding_stays_where_it_is_when_codes_are_permuted():
    torch.manual_seed(0)
    z = torch.arange(24.0).view(6, 2, 2)
    mask = torch.tensor([[True, True], [True, False], [True, True], [True, False], [True, True], [True, True]])
    apart = permuted(z, mask)
    assert torch.equal(apart[~mask], z[~mask])
    assert torch.equal(apart.sort(0).values, z.sort(0).values)
    assert not torch.equal(apart, z)


def test_the_critic_s_cost_is_half_the_cross_entropy_and_the_model_s_the_logit():
    penalty = IndependenceCritic(3.0, hidden=(4,), updates="alternating").build(code=[2])
    z = torch.randn(5, 2)
    torch.manual_seed(1)
    nats = penalty(step_of(z))
    torch.manual_seed(1)
    critic = penalty.game.critic
    wanted = 0.5 * (F.softplus(-critic(z)) + F.softplus(critic(permuted(z))))
    torch.testing.assert_close(nats, wanted.squeeze(1))
    penalty.game.after_step(0.0)
    torch.testing.assert_close(penalty(step_of(z)), 3 * critic(z).squeeze(1))


@pytest.mark.slow
def test_a_trained_critic_finds_the_total_correlation_of_a_known_gaussian():
    torch.manual_seed(0)
    penalty = IndependenceCritic(1.0, hidden=(32, 32), updates="alternating").build(code=[2])
    mix = torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]])).T
    optimizer = torch.optim.Adam(penalty.parameters(), lr=5e-3)
    for _ in range(600):
        optimizer.zero_grad()
        penalty(step_of(torch.randn(256, 2) @ mix)).mean().backward()
        optimizer.step()
    penalty.game.after_step(0.0)
    with torch.no_grad():
        found = float(penalty(step_of(torch.randn(5_000, 2) @ mix)).mean())
    assert found == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.12)


def test_a_code_of_one_number_has_no_dimensions_to_tell_apart():
    with pytest.raises(ValueError, match="needs a code of at least 2 dimensions, got 1"):
        IndependenceCritic().build(code=[1])
