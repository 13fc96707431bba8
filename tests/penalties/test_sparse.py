"""Sparse codes against numpy."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from isthmus.batch import Code, Step
from isthmus.penalties import L1, L2, KLSparsity


def step(z):
    return Step(None, None, None, Code(z, z.new_zeros(len(z))), None)


@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 3, 4)])
def test_l1_and_l2_are_the_norms(shape):
    z = np.random.default_rng(0).normal(size=shape)
    given, flat = step(torch.from_numpy(z)), z.reshape(6, -1)
    np.testing.assert_allclose(L1(0.3).build()(given), 0.3 * np.abs(flat).sum(1))
    np.testing.assert_allclose(L2(0.3).build()(given), 0.15 * (flat**2).sum(1))


def test_l2_of_weight_one_is_the_standard_normal_without_its_constant():
    z = torch.randn(5, 3).double()
    nats = -torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(L2(1.0).build()(step(z)), nats - 3 * 0.5 * np.log(2 * np.pi))


@pytest.mark.parametrize("shape", [(50, 4), (50, 2, 3, 4)])
def test_kl_sparsity_is_the_divergence_of_mean_activity_for_every_example(shape):
    z = np.random.default_rng(0).random(shape)
    mean = z.reshape(-1, 4).mean(0)
    expected = 2 * sum(entropy([0.1, 0.9], [m, 1 - m]) for m in mean)
    nats = KLSparsity(0.1, weight=2.0).build()(step(torch.from_numpy(z)))
    np.testing.assert_allclose(nats, np.full(50, expected), rtol=1e-9)


def test_kl_sparsity_is_zero_at_the_wanted_activity_and_finite_where_all_is_off_or_on():
    assert KLSparsity(0.3).build()(step(torch.full((4, 2), 0.3).double())).abs().max() < 1e-12
    for extreme in (0.0, 1.0):
        assert KLSparsity().build()(step(torch.full((4, 2), extreme))).isfinite().all()


def test_a_unit_that_is_nearly_off_is_called_back():
    logits = torch.full((8, 1), -20.0, requires_grad=True)
    KLSparsity(0.05).build()(step(logits.sigmoid())).mean().backward()
    # d/da of rho log(rho / s(a)) is -rho where s(a) is small.
    torch.testing.assert_close(logits.grad.sum(), torch.tensor(-0.05), rtol=1e-3, atol=0)


def test_kl_sparsity_needs_a_code_between_zero_and_one():
    with pytest.raises(ValueError, match=r"code within 0 and 1, got -0.5 to 2; use the bottleneck linear"):
        KLSparsity().build()(step(torch.tensor([[-0.5], [2.0]])))


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (L1(-0.1), "weight must be at least 0, got -0.1"),
        (L2(-0.1), "weight must be at least 0"),
        (KLSparsity(weight=-1.0), "weight must be at least 0"),
        (KLSparsity(0.0), "activity must be between 0 and 1, got 0.0"),
        (KLSparsity(1.0), "activity must be between 0 and 1"),
    ],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build()
