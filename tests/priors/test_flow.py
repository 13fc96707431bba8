"""The flow prior: a density that is one in sum, and a way back that is exact."""

import pytest
import torch
from torch.distributions import Normal

from isthmus.guards import seeded
from isthmus.optimizing import FlatAdamW
from isthmus.priors import Flow


def bent(size=2, **params):
    """A flow away from its start."""
    with seeded(3):
        flow = Flow(**params).build(size=size).double()
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def test_the_density_integrates_to_one():
    flow = bent(layers=4, hidden=8)
    axis = torch.linspace(-15, 15, 401).double()
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = flow.log_prob(grid).exp()
    total = float(density.sum()) * float(axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 1e-4
    # Otherwise a normal density would pass: this one is far from the best normal.
    mean = density @ grid / density.sum()
    spread = (density @ (grid - mean).square() / density.sum()).sqrt()
    normal = Normal(mean, spread).log_prob(grid).sum(1).exp()
    assert float((density - normal).abs().sum() / density.sum()) > 0.2


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_the_way_back_is_exact(size):
    flow = bent(size, hidden=8)
    with seeded(0), torch.no_grad():
        z = 2 * torch.randn(50, size).double()
        torch.testing.assert_close(flow.invert(flow.transform(z)[0]), z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(flow.transform(flow.invert(z))[0], z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_determinant_is_that_of_the_jacobian(size):
    flow = bent(size)
    z = torch.linspace(-1, 2, size).double()
    jacobian = torch.autograd.functional.jacobian(lambda z: flow.transform(z[None])[0][0], z)
    torch.testing.assert_close(flow.transform(z[None])[1][0], torch.linalg.slogdet(jacobian).logabsdet)


def test_it_starts_as_the_normal_prior_of_the_codes():
    with seeded(0):
        z = torch.tensor([3.0, -1, 0]) + torch.tensor([2.0, 1, 0.5]) * torch.randn(4_000, 3)
    flow = Flow().build(size=3)
    flow.start(z, z)
    expected = Normal(z.mean(0), z.std(0, correction=0)).log_prob(z).sum(1)
    torch.testing.assert_close(flow.log_prob(z), expected, rtol=1e-4, atol=1e-4)


def test_draws_are_spread_as_the_density_says():
    flow = bent(layers=4, hidden=8)
    with seeded(0), torch.no_grad():
        z = flow.sample(5_000, (4,)).flatten(0, 1)
        axis = torch.linspace(-15, 15, 301).double()
        grid = torch.cartesian_prod(axis, axis)
        density = flow.log_prob(grid).exp() * float(axis[1] - axis[0]) ** 2
    inside = grid[:, 0] < grid[:, 1]
    share, found = float(density[inside].sum()), float((z[:, 0] < z[:, 1]).double().mean())
    assert 0.05 < share < 0.95
    # The grid's half step on the line between, and four standard errors.
    assert abs(share - found) < 0.03


def test_it_learns_what_no_normal_can():
    with seeded(0):
        angle = 6.28 * torch.rand(300)
        ring = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(300, 2)
        flow = Flow(layers=4, hidden=8).build(size=2)
        flow.start(ring, ring)
        before = float(flow.log_prob(ring).mean().detach())
        optimizer = FlatAdamW(flow, weight_decay=0.0, ema=0.0)
        for _ in range(40):
            optimizer.zero_grad()
            (-flow.log_prob(ring).mean()).backward()
            optimizer.step(0.04)
    assert float(flow.log_prob(ring).mean().detach()) > before + 0.3


def test_positions_are_independent():
    flow, z = bent(3), torch.randn(4, 2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(flow.log_prob(z), flow.log_prob(z.view(-1, 3)).view(4, 10).sum(1))


@pytest.mark.parametrize(("params", "message"), [({"layers": 0}, "layers must be"), ({"hidden": 0}, "hidden must be")])
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Flow(**params).build(size=2)
