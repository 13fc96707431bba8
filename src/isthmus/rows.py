"""Rows: what every reader returns and every modality takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from sklearn.utils import check_array

__all__ = ["ArrayRows", "FrameRows", "Rows", "SequenceRows", "SetAside", "as_rows", "float_of", "width_of"]


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

    @property
    def set_aside(self) -> Sequence[SetAside]:
        """What the reader did not use."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Any, /) -> Any:
        """Return the rows at these positions (an integer array or a slice)."""
        ...


@dataclass
class ArrayRows:
    """Rows of a numeric array: ``(n, c)`` for a table, ``(n, h, w[, c])`` for images.

    Attributes
    ----------
    array : numpy.ndarray
        The rows.
    lines : numpy.ndarray, optional
        For rows read from a file that has others too, the position of each; the first is 0.
    """

    array: np.ndarray
    set_aside: list[SetAside] = field(default_factory=list)
    lines: np.ndarray | None = None

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
        For rows read from a file: of text the line each began on, the first being 1, else
        the row's position, the first being 0.
    origin : dict of str to dict, optional
        For pandas: each column's label and dtype, by its name here.
    unused : list of str
        For rows read for a model: columns of the file that it was fitted without.
    """

    frame: pl.DataFrame
    container: str = "polars"
    set_aside: list[SetAside] = field(default_factory=list)
    lines: np.ndarray | None = None
    origin: dict[str, dict[str, Any]] | None = None
    unused: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, index) -> pl.DataFrame:
        """Return the rows at these positions."""
        return self.frame[index]


@dataclass
class SequenceRows:
    """Rows that are series of different lengths, laid end to end.

    Attributes
    ----------
    values : numpy.ndarray
        Shape ``(steps of all series, c)``.
    offsets : numpy.ndarray
        Shape ``(n + 1,)``, ``int64``: series ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    is_flat : bool
        Whether a series is an array ``(t,)`` rather than ``(t, c)``.
    lines : numpy.ndarray, optional
        For series read from a file: the name of each, or its position, the first being 0.
    times : numpy.ndarray, optional
        Shape ``(steps of all series,)``: when each step was.
    columns : list of str, optional
        For series read from a table: its columns of names, of times (None: there is none),
        and of values.
    """

    values: np.ndarray
    offsets: np.ndarray
    is_flat: bool = False
    set_aside: list[SetAside] = field(default_factory=list)
    lines: np.ndarray | None = None
    times: np.ndarray | None = None
    columns: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each series."""
        return np.diff(self.offsets)

    def take(self, index) -> list[np.ndarray]:
        """Return the series at these positions."""
        begins, ends = self.offsets[:-1][index].tolist(), self.offsets[1:][index].tolist()
        values = self.values[:, 0] if self.is_flat else self.values
        return [values[begin:end] for begin, end in zip(begins, ends, strict=True)]

    def choose(self, index: np.ndarray, set_aside: list[SetAside] | None = None) -> SequenceRows:
        """Return the series at these positions, as rows."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], lengths.cumsum()])
        # Positions of all their steps: each series' first, and on from there.
        steps = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths)
        lines = np.arange(len(self)) if self.lines is None else self.lines
        times = None if self.times is None else self.times[steps]
        aside = self.set_aside if set_aside is None else set_aside
        return SequenceRows(self.values[steps], offsets, self.is_flat, aside, lines[index], times, self.columns)


def as_rows(X: Any) -> Rows:
    """Return any data a caller may pass as rows.

    Parameters
    ----------
    X : array-like, list of arrays, list of dicts, polars.DataFrame, pandas.DataFrame or Rows
        A table (of dicts each is a row; a key that one lacks is a missing cell), images
        ``(n, height, width[, channels])``, or a list of series ``(t, channels)``, of different
        lengths or not; series of one channel may be ``(t,)`` if lengths differ.

    Raises
    ------
    ValueError
        If it is empty, complex, or an array with fewer than 2 dimensions.
    TypeError
        If it is sparse, or holds objects that are neither numbers nor text.
    """
    if isinstance(X, ArrayRows | FrameRows | SequenceRows):
        return X
    if isinstance(X, pl.DataFrame):
        return FrameRows(_not_empty(X))
    if _is_pandas(X):
        return FrameRows(_not_empty(_from_pandas(X)), "pandas", origin=_origin(X))
    if not hasattr(X, "dtype") and isinstance(X, Rows):
        return X
    if _is_series(X):
        return _from_series(X)
    if _is_records(X):
        return FrameRows(_from_records(X))
    if type(X) is np.ndarray and X.ndim > 1 and X.size and X.dtype.kind in "fiub":
        # As it is, which check_array would take longer to find than a score of one row.
        return ArrayRows(X)
    array = check_array(X, dtype=None, ensure_all_finite=False, allow_nd=True)
    if array.dtype.kind not in "OUS":
        return ArrayRows(array)
    return _from_objects(array)


def _is_series(X: Any) -> bool:
    """Whether this is a list of arrays that no table or stack of images is: a row of a table may be an array."""
    if not isinstance(X, list | tuple) or not X or not all(isinstance(one, np.ndarray) for one in X):
        return False
    ranks = {one.ndim for one in X}
    return ranks == {2} or (ranks == {1} and len({len(one) for one in X}) > 1)


def _is_records(X: Any) -> bool:
    return isinstance(X, list | tuple) and bool(X) and all(isinstance(one, Mapping) for one in X)


def _from_records(X: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return dicts as a table: a key that one of them lacks is a missing cell there."""
    names = list(dict.fromkeys(name for one in X for name in one))
    return _not_empty(pl.DataFrame([_from_values([one.get(name) for one in X], str(name)) for name in names]))


def _from_series(X: Sequence[np.ndarray]) -> SequenceRows:
    widths = {one.shape[1] for one in X if one.ndim == 2} or {1}
    odd = next((i for i, one in enumerate(X) if one.dtype.kind not in "fiub" or 0 in one.shape), None)
    if odd is not None:
        raise ValueError(
            f"series are numbers (steps, channels) with at least one step, got {X[odd].dtype} of shape "
            f"{X[odd].shape} as number {odd} (the first is 0); leave it out."
        )
    if len(widths) > 1:
        raise ValueError(f"all series must have equally many channels, got {', '.join(map(str, sorted(widths)))}.")
    is_flat = X[0].ndim == 1
    values = np.concatenate(X)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in X])]).astype(np.int64)
    return SequenceRows(values[:, None] if is_flat else values, offsets, is_flat)


def _is_pandas(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pandas" and hasattr(X, "iloc") and hasattr(X, "columns")


def _not_empty(frame: pl.DataFrame) -> pl.DataFrame:
    for what, n in (("sample(s)", frame.height), ("feature(s)", frame.width)):
        if n == 0:
            raise ValueError(f"Found array with 0 {what} (shape={frame.shape}) while a minimum of 1 is required.")
    return frame


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Convert column by column, which needs no pyarrow."""
    names = [str(name) for name in frame.columns.tolist()]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"column names must differ, got {', '.join(repeated)} more than once; rename them.")
    return pl.DataFrame([_series(name, column) for name, (_, column) in zip(names, frame.items(), strict=True)])


def _origin(frame: Any) -> dict[str, dict[str, Any]]:
    """Return labels (those that a JSON file can hold) and types of a pandas frame's columns."""
    return {
        str(label): {"label": label if isinstance(label, int | str) else str(label), "dtype": str(dtype)}
        for label, dtype in zip(frame.columns.tolist(), frame.dtypes, strict=True)
    }


def _series(name: str, column: Any) -> pl.Series:
    kind = getattr(column.dtype, "kind", "O")
    if kind == "M":
        values = column.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(column.dt, "tz", None) else column
        return pl.Series(name, values.to_numpy().astype("datetime64[us]"))
    if kind == "c":
        raise ValueError(f"Complex data not supported, got it in column {name!r}.")
    if kind in "iufb" and isinstance(column.dtype, np.dtype):
        return pl.Series(name, column.to_numpy())
    values = [
        None if gone else value for value, gone in zip(column.tolist(), np.asarray(column.array.isna()), strict=True)
    ]
    return _from_values(values, name)


def _from_objects(array: np.ndarray) -> Rows:
    if array.ndim != 2:
        raise ValueError(f"an array of {array.ndim} dimensions must hold numbers, got {array.dtype}.")
    frame = pl.DataFrame([_from_values(array[:, i].tolist(), f"x{i}") for i in range(array.shape[1])])
    if all(dtype.is_numeric() or dtype in (pl.Boolean, pl.Null) for dtype in frame.dtypes):
        return ArrayRows(frame.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return FrameRows(frame, "numpy")


def _from_values(values: list[Any], name: str) -> pl.Series:
    """Return Python values as a column of one type: that of all, floating-point, or text."""
    values = [_plain_value(value, name) for value in values]
    types = {type(value) for value in values if value is not None}
    mixed = len(types) > 1 and types <= {bool, int, float}
    huge = types == {int} and not all(value is None or -(2**63) <= value < 2**63 for value in values)
    if mixed or huge:
        values = [None if value is None else float(value) for value in values]
    elif len(types) > 1:
        values = [None if value is None else str(value) for value in values]
    return pl.Series(name, values)


def _plain_value(value: Any, name: str) -> Any:
    """Return a cell as a plain Python value, None where it is missing."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and np.isnan(value):
        return None
    if value is None or isinstance(value, bool | int | float | str) or hasattr(value, "isoformat"):
        return value
    raise TypeError(
        "the argument must be a string or a number in every cell, "
        f"got {type(value).__name__} in column {name!r}; convert it, or leave the column out."
    )


def width_of(rows: Rows) -> int | None:
    """Return how many columns a table has; None for what is no table."""
    if isinstance(rows, FrameRows):
        return rows.frame.width
    return rows.array.shape[1] if isinstance(rows, ArrayRows) and rows.array.ndim == 2 else None


def check_width(rows: Rows, wanted: int, who: str) -> None:
    """Raise ValueError, in scikit-learn's words, where an array has other columns than were fitted on."""
    width = width_of(rows)
    if isinstance(rows, ArrayRows) and width is not None and width != wanted:
        raise ValueError(f"X has {width} features, but {who} is expecting {wanted} features as input.")


def float_of(rows: Rows) -> Any:
    """Return the type codes of rows come back in: the rows' floating-point type, else float64."""
    given = rows.array.dtype if isinstance(rows, ArrayRows) else None
    given = rows.values.dtype if isinstance(rows, SequenceRows) else given
    return given if given in (np.float32, np.float64) else np.dtype(np.float64)
