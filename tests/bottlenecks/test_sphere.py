"""Codes on a sphere: density, divergence, draws, gradients."""

import math

import pytest
import torch
from scipy.integrate import quad

from isthmus.bottlenecks import Directions, Hyperspherical


def fixed(direction, concentration, **params):
    """A code whose posterior is the same for every example."""
    part = Hyperspherical(len(direction), **params).build(width=2).double()
    with torch.no_grad():
        for layer in (part.linear, part.log_concentration):
            layer.weight.zero_()
        part.linear.bias.copy_(torch.tensor(direction))
        part.log_concentration.bias.fill_(math.log(concentration))
    return part


def rows(n):
    return torch.zeros(n, 2, dtype=torch.float64)


def axis(dimensions, place=-1):
    return torch.eye(dimensions)[place].tolist()


@pytest.mark.parametrize(("dimensions", "concentration"), [(2, 3.0), (3, 0.5), (10, 40.0), (50, 2000.0)])
def test_divergence_is_the_mean_log_ratio_over_draws(dimensions, concentration):
    torch.manual_seed(0)
    code = fixed(axis(dimensions), concentration, beta=2.0).eval().requires_grad_(False).draw(rows(20_000))
    error = float(code.log_ratio.std()) / math.sqrt(20_000)
    assert abs(float(code.log_ratio.mean() - code.penalty[0] / 2)) < 4 * error


@pytest.mark.parametrize(("dimensions", "concentration"), [(2, 3.0), (3, 0.7), (5, 9.0), (40, 300.0)])
def test_the_density_is_the_power_of_the_cosine_over_its_integral(dimensions, concentration):
    torch.manual_seed(0)
    code = fixed(axis(dimensions), concentration).eval().requires_grad_(False).draw(rows(20))
    # Circles of latitude t have the radius (1 - t^2)^(1/2), and the sphere one dimension less.
    power = (dimensions - 3) / 2
    integral, _ = quad(lambda t: (1 + t) ** (concentration + power) * (1 - t) ** power, -1, 1)
    log_q = concentration * code.z[:, -1].log1p() - math.log(integral) - log_area(dimensions - 1)
    torch.testing.assert_close(code.log_ratio, log_q + log_area(dimensions), rtol=1e-5, atol=1e-5)


def log_area(dimensions):
    return math.log(2) + dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2)


def test_the_divergence_vanishes_as_the_posterior_spreads_over_the_sphere():
    penalties = [float(fixed(axis(4), k)(rows(1)).penalty.detach()) for k in (10.0, 1.0, 0.1, 0.01)]
    assert penalties == sorted(penalties, reverse=True)
    assert 0 < penalties[-1] < 1e-4


def test_draws_are_unit_vectors_around_the_direction_with_the_known_mean():
    torch.manual_seed(0)
    direction = torch.tensor([0.6, 0.0, -0.8, 0.0]).double()
    z = fixed(direction.tolist(), 5.0).train().requires_grad_(False)(rows(50_000)).z
    torch.testing.assert_close(z.norm(dim=1), torch.ones(50_000).double())
    alpha, beta = 1.5 + 5, 1.5
    torch.testing.assert_close(z.mean(0), direction * (alpha - beta) / (alpha + beta), atol=0.01, rtol=0)
    assert torch.allclose(fixed(direction.tolist(), 5.0).eval()(rows(1)).z, direction)


def test_draws_around_the_first_axis_need_no_reflection_and_around_its_opposite_a_whole_one():
    torch.manual_seed(0)
    for sign in (1.0, -1.0):
        z = fixed([sign, 0.0, 0.0], 500.0).train()(rows(200)).z
        assert (z[:, 0] * sign > 0.9).all()


def test_the_gradient_of_a_draw_is_that_of_the_mean():
    torch.manual_seed(0)
    part = fixed(axis(5), 3.0).train()
    part(rows(100_000)).z[:, -1].mean().backward()
    # The mean (alpha - beta) / (alpha + beta) = k / (k + 4), by the logarithm of k.
    slope = 3.0 * 4 / (3.0 + 4) ** 2
    assert float(part.log_concentration.bias.grad) == pytest.approx(slope, rel=0.03)


def test_single_precision_is_enough_at_the_greatest_concentration():
    part = fixed(axis(20), math.exp(9.0))
    exact = part(rows(1)).penalty
    torch.testing.assert_close(part.float()(rows(1).float()).penalty.double(), exact, atol=1e-3, rtol=0)


@pytest.mark.parametrize("logarithm", [40.0, -40.0])
def test_concentrations_out_of_bounds_stay_finite_and_have_a_gradient(logarithm):
    part = fixed(axis(4), 1.0).float().train()
    with torch.no_grad():
        part.log_concentration.bias.fill_(logarithm)
    code = part(torch.zeros(5, 2))
    code.penalty.mean().backward()
    assert code.z.isfinite().all()
    # The divergence rises with the concentration: its gradient reaches both bounds.
    assert float(part.log_concentration.bias.grad) > 0


def test_samples_are_uniform_on_the_sphere():
    torch.manual_seed(0)
    for part in (Hyperspherical(3).build(width=2), Directions(3).build(width=2)):
        z = part.sample(20_000, (2,))
        assert z.shape == (20_000, 2, 3)
        torch.testing.assert_close(z.norm(dim=-1), torch.ones(20_000, 2))
        torch.testing.assert_close(z.flatten(0, 1).T.cov(), torch.eye(3) / 3, atol=0.01, rtol=0)


def test_positions_add_up():
    part = Hyperspherical(3).build(width=4).eval()
    features = torch.randn(2, 5, 4)
    flat = part(features.view(-1, 4)).penalty.view(2, 5).sum(1)
    torch.testing.assert_close(part(features).penalty, flat)


def test_training_starts_at_the_components_directions():
    torch.manual_seed(0)
    features = torch.randn(500, 6).double() * torch.tensor([5.0, 3, 2, 1, 1, 1]).double()
    for part in (Hyperspherical(3).build(width=6).double(), Directions(3).build(width=6).double()):
        part.start(features)
        z = part.eval()(features).z
        scores = features[:, :3] - features[:, :3].mean(0)
        scores = torch.nn.functional.normalize(scores / scores.std(0), dim=1)
        assert ((z.T @ scores).abs().amax(1) / 500 > 0.3).all()


def test_the_size_is_the_data_s_rank_but_never_one():
    assert Hyperspherical().build(width=9, rank=5).dimensions == 5
    assert Hyperspherical().build(width=9, rank=1).dimensions == 2
    for cls in (Hyperspherical, Directions):
        with pytest.raises(ValueError, match="size must be at least 2.*use binary"):
            cls(1).build(width=2)


def test_a_negative_beta_is_refused():
    with pytest.raises(ValueError, match="beta must be at least 0, got -1.0"):
        Hyperspherical(3, beta=-1.0).build(width=2)
