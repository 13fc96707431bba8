"""What metrics of disentanglement read: codes as numbers, factors as numbers and symbols."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

__all__ = ["BINS", "Factor", "as_codes", "as_factors", "bins_of", "check_bins", "factor_names"]

BINS = 20
# A number with more values than this is continuous: no symbol would have been seen often enough.
MOST_VALUES = 64
# A text with more values than this names rows rather than what they have in common.
MOST_TEXTS = 256
LEAST_ROWS = 10


class Factor(NamedTuple):
    """One factor of variation.

    Attributes
    ----------
    symbols : ndarray of int64
        ``(n,)``, from 0: its values, or the bins of a continuous one.
    numbers : ndarray of float64 or None
        ``(n,)``: what it measures; None for text and booleans, which have no more and less.
    """

    symbols: np.ndarray
    numbers: np.ndarray | None


def as_codes(codes: Any) -> np.ndarray:
    """Return codes as float64 ``(n, d)``.

    Raises
    ------
    ValueError
        If they are not of that shape, not finite, or fewer than 10.
    """
    array = np.asarray(codes, dtype=np.float64)
    if array.ndim != 2 or len(array) < LEAST_ROWS or not array.shape[1]:
        raise ValueError(
            f"codes should be of shape (n, dimensions) with at least {LEAST_ROWS} rows, got {array.shape}; "
            "flatten a code that has positions."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"codes should be finite; row {int(np.argmin(np.isfinite(array).all(1)))} is not.")
    return array


def as_factors(factors: Any, n: int) -> list[Factor]:
    """Return factors ``(n, k)`` one by one.

    A column of text or booleans is discrete. So is a column of at most 64 different numbers;
    one of more is continuous, and its symbols are 20 bins that hold equally many rows.

    Parameters
    ----------
    factors : array-like or data frame of shape (n, k)
        Columns of numbers, booleans or text.
    n : int
        How many rows there must be.

    Raises
    ------
    ValueError
        If there are not ``n`` rows, a value is missing, a factor has one value only, or a text
        more than 256.
    """
    columns = _columns(factors)
    return [_factor(column, name, n) for column, name in zip(columns, factor_names(factors), strict=True)]


def factor_names(factors: Any) -> list[str]:
    """Return the names of the columns of a data frame; else ``factor 0``, ``factor 1``, ..."""
    if hasattr(factors, "columns"):
        return [str(name) for name in factors.columns]
    shape = np.shape(factors)
    return [f"factor {i}" for i in range(shape[1] if len(shape) == 2 else 1)]


def bins_of(column: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the bin, from 0, of each number: ``bins`` of equal width between the least and the greatest."""
    low, high = column.min(), column.max()
    # Of a dimension that is constant but for rounding, bins would make something of noise.
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        return np.zeros(len(column), np.int64)
    return np.minimum(((column - low) / (high - low) * bins).astype(np.int64), bins - 1)


def check_bins(bins: int) -> None:
    """Raise ValueError unless there are 2 to 10,000 bins."""
    if not 2 <= bins <= 10_000:
        raise ValueError(f"bins should be a whole number from 2 to 10,000, got {bins!r}.")


def _columns(factors: Any) -> list[np.ndarray]:
    if isinstance(factors, pl.DataFrame):
        return [np.array(column.to_list()) if column.null_count() else column.to_numpy() for column in factors]
    if hasattr(factors, "iloc") and hasattr(factors, "columns"):
        return [factors.iloc[:, i].to_numpy() for i in range(factors.shape[1])]
    array = np.asarray(factors)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"factors should be of shape (n, factors), got {array.shape}.")
    return [array[:, i] for i in range(array.shape[1])]


def _factor(column: np.ndarray, name: str, n: int) -> Factor:
    if len(column) != n:
        raise ValueError(f"factors have {len(column)} rows and codes {n}; expected one row of factors for each.")
    if column.dtype == object:
        # One type for all values; None stays an object.
        column = np.array(column.tolist())
    if _is_missing(column).any():
        raise ValueError(f"the factor {name!r} has missing values; leave these rows out.")
    is_number = column.dtype.kind in "iuf"
    # As text where they are no numbers: values of several types have no order.
    values, symbols = np.unique(column if is_number else column.astype(str), return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"the factor {name!r} has the same value in all rows; leave it out.")
    if not is_number:
        if len(values) > MOST_TEXTS:
            raise ValueError(f"the factor {name!r} has {len(values)} different texts, more than {MOST_TEXTS}.")
        return Factor(symbols.astype(np.int64), None)
    numbers = column.astype(np.float64)
    if len(values) > MOST_VALUES:
        edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        symbols = np.unique(np.searchsorted(edges, numbers, side="right"), return_inverse=True)[1]
    return Factor(symbols.astype(np.int64), numbers)


def _is_missing(column: np.ndarray) -> np.ndarray:
    if column.dtype == object:
        return np.array([value is None or value != value for value in column])
    return ~np.isfinite(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
