"""Bounds on the log-likelihood, against a model whose likelihood is known."""

import math

import pytest
import torch

from isthmus.batch import Code
from isthmus.guards import seeded
from isthmus.objectives import ELBO, ImportanceWeighted

X = 1.5
# p(z) = N(0, 1), p(x|z) = N(z, 1), so that p(x) = N(0, 2); q(z|x) = N(0.2, 0.9^2) is not the posterior.
EXACT = 0.5 * (X**2 / 2 + math.log(2 * math.pi * 2))


def nats(draws: int, n: int) -> tuple[torch.Tensor, Code]:
    normal = torch.distributions.Normal
    with seeded(0):
        z = 0.2 + 0.9 * torch.randn(n * draws, 1, dtype=torch.float64)
    ratio = normal(0.2, 0.9).log_prob(z) - normal(0.0, 1.0).log_prob(z)
    cost = -normal(z, 1.0).log_prob(torch.tensor(X, dtype=torch.float64))
    return cost.squeeze(1), Code(z, ratio.squeeze(1), log_ratio=ratio.squeeze(1))


def test_the_importance_weighted_bound_falls_towards_the_exact_nats_as_draws_grow():
    costs = [float(ImportanceWeighted(k).build()(*nats(k, 20_000)).mean()) for k in (1, 2, 5, 20, 100)]
    assert all(later < earlier for earlier, later in zip(costs, costs[1:], strict=False))
    assert costs[0] > EXACT + 0.3
    assert costs[-1] == pytest.approx(EXACT, abs=0.01)


def test_one_draw_is_the_evidence_lower_bound():
    given = nats(1, 50)
    assert torch.allclose(ImportanceWeighted(1).build()(*given), ELBO(1).build()(*given))


def test_the_elbo_is_the_mean_over_an_examples_own_draws():
    cost, code = nats(3, 4)
    expected = torch.stack([(cost + code.penalty)[3 * i : 3 * i + 3].mean() for i in range(4)])
    assert torch.allclose(ELBO(3).build()(cost, code), expected)


@pytest.mark.parametrize("cls", [ELBO, ImportanceWeighted])
@pytest.mark.parametrize("draws", [0, -1, 10_001])
def test_a_number_of_draws_that_cannot_be_is_refused(cls, draws):
    with pytest.raises(ValueError, match="draws must be a whole number from 1 to 10,000"):
        cls(draws).build()
