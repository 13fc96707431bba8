"""The discrepancy against loops, and its zero."""

import itertools

import numpy as np
import pytest
import torch

from isthmus.batch import Batch, Code, Step
from isthmus.penalties import MMD
from isthmus.penalties.mmd import discrepancy
from isthmus.priors import Normal

SCALES = MMD().scales


def step_of(z, mask=None):
    batch = Batch(z.new_zeros(*z.shape[:-1], 1), mask)
    return Step(batch, batch, None, Code(z, z.new_zeros(len(z))), None)


def by_hand(z, drawn, scales):
    def kernel(a, b):
        widths = [2 * len(a) * scale for scale in scales]
        return sum(width / (width + np.sum((a - b) ** 2)) for width in widths)

    n = len(z)
    pairs = list(itertools.permutations(range(n), 2))
    among = sum(kernel(z[i], z[j]) + kernel(drawn[i], drawn[j]) for i, j in pairs) / (n * (n - 1))
    return among - 2 * sum(kernel(a, b) for a in z for b in drawn) / n**2


def test_the_estimate_is_the_sums_over_pairs():
    z, drawn = np.random.default_rng(0).normal(size=(2, 6, 3)) + [[[1.0]], [[0.0]]]
    found = discrepancy(torch.from_numpy(z), torch.from_numpy(drawn), (0.5, 2.0))
    assert float(found) == pytest.approx(by_hand(z, drawn, (0.5, 2.0)), rel=1e-10)


def test_positions_add_up_and_padding_is_left_out():
    torch.manual_seed(0)
    penalty = MMD(3.0).build(code=[2, 4])
    z = torch.randn(5, 2, 4).double()
    mask = torch.tensor([[True, True], [True, False], [True, True], [True, False], [True, True]])
    results = {}
    for name, seen in (("all", None), ("some", mask)):
        torch.manual_seed(1)
        results[name] = penalty(step_of(z, seen))
        assert (results[name] == results[name][0]).all()
    torch.manual_seed(1)
    drawn = torch.randn_like(z)
    apart = [by_hand(z[:, p].numpy(), drawn[:, p].numpy(), SCALES) for p in range(2)]
    assert float(results["all"][0]) == pytest.approx(3 * sum(apart), rel=1e-9)
    # At the second position three codes are left, and all five draws.
    kept, all_drawn = z[mask[:, 1], 1], drawn[:, 1]
    spread = [
        float(discrepancy(kept, all_drawn[list(chosen)], SCALES)) for chosen in itertools.combinations(range(5), 3)
    ]
    assert float(results["some"][0]) == pytest.approx(3 * (apart[0] + np.mean(spread)), rel=1e-9)


def test_equal_distributions_have_none_on_average_and_others_have_some():
    torch.manual_seed(0)
    same = discrepancy(torch.randn(2_000, 16, 3), torch.randn(2_000, 16, 3), SCALES)
    error = float(same.std() / len(same) ** 0.5)
    assert abs(float(same.mean())) < 3 * error
    assert (same < 0).float().mean() > 0.3  # unbiased: below zero as well
    for other in (0.5 + torch.randn(2_000, 16, 3), 0.6 * torch.randn(2_000, 16, 3)):
        assert float(discrepancy(other, torch.randn(2_000, 16, 3), SCALES).mean()) > 10 * error


def test_a_batch_of_one_has_no_discrepancy_and_a_gradient_of_zero():
    z = torch.randn(1, 3, requires_grad=True)
    nats = MMD().build(code=[3])(step_of(z))
    nats.sum().backward()
    assert nats.tolist() == [0.0]
    assert (z.grad == 0).all()


def test_a_prior_of_one_s_own_and_one_hot_draws_are_compared_with():
    z = torch.eye(4)[torch.arange(400) % 4]
    assert MMD(1.0, categorical=True).build(code=[4])(step_of(z))[0].abs() < 0.05
    assert MMD(1.0).build(code=[4])(step_of(z))[0] > 0.3
    penalty = MMD(1.0, prior=Normal(learned=True)).build(code=[2])
    with torch.no_grad():
        penalty.prior.mean.fill_(3.0)
    assert penalty(step_of(3 + torch.randn(400, 2)))[0] < 0.1 < penalty(step_of(torch.randn(400, 2)))[0]


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (MMD(-1.0), "weight must be at least 0"),
        (MMD(scales=()), "scales must be numbers above 0, at least one"),
        (MMD(scales=(1.0, 0.0)), "scales must be numbers above 0"),
    ],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build(code=[2])
