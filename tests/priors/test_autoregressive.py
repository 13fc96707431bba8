"""The autoregressive prior: a distribution over whole codes, and draws from it."""

import itertools
import math

import pytest
import torch

from isthmus.bottlenecks import VectorQuantizer
from isthmus.guards import seeded
from isthmus.priors import Autoregressive


def moved(symbols, seed=0):
    """A prior far from its start, where all sequences are equally likely."""
    with seeded(seed):
        prior = Autoregressive(width=8, layers=2, heads=2).build(symbols=symbols).double().eval()
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.add_(0.7 * torch.randn_like(parameter))
    return prior


def every(symbols, positions):
    """All codes of these positions, ``(n, *positions, q)``."""
    ranges = [range(number) for _ in range(math.prod(positions)) for number in symbols]
    return torch.tensor(list(itertools.product(*ranges))).view(-1, *positions, len(symbols))


@pytest.mark.parametrize(("symbols", "positions"), [([3], (2, 2)), ([2, 3], (3,)), ([4, 2, 3], ())])
def test_the_probabilities_of_all_codes_sum_to_one(symbols, positions):
    log_p = moved(symbols).log_prob(every(symbols, positions)).detach()
    assert float(log_p.std()) > 0.1
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_samples_are_as_frequent_as_they_are_likely():
    symbols, positions, n = [2, 3], (2,), 10_000
    prior = moved(symbols)
    with seeded(1):
        drawn = prior.sample(n, positions)
    assert drawn.shape == (n, 2, 2)
    assert drawn.dtype == torch.int64
    codes = every(symbols, positions)
    found = torch.stack([(drawn == one).flatten(1).all(1).double().mean() for one in codes])
    p = prior.log_prob(codes).exp().detach()
    assert float(((found - p).abs() / (p * (1 - p) / n).sqrt()).max()) < 4.5


def test_a_symbol_does_not_look_at_those_after_it():
    prior = moved([4])
    one = torch.zeros(1, 5, 1, dtype=torch.int64)
    other = one.clone()
    other[0, 3:] = 2
    # The probability of a beginning is the sum over all ends: equal for equal beginnings.
    ends = every([4], (2,))
    for code in (one, other):
        whole = torch.cat([code[:, :3].expand(len(ends), -1, -1), ends], 1)
        total = prior.log_prob(whole).logsumexp(0, keepdim=True)
        torch.testing.assert_close(total, prior.log_prob(code[:, :3]))


def test_it_starts_at_the_frequencies_of_each_place():
    indices = torch.tensor([[0, 2], [0, 2], [1, 2], [0, 0]])
    prior = Autoregressive().build(symbols=[2, 3]).eval()
    prior.start(indices, torch.zeros(4, 1))
    expected = math.log(4 / 6) + math.log(4 / 7)
    assert float(prior.log_prob(torch.tensor([[0, 2]])).detach()) == pytest.approx(expected, abs=1e-5)


def test_its_nats_are_part_of_the_penalty_and_teach_the_encoder_nothing():
    with seeded(0):
        part = VectorQuantizer(8, size=2, commitment=0.0, prior=Autoregressive()).build(width=3, positions=[4])
    features = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    code = part.train()(features)
    torch.testing.assert_close(code.penalty, -part.prior.log_prob(code.indices))
    code.penalty.sum().backward()
    assert features.grad is None or not bool(features.grad.any())
    assert bool(part.prior.outputs[0].weight.grad.any())


def test_what_it_was_not_made_for_is_refused():
    with pytest.raises(ValueError, match="width must be a multiple of heads"):
        Autoregressive(width=10, heads=4).build(symbols=[3])
    with pytest.raises(ValueError, match=r"symbols \(b, \*positions, 1\)"):
        Autoregressive().build(symbols=[3]).log_prob(torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="symbols must be a number"):
        Autoregressive().build(symbols=[])
    with pytest.raises(ValueError, match="layers must be 1 to 100"):
        Autoregressive(layers=0).build(symbols=[2])
