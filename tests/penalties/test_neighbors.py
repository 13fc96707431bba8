"""Neighbours: a cross-entropy re-stated by hand, UMAP's weights, and pairs that come side by side."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from isthmus import AutoEncoder
from isthmus.batch import Batch, Code, Step
from isthmus.data import Resident
from isthmus.modalities import Tables
from isthmus.penalties.neighbors import NeighborPairs, Neighbors, neighbor_graph
from isthmus.rows import as_rows

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 4))


def step_of(z) -> Step:
    return Step(None, None, None, Code(z, None), None)


@pytest.mark.parametrize("n", [6, 7])
def test_the_penalty_is_the_cross_entropy_of_the_partner_among_the_others(n):
    z = torch.from_numpy(RANDOM.normal(size=(n, 2)))
    found = Neighbors(3.0).build()(step_of(z))
    q = 1 / (1 + np.square(z.numpy()[:6, None] - z.numpy()[None, :6]).sum(2))
    np.fill_diagonal(q, 0)
    expected = [-3 * math.log(q[i, i ^ 1] / q[i].sum()) for i in range(6)]
    # A last row without a partner bears nothing, and is nobody's negative.
    np.testing.assert_allclose(found, expected + [0.0] * (n - 6))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_batch_without_negatives_costs_nothing(n):
    z = torch.ones(n, 2, requires_grad=True)
    cost = Neighbors().build()(step_of(z))
    cost.sum().backward()
    assert torch.equal(cost, torch.zeros(n))
    assert torch.equal(z.grad, torch.zeros(n, 2))


def test_codes_that_coincide_have_a_finite_gradient():
    z = torch.zeros(6, 2, requires_grad=True)
    Neighbors().build()(step_of(z)).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_a_step_draws_partners_together_and_pushes_others_apart():
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]], requires_grad=True)
    Neighbors().build()(step_of(z)).sum().backward()
    moved = (z - 1e-4 * z.grad).detach()
    assert (moved[0] - moved[1]).norm() < 2
    assert (moved[0] - moved[2]).norm() > 1


def test_the_graph_is_that_of_scikit_learn_with_weights_that_sum_to_the_logarithm():
    near, weights = neighbor_graph(torch.from_numpy(X), 8)
    distances, expected = NearestNeighbors(n_neighbors=8).fit(X).kneighbors()
    assert np.array_equal(near, expected)
    np.testing.assert_allclose(weights.sum(1), math.log2(8), rtol=1e-5)
    # By UMAP's form, the log of a weight is proportional to the distance beyond the nearest.
    beyond = distances - distances[:, :1]
    slopes = -np.log(weights.numpy()[:, 1:]) / beyond[:, 1:]
    np.testing.assert_allclose(slopes, slopes[:, :1].repeat(7, 1), rtol=1e-3)


def test_the_weights_of_copies_and_of_a_single_neighbour_are_one():
    assert torch.equal(neighbor_graph(torch.zeros(6, 3), 3)[1], torch.ones(6, 3))
    assert torch.equal(neighbor_graph(torch.from_numpy(X), 1)[1], torch.ones(80, 1))


def pairs(training=None, near=None, weights=None):
    data = Resident(Batch(torch.arange(10.0)[:, None]))
    training = torch.tensor([9, 1, 2, 3, 4, 5, 6, 7]) if training is None else training
    near = (torch.arange(8)[:, None] + torch.tensor([1, 2])) % 8 if near is None else near
    weights = torch.tensor([[1.0, 3.0]]).repeat(8, 1) if weights is None else weights
    return NeighborPairs(data, training, near, weights)


def test_every_second_row_is_a_neighbour_of_the_one_before():
    taken = pairs().take(torch.tensor([9, 1, 4, 9, 7])).x[:, 0].tolist()
    assert taken[::2] == [9, 4, 7]
    # Positions are those of the training rows: after 9 come 1 and 2, after 4 come 5 and 6.
    assert taken[1] in (1, 2)
    assert taken[3] in (5, 6)


def test_neighbours_are_drawn_in_proportion_to_their_weights():
    data = pairs()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = data.take(torch.tensor([9, 1]).repeat(4_000)).x[1::2, 0]
    assert float((drawn == 2).float().mean()) == pytest.approx(0.75, abs=0.03)


def test_held_out_rows_come_as_they_are():
    assert pairs().take(torch.tensor([0, 8])).x[:, 0].tolist() == [0, 8]
    assert len(pairs()) == 10


def test_no_held_out_row_is_anybodys_neighbour():
    modality = Tables().fit(as_rows(X))
    training = torch.arange(0, 80, 2)
    data = (
        Neighbors(n_neighbors=30)
        .build()
        .arrange(Resident(modality.to_batch(as_rows(X), torch.float64)), training, 16, modality)
    )
    stored = modality.to_batch(as_rows(X), torch.float64).x
    for _ in range(5):
        taken = data.take(training).x
        assert all(any(torch.equal(row, stored[place]) for place in training) for row in taken)


def test_an_odd_batch_would_part_the_pairs_and_is_refused():
    model = AutoEncoder(penalties=["neighbors"], batch_size=15, max_epochs=1, threads=1)
    with pytest.raises(ValueError, match="batch_size is 15; use 16, which is even"):
        model.fit(X)
    AutoEncoder(penalties=["neighbors"], batch_size=999, max_epochs=1, threads=1).fit(X)


def test_more_than_one_draw_a_row_would_part_the_pairs_and_is_refused():
    model = AutoEncoder(
        bottleneck="gaussian", objective="importance_weighted(draws=3)", penalties=["neighbors"], max_epochs=1
    )
    with pytest.raises(ValueError, match="draws many codes of an example"):
        model.fit(X)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_handful_of_rows_can_be_fitted(n):
    AutoEncoder(penalties=["neighbors"], max_epochs=1, threads=1).fit(X[:n] if n > 1 else X[:1])


def test_categories_and_gaps_have_neighbours_too():
    table = [["a", 1.0], ["a", None], ["b", 5.0], ["c", 6.0]] * 8
    AutoEncoder(penalties=["neighbors(n_neighbors=3)"], max_epochs=1, threads=1, random_state=0).fit(
        np.array(table, dtype=object)
    )


@pytest.mark.slow
def test_neighbours_are_recognised_by_the_code_for_it():
    rows = np.concatenate([0.3 * RANDOM.normal(size=(20, 8)) + center for center in RANDOM.normal(size=(6, 8))])
    near, _ = neighbor_graph(torch.from_numpy(rows), 3)
    pairs = np.stack([np.arange(120), near[:, 0].numpy()], 1).ravel()

    def cost(penalties):
        model = AutoEncoder(
            bottleneck="linear(size=2)", penalties=penalties, max_epochs=30, batch_size=30, threads=1, random_state=0
        )
        z = torch.from_numpy(model.fit(rows).transform(rows))[pairs]
        return float(Neighbors(1.0).build()(step_of(z)).mean())

    # 0.4 nats: the partner is told from half as many others again.
    assert cost(["neighbors(n_neighbors=3)"]) < cost([]) - 0.4


@pytest.mark.parametrize(
    ("params", "said"), [({"weight": -1.0}, "weight"), ({"n_neighbors": 0}, "n_neighbors"), ({"components": 0}, "comp")]
)
def test_what_is_out_of_range_is_refused(params, said):
    with pytest.raises(ValueError, match=f"{said}.* must be at least"):
        Neighbors(**params).build()
