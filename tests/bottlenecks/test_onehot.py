"""The one-hot code: draws, their limits in the temperature, divergence, start."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from isthmus.bottlenecks import OneHot

P = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)


def fixed(p, **params):
    """A code whose posterior is ``p`` (groups, size) for every example."""
    p = torch.atleast_2d(p)
    part = OneHot(p.shape[1], groups=len(p), **params).build(width=2).double()
    with torch.no_grad():
        part.linear.weight.zero_()
        part.linear.bias.copy_(p.log().flatten())
    return part


def rows(n):
    return torch.zeros(n, 2, dtype=torch.float64)


def test_divergence_is_that_of_torch_distributions():
    penalty = fixed(P, beta=2.0)(rows(3)).penalty
    expected = 2 * kl_divergence(Categorical(P), Categorical(torch.full((4,), 0.25).double()))
    torch.testing.assert_close(penalty, expected.expand(3))


def test_divergence_is_from_the_learned_prior_and_adds_up_over_groups_and_positions():
    other = P.flip(0)
    part = fixed(torch.stack([P, other]), learned_prior=True)
    with torch.no_grad():
        part.prior_logits.copy_(torch.stack([other, other]).log() + 3)
    penalty = part(torch.zeros(2, 5, 2, dtype=torch.float64)).penalty
    expected = 5 * kl_divergence(Categorical(P), Categorical(other))
    torch.testing.assert_close(penalty, expected.expand(2))


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_drawn_symbols_are_as_frequent_as_they_are_probable_at_any_temperature(temperature):
    torch.manual_seed(0)
    n = 100_000
    code = fixed(P, temperature=temperature).train()(rows(n))
    found = code.z.detach().mean(0)
    assert ((found - P).abs() < 4 * (P * (1 - P) / n).sqrt()).all()
    assert torch.equal(code.z.detach().round(), code.z.detach())


def test_cold_draws_are_choices_and_hot_ones_are_blurred_to_equal_shares():
    torch.manual_seed(0)
    cold = fixed(P, hard=False, temperature=1e-6).train()(rows(500))
    torch.testing.assert_close(cold.z, torch.nn.functional.one_hot(cold.indices[:, 0], 4).double(), atol=1e-6, rtol=0)
    hot = fixed(P, hard=False, temperature=1e6).train()(rows(500))
    torch.testing.assert_close(hot.z, torch.full((500, 4), 0.25).double(), atol=1e-4, rtol=0)


def test_the_gradient_of_a_hard_draw_is_that_of_the_relaxed_one():
    gradients = []
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    for hard in (True, False):
        torch.manual_seed(0)
        part = fixed(P, hard=hard, temperature=0.7).train()
        (part(rows(50)).z @ weights).sum().backward()
        gradients.append(part.linear.bias.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("temperature", [1e-4, 1e4])
def test_extreme_logits_and_temperatures_leave_values_and_gradients_finite(temperature):
    torch.manual_seed(0)
    part = OneHot(5, temperature=temperature, learned_prior=True).build(width=3).train()
    features = (1e4 * torch.randn(20, 3)).requires_grad_()
    code = part(features)
    (code.z.square().sum() + code.penalty.sum()).backward()
    assert all(v.isfinite().all() for v in (code.z, code.penalty, features.grad, part.linear.weight.grad))


def test_evaluation_gives_the_most_likely_symbol():
    code = fixed(torch.stack([P, P.flip(0)])).eval()(rows(3))
    assert code.indices.tolist() == [[0, 3]] * 3
    assert code.z.tolist() == [[1, 0, 0, 0, 0, 0, 0, 1]] * 3


def test_a_draw_s_ratio_is_that_of_its_symbol_and_its_mean_is_the_divergence():
    torch.manual_seed(0)
    part = fixed(P).eval()
    code = part.draw(rows(50_000))
    torch.testing.assert_close(code.log_ratio, P[code.indices[:, 0]].log() - math.log(1 / 4))
    error = float(code.log_ratio.detach().std()) / math.sqrt(50_000)
    assert abs(float((code.log_ratio.mean() - code.penalty[0]).detach())) < 4 * error


def test_many_draws_bound_the_likelihood_of_a_small_model_ever_closer():
    # p(x|k) of one x; q is not the posterior, so that the bound with one draw has a gap.
    torch.manual_seed(0)
    likelihood = torch.tensor([0.2, 0.9, 0.4, 0.05]).double()
    exact = float((likelihood / 4).sum().log())
    code = fixed(P).eval().requires_grad_(False).draw(rows(64_000))
    weights = likelihood[code.indices[:, 0]].log() - code.log_ratio
    bounds = [float((weights.view(-1, k).logsumexp(1) - math.log(k)).mean()) for k in (1, 4, 16, 256)]
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 0.1
    assert bounds[-1] == pytest.approx(exact, abs=0.01)


def test_the_temperature_falls_geometrically_and_is_saved_with_the_weights():
    part = OneHot(3, temperature=2.0, final_temperature=0.5).build(width=2)
    seen = []
    for progress in (0.0, 0.5, 1.0):
        part.after_step(progress)
        seen.append(part.state_dict()["tau"].item())
    assert seen == pytest.approx([2.0, 1.0, 0.5])


def test_samples_follow_the_learned_prior_at_every_position():
    torch.manual_seed(0)
    part = fixed(torch.stack([P, P]), learned_prior=True)
    with torch.no_grad():
        part.prior_logits.copy_(torch.stack([P, P.flip(0)]).log())
    z = part.sample(20_000, (3,))
    assert z.shape == (20_000, 3, 8)
    torch.testing.assert_close(z.mean((0, 1)), torch.cat([P, P.flip(0)]), atol=0.01, rtol=0)


def test_symbols_and_codes_are_two_forms_of_one_thing():
    part = OneHot(5, groups=3).build(width=2)
    indices = torch.randint(5, (4, 2, 3), generator=torch.Generator().manual_seed(0))
    z = part.dequantize(indices)
    assert z.shape == (4, 2, 15)
    assert torch.equal(part.quantize(z), indices)


def test_training_starts_at_k_means():
    torch.manual_seed(0)
    centres = torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
    label = torch.arange(300) % 3
    features = centres[label] + torch.randn(300, 3)
    part = OneHot(3).build(width=3).eval()
    part.start(features)
    symbol = part(features).indices[:, 0]
    pairs = {(int(a), int(b)) for a, b in zip(label, symbol, strict=True)}
    assert len(pairs) == 3
    assert part.perplexity == pytest.approx(3, abs=1e-5)
    # The logits are those of a mixture of equal round normals.
    spread = (features - torch.stack([features[label == i].mean(0) for i in range(3)])[label]).square().sum(1).mean()
    means = torch.stack([features[symbol == i].mean(0) for i in range(3)])
    expected = (-0.5 * torch.cdist(features, means).square() / spread).log_softmax(1)
    torch.testing.assert_close(part.log_probs(features)[:, 0], expected, atol=1e-3, rtol=1e-3)


def test_fewer_different_rows_than_symbols_are_a_start_too():
    part = OneHot(6).build(width=2)
    part.start(torch.tensor([[1.0, 2.0]] * 9 + [[3.0, 4.0]]))
    code = part.eval()(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert code.penalty.isfinite().all()
    assert code.indices[0] != code.indices[1]


def test_what_training_used_is_counted():
    torch.manual_seed(0)
    part = fixed(torch.tensor([[0.5, 0.5, 1e-12, 1e-12]]).double()).train()
    for _ in range(400):
        part(rows(100))
        part.after_step(0.1)
    torch.testing.assert_close(part.frequencies(), torch.tensor([[0.5, 0.5, 0, 0]]).double(), atol=0.03, rtol=0)
    assert part.perplexity == pytest.approx(2, abs=0.02)
    assert part.share_used == 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 1}, "size must be at least 2"),
        ({"groups": 0}, "groups at least 1"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"temperature": 0.0}, "must be above 0.*0.1 is close to a choice"),
        ({"final_temperature": -1.0}, "must be above 0"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        OneHot(**params).build(width=2)
