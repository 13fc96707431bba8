"""Cells as tensors alone: the same as `Tables.to_batch` and `matrix_of` make of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from isthmus.batch import Batch
from isthmus.exporting.tables import MISSING, Matrix, Preparation
from isthmus.jobs.baselines import matrix_of
from isthmus.modalities import Tables
from isthmus.modalities.columns import LIMIT
from isthmus.rows import as_rows


def assert_same_batch(found, wanted):
    np.testing.assert_array_equal(found.x, wanted.x)
    np.testing.assert_array_equal(found.mask, torch.ones_like(found.mask) if wanted.mask is None else wanted.mask)


@pytest.mark.parametrize("heavy_tails", ["keep", "squash"])
def test_numbers_of_any_size_are_prepared_as_in_python(heavy_tails):
    random = np.random.default_rng(0)
    table = Tables(heavy_tails=heavy_tails).fit(as_rows(random.normal(size=(200, 2)) * [1, 1e-3] + [5, 0]))
    sizes = np.concatenate([10.0 ** np.arange(-20, 309, 7), [0.0, np.nan, np.finfo(float).max]])
    values = np.stack([sizes, -sizes], 1)
    found = Preparation(table)(torch.from_numpy(values), None)
    wanted = table.to_batch(as_rows(values))
    np.testing.assert_allclose(found.x, wanted.x, rtol=2e-7, atol=1e-15)
    np.testing.assert_array_equal(found.mask, wanted.mask)


def test_what_python_refuses_is_as_odd_as_can_be():
    table = Tables().fit(as_rows(pl.DataFrame({"a": [1.0, 2.0], "b": [True, False]})))
    batch = Preparation(table)(torch.tensor([[np.inf, 0.5], [-np.inf, -7.0]], dtype=torch.float64), None)
    assert batch.x.tolist() == [[LIMIT, 2.0], [-LIMIT, 2.0]]


def test_dates_are_seconds_and_categories_their_ranks():
    text = ["2020-01-01T00:00:00", "2021-06-05T12:30:00.000001", "2022-02-02T23:59:59.999999"]
    at = pl.Series(text).str.to_datetime(time_unit="us")
    frame = pl.DataFrame({"c": ["x", None, "y"], "at": at, "n": [1, 5, 3], "day": at.dt.date()})
    table = Tables().fit(as_rows(frame))
    seconds = at.to_physical().to_numpy() / 1e6
    numbers = torch.from_numpy(np.stack([seconds, [1.0, 5.0, 3.0], seconds], 1))
    batch = Preparation(table)(numbers, torch.tensor([[1], [MISSING], [2]]))
    assert_same_batch(batch, table.to_batch(as_rows(frame)))


def test_the_matrix_is_that_of_the_measures_in_another_order():
    frame = pl.DataFrame({"c": ["x", "y", "z"] * 4, "a": np.arange(12.0), "b": [True, False] * 6, "d": ["u", "v"] * 6})
    table = Tables().fit(as_rows(frame))
    batch = table.to_batch(as_rows(frame))
    hidden = Batch(batch.x, torch.rand(batch.x.shape, generator=torch.Generator().manual_seed(0)) < 0.7)
    expected = table.to_batch(as_rows(frame[::-1])).x
    matrix = Matrix(table)
    wanted = matrix_of(table, Batch(torch.where(hidden.mask, hidden.x, expected)))
    np.testing.assert_array_equal(matrix(hidden, expected), wanted[:, matrix.order])
    assert matrix.numbers == 1
