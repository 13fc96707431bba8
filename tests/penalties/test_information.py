"""Codes that say as much as they can: sure, balanced, not redundant."""

import itertools
import math

import numpy as np
import pytest
import torch

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Binary, OneHot
from isthmus.penalties import Information


def nats(q, positions=False, **params):
    """The penalty of probabilities ``(n, groups, k)``, which a one-hot code gives."""
    n, groups, k = q.shape
    part = OneHot(k, groups=groups).build(width=groups * k).double()
    with torch.no_grad():
        part.linear.weight.copy_(torch.eye(groups * k))
        part.linear.bias.zero_()
    features = q.clamp_min(1e-300).log().flatten(1)
    features = features.view(n // 2, 2, -1) if positions else features
    penalty = Information(**params).build()
    penalty.watch(None, part)
    return penalty(Step(None, Batch(None), features, Code(features, None), None)).detach()


def hot(*symbols, k=2):
    return torch.nn.functional.one_hot(torch.tensor(symbols), k).double()


def test_sure_symbols_equally_frequent_cost_nothing():
    torch.testing.assert_close(nats(hot([0], [1], [2], k=3)), torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_sure_symbols_that_never_change_cost_the_balance_times_log_k():
    found = nats(hot([1], [1], k=4), weight=2.0, balance=3.0)
    torch.testing.assert_close(found, torch.full((2,), 2 * 3 * math.log(4)).double(), atol=1e-6, rtol=0)


def test_unsure_symbols_cost_their_entropy_each_its_own():
    q = torch.tensor([[[0.5, 0.5]], [[0.9, 0.1]]]).double()
    torch.testing.assert_close(nats(q, balance=0.0), torch.special.entr(q).sum((1, 2)))


def test_bits_that_repeat_each_other_cost_a_bit_a_pair():
    copies = nats(hot([0, 0, 0], [1, 1, 1]), redundancy=1.0)
    torch.testing.assert_close(copies, torch.full((2,), 3 * math.log(2)).double(), atol=1e-6, rtol=0)
    independent = nats(hot([0, 0], [0, 1], [1, 0], [1, 1]), redundancy=1.0)
    torch.testing.assert_close(independent, torch.zeros(4).double(), atol=1e-6, rtol=0)


def test_redundancy_is_the_mutual_information_of_all_pairs():
    q = torch.softmax(torch.randn(7, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), -1)
    found = float((nats(q, redundancy=1.0) - nats(q, redundancy=0.0))[0])
    array, expected = q.numpy(), 0.0
    for g, h in itertools.combinations(range(3), 2):
        joint = np.einsum("na,nb->ab", array[:, g], array[:, h]) / 7
        apart = np.outer(array[:, g].mean(0), array[:, h].mean(0))
        expected += float((joint * np.log(joint / apart)).sum())
    assert found == pytest.approx(expected, rel=1e-9)


def test_positions_add_up_with_the_means_over_all_of_them():
    q = torch.softmax(torch.randn(6, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), -1)
    torch.testing.assert_close(nats(q, positions=True), nats(q).view(3, 2).sum(1))


def test_padding_counts_nothing():
    z = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, False], [True, False, False]])
    others = torch.where(mask[..., None], z, torch.rand_like(z))
    steps = [Step(None, Batch(None, mask), x, Code(x, None), None) for x in (z, others)]
    found = [Information().build()(step) for step in steps]
    torch.testing.assert_close(*found)
    alone = torch.special.entr(torch.stack([1 - z, z], -1)[1, 0]).sum()
    torch.testing.assert_close(Information(balance=0.0, redundancy=0.0).build()(steps[0])[1], alone)


def test_bits_and_sigmoid_codes_are_probabilities_too():
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    bits = Binary(3).build(width=3)
    given, read = Information().build(), Information().build()
    given.watch(None, bits)
    z = bits.linear(features).sigmoid()
    step = Step(None, Batch(None), features, Code(z, None), None)
    torch.testing.assert_close(given(step), read(step))
    with pytest.raises(ValueError, match="needs a code of symbols, or one within 0 and 1, got"):
        read(step._replace(code=Code(2 * z, None)))


def test_gradients_are_finite_where_symbols_are_certain():
    z = torch.tensor([[0.0, 1.0], [1.0, 1.0]], requires_grad=True)
    penalty = Information().build()
    penalty(Step(None, Batch(None), z, Code(z, None), None)).sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("params", [{"weight": -1.0}, {"balance": -1.0}, {"redundancy": -1.0}])
def test_weights_below_zero_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        Information(**params).build()
