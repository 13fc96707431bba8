"""The binary code: bits, their gradient, divergence, balance, medians."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from isthmus.bottlenecks import Binary

P = torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64)


def fixed(p, **params):
    """A code whose bits are on with probabilities ``p`` for every example."""
    part = Binary(len(p), **params).build(width=2).double()
    with torch.no_grad():
        part.linear.weight.zero_()
        part.linear.bias.copy_(p.logit())
    return part


def rows(n):
    return torch.zeros(n, 2, dtype=torch.float64)


def test_divergence_is_that_of_torch_distributions_and_adds_up_over_positions():
    penalty = fixed(P, beta=2.0)(torch.zeros(3, 4, 2, dtype=torch.float64)).penalty
    expected = 4 * 2 * kl_divergence(Bernoulli(P), Bernoulli(torch.full_like(P, 0.5))).sum()
    torch.testing.assert_close(penalty, expected.expand(3))


def test_bits_are_on_as_often_as_they_are_probable():
    torch.manual_seed(0)
    n = 100_000
    code = fixed(P).train()(rows(n))
    assert set(code.z.detach().unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(code.indices, (code.z > 0).long())
    found = code.indices.double().mean(0)
    assert ((found - P).abs() < 4 * (P * (1 - P) / n).sqrt()).all()


@pytest.mark.parametrize("drawn", [True, False])
def test_the_gradient_is_that_of_the_mean(drawn):
    part = fixed(P, drawn=drawn).train()
    weights = torch.tensor([1.0, -2.0, 3.0]).double()
    (part(rows(5)).z @ weights).mean().backward()
    torch.testing.assert_close(part.linear.bias.grad, 2 * P * (1 - P) * weights)


def test_evaluation_and_codes_that_are_not_drawn_take_the_likelier_value():
    for part in (fixed(P).eval(), fixed(P, drawn=False).train()):
        assert part(rows(2)).indices[:, 1:].tolist() == [[1, 0]] * 2


def test_a_draw_s_ratio_is_that_of_its_bits_and_its_mean_is_the_divergence():
    torch.manual_seed(0)
    code = fixed(P, beta=1.0).eval().requires_grad_(False).draw(rows(50_000))
    expected = Bernoulli(P).log_prob(code.indices.double()).sum(1) + 3 * math.log(2)
    torch.testing.assert_close(code.log_ratio, expected)
    error = float(code.log_ratio.std()) / math.sqrt(50_000)
    assert abs(float(code.log_ratio.mean() - code.penalty[0])) < 4 * error


def test_a_code_that_is_a_point_costs_a_bit_a_bit():
    code = fixed(P, drawn=False).eval().draw(torch.zeros(2, 5, 2, dtype=torch.float64))
    torch.testing.assert_close(code.log_ratio, torch.full((2,), 15 * math.log(2), dtype=torch.float64))


def test_the_probabilities_of_both_values_sum_to_one():
    log_q = fixed(P).log_probs(rows(2))
    torch.testing.assert_close(log_q.exp()[0], torch.stack([1 - P, P], 1))


def test_balance_costs_nothing_at_half_and_its_whole_weight_where_a_bit_never_changes():
    features = torch.tensor([[1.0], [-1.0]]).double()
    part = Binary(2, balance=3.0).build(width=1).double().train()
    with torch.no_grad():
        # The first bit is on for one of the two rows, the second for both.
        part.linear.weight.copy_(torch.tensor([[40.0], [0.0]]))
        part.linear.bias.copy_(torch.tensor([0.0, 40.0]))
    torch.testing.assert_close(part(features).penalty, torch.full((2,), 3.0).double(), atol=1e-4, rtol=0)
    assert part.eval()(features).penalty.tolist() == [0, 0]
    # A bit that is on for a quarter: one less its entropy in bits.
    quarter = fixed(torch.tensor([0.25]).double(), balance=1.0).train()(rows(4)).penalty
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    torch.testing.assert_close(quarter, torch.full((4,), 1 - entropy).double())


def test_measured_from_the_median_half_of_the_rows_have_a_bit_on():
    torch.manual_seed(0)
    features = torch.randn(1001, 4).exp()  # far from symmetric
    part = Binary(6, median=True).build(width=4)
    part.start(features)
    on = part.eval()(features).indices.double().mean(0)
    torch.testing.assert_close(on, torch.full((6,), 0.5).double(), atol=0.001, rtol=0)


def test_the_medians_follow_the_logits_after_each_step_and_are_saved():
    torch.manual_seed(0)
    part = Binary(2, median=True).build(width=4).train()
    features = torch.randn(501, 4) + 5
    part(features)
    assert part.threshold.tolist() == [0, 0]  # not within the pass
    for _ in range(600):
        part(features)
        part.after_step(0.1)
    torch.testing.assert_close(
        part.state_dict()["threshold"], part.linear(features).detach().median(0).values, atol=0.02, rtol=0
    )


def test_codes_and_bits_are_two_forms_of_one_thing_and_products_count_what_differs():
    part = Binary(9).build(width=2)
    bits = torch.randint(2, (5, 9), generator=torch.Generator().manual_seed(0))
    z = part.dequantize(bits)
    assert torch.equal(part.quantize(z), bits)
    expected = np.bitwise_count(np.bitwise_xor.outer(packed(bits), packed(bits))[:, [0, 1], :, [0, 1]]).sum(0)
    assert ((9 - z @ z.T) / 2).tolist() == expected.tolist()


def packed(bits):
    return np.packbits(bits.numpy().astype(np.uint8), axis=1)


def test_samples_are_fair_coins_at_every_position():
    torch.manual_seed(0)
    z = Binary(4).build(width=2).sample(10_000, (3,))
    assert z.shape == (10_000, 3, 4)
    torch.testing.assert_close(z.mean((0, 1)), torch.zeros(4), atol=0.03, rtol=0)


def test_extreme_logits_leave_values_and_gradients_finite():
    part = Binary(3, beta=1.0, balance=1.0).build(width=2).train()
    features = torch.full((4, 2), 1e5).requires_grad_()
    code = part(features)
    (code.z.sum() + code.penalty.sum() + part.draw(features).log_ratio.sum()).backward()
    assert all(v.isfinite().all() for v in (code.z, code.penalty, features.grad))


def test_training_starts_at_bits_that_share_the_components_and_are_all_in_use():
    torch.manual_seed(0)
    features = torch.randn(400, 8).double() * torch.tensor([9.0, 5, 2, 1, 1, 1, 1, 1]).double()
    part = Binary(4).build(width=8).double()
    part.start(features)
    logits = part.linear(features)
    # A rotation of components of variance one.
    torch.testing.assert_close(logits.T.cov(), torch.eye(4).double(), atol=1e-8, rtol=0)
    assert part.share_used == 1
    assert part.perplexity > 1.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 0}, "size must be a whole number"),
        ({"beta": -1.0}, "beta and balance must be at least 0"),
        ({"balance": -0.1}, "beta and balance must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Binary(**params).build(width=2)
