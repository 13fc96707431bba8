"""The cells of a mixed table, column by column with scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from isthmus.batch import Batch
from isthmus.losses import CellLikelihood

KINDS = [4, 0, 1, 0, 2, 1]  # category, number, boolean, number, category, boolean
STARTS = [0, 4, 5, 6, 7, 9]
WIDTH = 10


def data(n=40):
    random = np.random.default_rng(0)
    columns = [random.integers(0, max(2, kind), n) if kind else random.normal(size=n) for kind in KINDS]
    mask = random.random((n, len(KINDS))) < 0.7
    return np.stack(columns, 1).astype(float), random.normal(size=(n, WIDTH)), mask


def by_hand(x, output, sigma):
    """Nats and squared errors of each cell."""
    nats, errors = np.zeros_like(x), np.zeros_like(x)
    for row in range(len(x)):
        for column, (kind, start) in enumerate(zip(KINDS, STARTS, strict=True)):
            value, given = x[row, column], output[row, start : start + max(1, kind)]
            if kind == 0:
                nats[row, column] = -stats.norm(given[0], sigma).logpdf(value)
                errors[row, column] = (given[0] - value) ** 2
            elif kind == 1:
                p = special.expit(given[0])
                nats[row, column] = -stats.bernoulli(p).logpmf(int(value))
                errors[row, column] = (p - value) ** 2
            else:
                p = special.softmax(given)
                nats[row, column] = -np.log(p[int(value)])
                errors[row, column] = ((p - np.eye(kind)[int(value)]) ** 2).sum()
    return nats, errors


@pytest.mark.parametrize("learned", [False, True])
def test_every_cell_is_charged_by_its_own_likelihood(learned):
    x, output, mask = data()
    loss = CellLikelihood(sigma=0.5, learned=learned).build(shape=[6], categories=KINDS).double()
    nats, errors = by_hand(x, output, 0.5)
    for seen, target in (
        (np.ones_like(mask), Batch(torch.from_numpy(x))),
        (mask, Batch(*map(torch.from_numpy, (x, mask)))),
    ):
        given = torch.from_numpy(output)
        np.testing.assert_allclose(loss.cells(given, target).detach(), np.where(seen, nats, 0), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(loss(given, target).detach(), np.where(seen, nats, 0).sum(1), rtol=1e-6)
        np.testing.assert_allclose(loss.error(given, target), np.where(seen, errors, 0).sum(1), rtol=1e-9)


def test_a_boolean_that_is_neither_costs_one_in_a_million_whatever_is_expected():
    loss = CellLikelihood().build(shape=[1], categories=[1])
    nats = loss.cells(torch.tensor([[-9.0], [0.0], [9.0]]), Batch(torch.full((3, 1), 2.0)))
    assert nats.squeeze(1).tolist() == pytest.approx([-math.log(1e-6)] * 3, abs=0.02)


def test_the_output_has_a_place_for_every_symbol():
    loss = CellLikelihood().build(shape=[6], categories=KINDS)
    assert loss.width == WIDTH
    assert CellLikelihood().build(shape=[3]).width == 3


@pytest.mark.parametrize("kinds", [[0, 0], [1, 1, 1], [3, 2]])
def test_one_kind_of_column_alone_is_a_table_too(kinds):
    loss = CellLikelihood(learned=True).build(shape=[len(kinds)], categories=kinds)
    target = Batch(torch.zeros(5, len(kinds)))
    output = torch.zeros(5, loss.width, requires_grad=True)
    loss(output, target).sum().backward()
    assert loss.mean(output).shape == (5, len(kinds))
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_the_mean_is_the_mean_the_probability_and_the_likeliest_known_symbol():
    loss = CellLikelihood().build(shape=[3], categories=[0, 1, 3])
    # The symbol 0, "never seen", is the likeliest of all, and is not given back.
    output = torch.tensor([[1.5, 0.0, 9.0, 1.0, 2.0], [-1.0, 2.0, 9.0, 3.0, 2.0]])
    expected = torch.tensor([[1.5, 0.5, 2.0], [-1.0, torch.tensor(2.0).sigmoid(), 1.0]])
    torch.testing.assert_close(loss.mean(output), expected)


def test_draws_come_as_often_as_they_should():
    torch.manual_seed(0)
    loss = CellLikelihood().build(shape=[3], categories=[0, 1, 4])
    logits = torch.tensor([0.7, -0.5, 9.0, 0.3, 1.0, -1.0])
    drawn = loss.draw(logits.expand(40_000, 6))
    assert (drawn[:, 0] == 0.7).all()
    assert abs(drawn[:, 1].mean().item() - special.expit(-0.5)) < 0.01
    shares = torch.bincount(drawn[:, 2].long(), minlength=4) / 40_000
    np.testing.assert_allclose(shares, [0, *special.softmax([0.3, 1.0, -1.0])], atol=0.01)


def test_numbers_are_drawn_with_the_learned_spread():
    torch.manual_seed(0)
    loss = CellLikelihood(sigma=0.5, learned=True).build(shape=[2], categories=[2, 0])
    drawn = loss.draw(torch.zeros(40_000, 3)).detach()
    assert abs(drawn[:, 1].std().item() - 0.5) < 0.01


def test_the_guess_gives_back_the_table():
    x, _, _ = data()
    x[:, 0] = 1 + x[:, 0] % 3  # symbols that were seen
    x[:, 4] = 1
    loss = CellLikelihood().build(shape=[6], categories=KINDS)
    back = loss.mean(loss.guess(Batch(torch.from_numpy(x)))).numpy()
    back[:, [2, 5]] = back[:, [2, 5]].round()
    np.testing.assert_allclose(back, x, rtol=1e-9)


def test_probabilities_are_those_of_each_category():
    _, output, _ = data()
    found = CellLikelihood().build(shape=[6], categories=KINDS).probabilities(torch.from_numpy(output))
    assert sorted(found) == [0, 4]
    np.testing.assert_allclose(found[4], special.softmax(output[:, 7:9], 1), rtol=1e-9)


def test_what_is_no_row_of_cells_is_refused():
    with pytest.raises(ValueError, match=r"rows of cells, got examples of shape \(8, 8, 1\)"):
        CellLikelihood().build(shape=[8, 8, 1])
    with pytest.raises(ValueError, match="categories must name each of the 2 columns, got 3"):
        CellLikelihood().build(shape=[2], categories=[0, 1, 3])
    with pytest.raises(ValueError, match="sigma must be above 0"):
        CellLikelihood(sigma=-1.0).build(shape=[2])
