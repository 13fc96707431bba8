"""What metrics read: which columns are numbers, which are cut into bins, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from isthmus.metrics import mutual_information
from isthmus.metrics.factors import as_codes, as_factors, bins_of, factor_names

RANDOM = np.random.default_rng(0)


def test_text_and_booleans_are_categories_and_numbers_are_numbers():
    columns = {"shape": ["heart", "square"] * 10, "open": [True, False] * 10, "size": [1, 2] * 10}
    for frame in (pl.DataFrame(columns), pd.DataFrame(columns)):
        shape, is_open, size = as_factors(frame, 20)
        assert shape.numbers is None and is_open.numbers is None
        assert shape.symbols.tolist() == [0, 1] * 10
        assert size.numbers.tolist() == [1.0, 2.0] * 10
        assert factor_names(frame) == ["shape", "open", "size"]
    mixed = np.array([["heart", 1.5], ["square", 2.5]] * 10, dtype=object)
    assert [factor.numbers is None for factor in as_factors(mixed, 20)] == [True, False]


def test_numbers_of_few_values_are_symbols_as_they_are():
    (factor,) = as_factors(np.repeat([0.0, 0.5, 3.0], 20)[:, None], 60)
    assert factor.symbols.tolist() == np.repeat([0, 1, 2], 20).tolist()


def test_numbers_of_many_values_are_bins_of_equally_many_rows():
    (factor,) = as_factors(np.exp(RANDOM.normal(size=1_000)), 1_000)
    assert np.bincount(factor.symbols).tolist() == [50] * 20


def test_codes_are_in_bins_of_equal_width():
    assert bins_of(np.array([0.0, 0.04, 0.06, 0.5, 1.0])).tolist() == [0, 0, 1, 10, 19]
    assert bins_of(np.full(5, 0.1)).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(20), r"shape \(n, dimensions\)"),
        (np.zeros((20, 2, 3)), "flatten a code that has positions"),
        (np.zeros((3, 2)), "at least 10 rows"),
        (np.where(np.arange(20) == 7, np.nan, 1.0)[:, None], "row 7 is not"),
    ],
)
def test_wrong_codes_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        as_codes(codes)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.zeros((5, 1)), "factors have 5 rows and codes 20; expected one row of factors for each"),
        (np.zeros((20, 2)), "'factor 0' has the same value in all rows"),
        (np.zeros((20, 2, 2)), r"factors should be of shape \(n, factors\), got \(20, 2, 2\)"),
        (pl.DataFrame({"a": ["x", None] * 10}), "'a' has missing values"),
        (np.array([["x"], [None]] * 10, dtype=object), "'factor 0' has missing values"),
        (np.array([1.0, np.nan] * 10), "'factor 0' has missing values"),
        (pl.DataFrame({"id": [f"row {i}" for i in range(300)]}), "'id' has 300 different texts"),
    ],
)
def test_wrong_factors_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(RANDOM.normal(size=(300 if "300" in message else 20, 2)), factors)
