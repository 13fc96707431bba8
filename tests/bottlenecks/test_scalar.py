"""The finite scalar code: its levels, their values, and the gradient past them."""

import pytest
import torch

from isthmus.bottlenecks import FiniteScalar
from isthmus.guards import seeded


def identity(levels, **params):
    """A code whose projection hands its features on."""
    part = FiniteScalar(levels, **params).build(width=len(levels)).double().eval()
    with torch.no_grad():
        part.linear.weight.copy_(torch.eye(len(levels)))
        part.linear.bias.zero_()
    return part


@pytest.mark.parametrize(("levels", "values"), [(5, [-1, -0.5, 0, 0.5, 1]), (4, [-1, -0.5, 0, 0.5]), (2, [-1, 0])])
def test_a_dimension_takes_its_levels_evenly_spaced_and_no_others(levels, values):
    part = identity((levels,))
    z = part(torch.linspace(-9, 9, 2001).double()[:, None]).z
    assert z.unique().tolist() == values


def test_codes_are_those_of_the_papers_equation():
    part = identity((8, 5), tanh_margin=1e-3)
    features = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    levels = torch.tensor([8.0, 5.0]).double()
    half = (levels - 1) * (1 + 1e-3) / 2
    offset = torch.tensor([0.5, 0.0]).double()
    bounded = torch.tanh(features + torch.atanh(offset / half)) * half - offset
    torch.testing.assert_close(part(features).z, bounded.round() / (levels // 2), rtol=0, atol=1e-7)


def test_every_symbol_has_a_code_and_every_code_its_symbol():
    part = identity((8, 5, 5))
    symbols = torch.arange(200)[:, None]
    z = part.dequantize(symbols)
    assert len(z.unique(dim=0)) == 200
    assert torch.equal(part.quantize(z), symbols)


def test_the_gradient_passes_rounding_as_if_it_were_not_there():
    part = identity((5, 5))
    features = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    weights = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)).double()
    (part.train()(features).z * weights).sum().backward()
    half = 2 * (1 + 1e-3)
    expected = weights * (1 - torch.tanh(features.detach()).square()) * half / 2
    torch.testing.assert_close(features.grad, expected, rtol=1e-6, atol=0)


def test_normal_features_use_all_levels_about_equally_often():
    with seeded(0):
        features = torch.randn(20_000, 6) * torch.tensor([5.0, 4, 3, 0.1, 0.1, 0.1])
        part = FiniteScalar((7, 6, 5)).build(width=6)
        part.start(features)
        indices = part.eval()(features).indices
    counts = indices.flatten().bincount(minlength=210)
    shares = counts / counts.sum()
    # The outermost levels are half as wide as the others.
    assert float(torch.special.entr(shares).sum().exp()) > 0.8 * 210


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"levels": (8, 1)}, "levels must each be at least 2"),
        ({"levels": ()}, "levels must each"),
        ({"levels": (256, 256, 256, 2)}, "product at most 16,777,216"),
        ({"tanh_margin": 0.0}, "tanh_margin must lie between"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        FiniteScalar(**params).build(width=4)
