"""Codes that hold still: under a corruption, and under the worst small change."""

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Binary, Gaussian, Linear, OneHot
from isthmus.part import Part
from isthmus.penalties import Consistency


class Shift(Part):
    """Add the same to every value."""

    def __init__(self, by: float = 0.0):
        super().__init__()
        self.by = by

    def setup(self, shape, categories=None):
        pass

    def forward(self, target):
        return target.with_x(target.x + self.by)


class Plain(nn.Module):
    """Encoder whose features are the values."""

    def forward(self, source):
        return source.x


def step(penalty, bottleneck, x, categories=None):
    """Build all, and return the step of these values with its penalty."""
    torch.manual_seed(0)
    bottleneck.build(width=x.shape[1]).to(x).train()
    penalty.build(shape=[x.shape[1]], categories=categories).train().to(x)
    penalty.watch(Plain(), bottleneck)
    batch = Batch(x)
    return penalty(Step(batch, batch, x, Code(x, x.new_zeros(len(x))), x))


X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bottleneck", [OneHot(3), Binary(3), Linear(2), Gaussian(2)])
def test_what_changes_nothing_costs_nothing(bottleneck):
    torch.testing.assert_close(step(Consistency(Shift(0.0)), bottleneck, X), torch.zeros(6).double())


def test_symbols_cost_the_divergence_of_their_probabilities():
    code = OneHot(3, groups=2)
    nats = step(Consistency(Shift(0.5), weight=2.0), code, X)
    logits = [code.linear(x).view(6, 2, 3) for x in (X, X + 0.5)]
    expected = 2 * kl_divergence(*(Categorical(logits=value) for value in logits)).sum(1)
    torch.testing.assert_close(nats, expected)


def test_other_codes_cost_their_squared_distance_without_noise():
    code = Gaussian(2)
    nats = step(Consistency(Shift(0.5)), code, X)
    moved = code.linear(X + 0.5) - code.linear(X)
    torch.testing.assert_close(nats, moved.square().sum(1))
    assert code.training


def test_padding_counts_nothing():
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    code = Linear(2).build(width=4).double()
    penalty = Consistency(Shift(0.5)).build(shape=[3, 4]).train()
    penalty.watch(Plain(), code)
    batch = Batch(x, mask)
    nats = penalty(Step(batch, batch, x, code(x), x))
    torch.testing.assert_close(nats[0], 3 * nats[1])


def test_the_code_of_the_example_itself_is_the_goal_and_has_no_gradient():
    code = Linear(2)
    step(Consistency(Shift(0.5)), code, X).sum().backward()
    # Of |W (x + s) - sg[W x]|^2 by the bias, with both ends moving it would be zero.
    shift = torch.full((4,), 0.5).double() @ code.linear.weight.T
    torch.testing.assert_close(code.linear.bias.grad, 2 * 6 * shift)


def test_the_worst_change_of_a_code_with_one_direction_is_along_it():
    code = Linear(1)
    nats = step(Consistency(radius=0.3), code, X)
    torch.testing.assert_close(nats, (0.09 * code.linear.weight.square().sum()).expand(6))


def test_the_worst_change_costs_more_than_changes_by_chance():
    code = OneHot(4)
    worst = step(Consistency(radius=0.5), code, X)
    goal = code.linear(X).detach()
    directions = torch.nn.functional.normalize(torch.randn(200, 1, 4).double(), dim=2)
    chance = kl_divergence(Categorical(logits=goal), Categorical(logits=code.linear(X + 0.5 * directions))).mean(0)
    assert (worst > chance).all()


def test_categories_are_not_moved():
    code = Linear(1)
    nats = step(Consistency(radius=1.0), code, X, categories=[0, 3, 0, 2])
    weight = code.linear.weight[0, [0, 2]]
    torch.testing.assert_close(nats, weight.square().sum().expand(6))


@pytest.mark.parametrize(
    ("penalty", "categories", "message"),
    [
        (Consistency(weight=-1.0), None, "weight must be at least 0"),
        (Consistency(radius=0.0), None, "radius must be above 0"),
        (Consistency(), [2, 3], "needs numbers in the data; give a corruption such as mask"),
    ],
)
def test_what_cannot_be_is_refused(penalty, categories, message):
    with pytest.raises(ValueError, match=message):
        penalty.build(shape=[2], categories=categories)
