"""Nearest neighbours are those of brute force, in any number of blocks, by every metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

from isthmus import nearest as module
from isthmus.nearest import Index, among, nearest, pack_bits, unpack_bits

RANDOM = np.random.default_rng(0)
INDEX, QUERIES = RANDOM.normal(size=(900, 6)) + 30, RANDOM.normal(size=(40, 6)) + 30


def by_hand(queries, index, k, metric):
    """Return distances and positions by sorting all distances; equal ones in the order of the index."""
    distances = pairwise_distances(queries, index, metric=metric)
    order = distances.argsort(1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


@pytest.fixture(params=["at once", "in blocks"])
def blocks(request, monkeypatch):
    if request.param == "in blocks":
        monkeypatch.setattr(module, "BLOCK", 700)
        monkeypatch.setattr(module, "INDEX_ROWS", 260)
        monkeypatch.setattr(module, "GROUP", 4)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_those_of_all_distances_sorted(metric, blocks):
    distances, positions = nearest(torch.from_numpy(QUERIES), torch.from_numpy(INDEX), 5, metric)
    expected, order = by_hand(QUERIES, INDEX, 5, metric)
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    assert np.array_equal(positions, order)


def test_bits_are_compared_by_counting_those_that_differ(blocks):
    bits, asked = RANDOM.random((900, 11)) < 0.5, RANDOM.random((30, 11)) < 0.5
    distances, positions = nearest(pack_bits(torch.from_numpy(asked)), pack_bits(torch.from_numpy(bits)), 7, "hamming")
    differ = (asked[:, None] != bits[None]).sum(2)
    assert np.array_equal(distances, np.sort(differ, 1)[:, :7])
    assert np.array_equal(np.take_along_axis(differ, positions.numpy(), 1), distances)


def test_no_row_is_its_own_neighbour_even_beside_a_copy(blocks):
    index = torch.from_numpy(np.repeat(INDEX[:100], 2, 0))
    distances, positions = nearest(index, index, 3, own=True)
    rows = torch.arange(200)
    assert not (positions == rows[:, None]).any()
    assert torch.equal(positions[:, 0], rows ^ 1)
    assert distances[:, 0].max() == 0


def test_float32_far_from_the_origin_keeps_the_order():
    index = torch.from_numpy(INDEX + 1000).float()
    queries = torch.from_numpy(QUERIES + 1000).float()
    expected, order = by_hand(queries.double().numpy(), index.double().numpy(), 5, "euclidean")
    distances, positions = nearest(queries, index, 5)
    assert np.array_equal(positions, order)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


def test_a_zero_row_has_cosine_distance_one_to_all():
    distances, _ = nearest(torch.zeros(1, 6), torch.from_numpy(INDEX).float(), 4, "cosine")
    assert torch.equal(distances, torch.ones(1, 4))


def test_the_nearest_of_candidates_are_chosen_by_true_distance():
    queries, index = torch.from_numpy(QUERIES), torch.from_numpy(INDEX)
    candidates = torch.from_numpy(np.stack([RANDOM.permutation(900)[:20] for _ in QUERIES]))
    distances, positions = among(queries, index, candidates, 4)
    for i in range(len(QUERIES)):
        expected, order = by_hand(QUERIES[i : i + 1], INDEX[np.sort(candidates[i])], 4, "euclidean")
        assert np.array_equal(positions[i], np.sort(candidates[i])[order[0]])
        np.testing.assert_allclose(distances[i], expected[0])


def test_bits_come_back_from_bytes():
    bits = torch.from_numpy(RANDOM.random((5, 13)) < 0.5)
    packed = pack_bits(bits)
    assert packed.shape == (5, 2)
    assert np.array_equal(packed, np.packbits(bits.numpy(), axis=1, bitorder="little"))
    assert torch.equal(unpack_bits(packed)[:, :13], bits)
    assert not unpack_bits(packed)[:, 13:].any()


def test_of_no_queries_there_are_no_neighbours():
    distances, positions = nearest(torch.zeros(0, 6), torch.from_numpy(INDEX).float(), 4)
    assert distances.shape == positions.shape == (0, 4)


@pytest.mark.parametrize(("count", "own", "most"), [(0, False, 900), (901, False, 900), (900, True, 899)])
def test_more_neighbours_than_rows_are_refused(count, own, most):
    index = torch.from_numpy(INDEX)
    with pytest.raises(ValueError, match=f"from 1 to {most}"):
        nearest(index, index, count, own=own)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="euclidean, cosine, hamming, got 'manhattan'"):
        nearest(torch.zeros(1, 2), torch.zeros(3, 2), 1, "manhattan")


def test_an_index_that_is_kept_gives_the_same_again_and_categories_count_as_one_hot(blocks):
    symbols, asked = RANDOM.integers(0, 5, (900, 2)), RANDOM.integers(0, 7, (40, 2))
    index = Index(torch.from_numpy(INDEX), symbols=torch.from_numpy(symbols))
    hot = [np.concatenate([x, *np.eye(7)[s].swapaxes(0, 1)], 1) for x, s in ((INDEX, symbols), (QUERIES, asked))]
    expected, order = by_hand(hot[1], hot[0], 5, "euclidean")
    for _ in range(2):
        distances, positions = index.nearest(torch.from_numpy(QUERIES), 5, symbols=torch.from_numpy(asked))
        np.testing.assert_allclose(distances, expected, atol=1e-12)
        assert np.array_equal(positions, order)
    every = index.distances(torch.from_numpy(QUERIES), torch.from_numpy(asked))
    np.testing.assert_allclose(every, pairwise_distances(hot[1], hot[0]), atol=1e-12)
