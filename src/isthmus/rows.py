"""Rows: what every reader returns and every modality takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from sklearn.utils import check_array

__all__ = ["ArrayRows", "FrameRows", "Rows", "SetAside", "as_rows"]


@dataclass(frozen=True)
class SetAside:
    """A row that was not used, and why.

    Attributes
    ----------
    where : str
        A file, or a line of one.
    why : str
        What was wrong with it.
    """

    where: str
    why: str


@runtime_checkable
class Rows(Protocol):
    """Anything with a length that can be asked for some of its rows.

    A reader that has nothing in memory yet (a folder of images) loads them in ``take``.
    """

    set_aside: Sequence[SetAside]

    def __len__(self) -> int: ...

    def take(self, index: Any, /) -> Any:
        """Return the rows at these positions (an integer array or a slice)."""
        ...


@dataclass
class ArrayRows:
    """Rows of a numeric array: ``(n, c)`` for a table, ``(n, h, w[, c])`` for images."""

    array: np.ndarray
    set_aside: list[SetAside] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.array)

    def take(self, index) -> np.ndarray:
        """Return the rows at these positions."""
        return self.array[index]


@dataclass
class FrameRows:
    """Rows of a data frame.

    Attributes
    ----------
    frame : polars.DataFrame
        The rows, whatever they came from.
    container : {'polars', 'pandas', 'numpy'}
        What the caller gave, and wants back.
    lines : numpy.ndarray, optional
        For rows read from a file, the line each began on.
    """

    frame: pl.DataFrame
    container: str = "polars"
    set_aside: list[SetAside] = field(default_factory=list)
    lines: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, index) -> pl.DataFrame:
        """Return the rows at these positions."""
        return self.frame[index]


def as_rows(X: Any) -> Rows:
    """Return any data a caller may pass as rows.

    Parameters
    ----------
    X : array-like, polars.DataFrame, pandas.DataFrame or Rows
        A table, or images ``(n, height, width[, channels])``.

    Raises
    ------
    ValueError
        If it is empty, complex, or an array with fewer than 2 dimensions.
    TypeError
        If it is sparse, or holds objects that are neither numbers nor text.
    """
    if isinstance(X, ArrayRows | FrameRows) or (isinstance(X, Rows) and not hasattr(X, "dtype") and not _is_pandas(X)):
        return X
    if isinstance(X, pl.DataFrame):
        return FrameRows(_not_empty(X))
    if _is_pandas(X):
        return FrameRows(_not_empty(_from_pandas(X)), "pandas")
    array = check_array(X, dtype=None, ensure_all_finite=False, allow_nd=True)
    if array.dtype.kind not in "OUS":
        return ArrayRows(array)
    return _from_objects(array)


def _is_pandas(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pandas" and hasattr(X, "iloc") and hasattr(X, "columns")


def _not_empty(frame: pl.DataFrame) -> pl.DataFrame:
    for what, n in (("sample(s)", frame.height), ("feature(s)", frame.width)):
        if n == 0:
            raise ValueError(f"Found array with 0 {what} (shape={frame.shape}) while a minimum of 1 is required.")
    return frame


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Convert column by column, which needs no pyarrow."""
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"column names must differ, got {', '.join(repeated)} more than once; rename them.")
    return pl.DataFrame([_series(name, frame.iloc[:, i]) for i, name in enumerate(names)])


def _series(name: str, column: Any) -> pl.Series:
    kind = getattr(column.dtype, "kind", "O")
    if kind == "M":
        values = column.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(column.dt, "tz", None) else column
        return pl.Series(name, values.to_numpy().astype("datetime64[us]"))
    missing = column.isna().to_numpy()
    if kind in "iufb" and isinstance(column.dtype, np.dtype):
        return pl.Series(name, column.to_numpy())
    if kind == "c":
        raise ValueError(f"Complex data not supported, got it in column {name!r}.")
    values = [None if gone else value for value, gone in zip(column.tolist(), missing, strict=True)]
    if kind in "iufb":  # pandas' nullable numbers
        return pl.Series(name, values)
    return pl.Series(name, _plain_values(values, name))


def _from_objects(array: np.ndarray) -> Rows:
    if array.ndim != 2:
        raise ValueError(f"an array of {array.ndim} dimensions must hold numbers, got {array.dtype}.")
    columns = [_plain_values(array[:, i].tolist(), f"x{i}") for i in range(array.shape[1])]
    if all(value is None or isinstance(value, int | float) for column in columns for value in column):
        return ArrayRows(
            np.array([[np.nan if v is None else v for v in row] for row in zip(*columns, strict=True)], float)
        )
    return FrameRows(pl.DataFrame({f"x{i}": _one_type(column) for i, column in enumerate(columns)}), "numpy")


def _one_type(column: list[Any]) -> list[Any]:
    if any(isinstance(value, str) for value in column):
        return [None if value is None else str(value) for value in column]
    return column


def _plain_values(values: list[Any], name: str) -> list[Any]:
    plain = []
    for value in values:
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            value = value.item()
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, float) and np.isnan(value):
            value = None
        if value is not None and not isinstance(value, bool | int | float | str) and not hasattr(value, "isoformat"):
            raise TypeError(
                f"the argument must be a string or a number in every cell, got {type(value).__name__} in column {name!r}."
            )
        plain.append(value)
    return plain
