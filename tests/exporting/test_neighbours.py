"""Searches made of products, top-k and comparisons: the same as by sorting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.exporting.neighbours import Draws, Nearest, Quantiles, Search
from isthmus.jobs.measures import FEW, RankScale
from isthmus.nearest import nearest

NUMBERS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=40, unique=True), min_size=1, max_size=3), st.data())
def test_places_are_those_of_a_sorted_search_from_both_sides(columns, data):
    columns = [np.unique(np.array(column, np.float32)) for column in columns]
    values = np.array([[data.draw(st.sampled_from(column.tolist()) | NUMBERS) for column in columns]], np.float32)
    found = Search(columns, torch.float32)(torch.from_numpy(values))
    wanted = [
        column.searchsorted(value, "left") + column.searchsorted(value, "right")
        for column, value in zip(columns, values[0], strict=True)
    ]
    assert found.tolist() == [wanted]


@pytest.mark.parametrize("n", [1, 3, 200])
def test_the_nearest_are_those_of_the_measures(n):
    random = torch.Generator().manual_seed(n)
    index, points = torch.randn(n, 5, generator=random) + 100, torch.randn(30, 5, generator=random) + 100
    distances, positions = Nearest(index, 20)(points)
    wanted, where = nearest(points, index, min(20, n))
    np.testing.assert_allclose(distances, wanted, rtol=1e-6)
    np.testing.assert_array_equal(positions, where)


@pytest.mark.parametrize("n", [2, FEW * 7, FEW * 10])
def test_draws_give_the_median_distance_to_the_nearest_of_each(n):
    random = np.random.default_rng(n)
    index, points = random.normal(size=(n, 3)).astype(np.float32), random.normal(size=(9, 3)).astype(np.float32)
    points[0] = index[0]
    apart = np.linalg.norm(points[:, None] - index, axis=2).reshape(9, -1, min(FEW, n)).min(2)
    found = Draws(torch.from_numpy(index))(torch.from_numpy(points))
    np.testing.assert_allclose(found, np.median(apart, axis=1), rtol=1e-6, atol=1e-7)


def test_quantiles_are_those_of_the_rank_scale_on_between_and_beyond_the_reference_rows():
    random = np.random.default_rng(0)
    rows = np.stack([random.normal(size=300), random.integers(0, 4, 300), np.full(300, 2.0)], 1)
    rows = rows.astype(np.float32).astype(np.float64)
    scale = RankScale(rows, np.array([True, True, True]))
    new = np.concatenate([rows[:50], rows[:50] + 0.5, [[-9.0, -9.0, -9.0], [1e6, 1e6, 1e6]]])
    new = new.astype(np.float32).astype(np.float64)
    found = Quantiles(scale)(torch.from_numpy(new).float())
    np.testing.assert_allclose(found, scale(new), rtol=1e-6, atol=1e-6)
