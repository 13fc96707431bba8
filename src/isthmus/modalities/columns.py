"""One column of a table: its type, how its cells become numbers, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from isthmus.modalities.sketches import POINTS, sketch_numbers

__all__ = [
    "KINDS",
    "LIMIT",
    "NEVER_SEEN",
    "NUMERIC",
    "Encoder",
    "decode",
    "decode_numbers",
    "encode_numbers",
    "flags_of",
    "infer",
    "learn",
    "learn_numbers",
    "missing_of",
    "numbers_of",
    "words_of",
]

KINDS = ("number", "integer", "boolean", "category", "date", "datetime", "ignore")
MAX_CATEGORIES = 1_000
# Standardised values are held within this: the square of a wilder one overflows float32.
LIMIT = 1e6
# The cell of a boolean column that is neither 0 nor 1.
NEVER_SEEN = 2.0
INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
PLAIN = frozenset((*INTEGERS, pl.Float32, pl.Float64))
NUMERIC: dict[str, Any] = {str(t): t for t in (*INTEGERS, pl.Float32, pl.Float64, pl.Boolean)}
WORDS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def infer(series: pl.Series) -> str:
    """Return the kind of a column from its type and its values."""
    dtype = series.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "boolean" if set(series.drop_nulls().unique().head(3).to_list()) == {0, 1} else "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "number"
    if dtype == pl.Date:
        return "date"
    if dtype == pl.Datetime:
        return "datetime"
    if dtype == pl.Null:
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "ignore" if _is_identifier(series) else "category"
    raise TypeError(
        f"column {series.name!r} is of type {dtype}, which no table column can be. Use numbers, booleans, text or "
        "dates, or leave the column out with types={" + repr(series.name) + ": 'ignore'}."
    )


def _is_identifier(series: pl.Series) -> bool:
    """Whether nearly every row has its own value: a name, not a category."""
    seen = series.drop_nulls()
    return len(seen) > 50 and seen.n_unique() > 0.9 * len(seen)


def learn(series: pl.Series, kind: str, heavy_tails: str, n_points: int = POINTS) -> dict[str, Any]:
    """Return the facts of a column: what :class:`Encoder` and :func:`decode` need, and a sketch of its cells.

    Parameters
    ----------
    series : polars.Series
        The column's cells while fitting.
    kind : str
        One of ``KINDS`` but 'ignore'.
    heavy_tails : {'auto', 'keep', 'squash'}
        Whether numbers pass through asinh; 'auto': where their kurtosis is above 30.
    n_points : int, default=128
        How many points of the distribution of numbers are kept in ``sketch``.
    """
    facts: dict[str, Any] = {"name": series.name, "kind": kind, "dtype": str(series.dtype)}
    facts["missing"] = int(missing_of(series).sum())
    if kind == "category":
        counts = words_of(series, facts).alias("value").drop_nulls().value_counts()
        counts = counts.sort(["count", "value"], descending=[True, False])
        facts["values"] = counts["value"].head(MAX_CATEGORIES).to_list()
        known = counts["count"].head(MAX_CATEGORIES).to_list()
        facts["sketch"] = {"count": len(series) - facts["missing"], "counts": known}
        if isinstance(series.dtype, pl.Enum):
            facts["levels"] = series.dtype.categories.to_list()
        return facts
    if isinstance(series.dtype, pl.Datetime):
        facts |= {"unit": series.dtype.time_unit, "zone": series.dtype.time_zone}
    values = numbers_of(series, kind)
    values = values[~np.isnan(values)]
    if kind == "boolean":
        return facts | {"share": float(values.mean()) if len(values) else 0.5, "sketch": {"count": len(values)}}
    return facts | learn_numbers(values, heavy_tails) | {"sketch": sketch_numbers(values, n_points)}


def learn_numbers(values: np.ndarray, heavy_tails: str) -> dict[str, Any]:
    """Return centre, scale, range and tail treatment of numbers without NaN."""
    if not len(values):
        return {"low": 0.0, "high": 0.0, "squash": None, "center": 0.0, "scale": 1.0}
    values = values.astype(np.float64, copy=False)
    low, high = float(values.min()), float(values.max())
    squash = None
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = float(values.mean()), float(values.std())
        if (
            not math.isfinite(scale)
            or heavy_tails == "squash"
            or (heavy_tails == "auto" and _is_heavy(values, center, scale))
        ):
            squash = _squash(values)
            values = _bend(values, *squash)
            center, scale = float(values.mean()), float(values.std())
    if low == high or scale <= 1e-12 * max(abs(float(values.min())), abs(float(values.max()))):
        # A constant column: were its rounding noise the unit, any change would be a giant.
        scale = abs(center) or 1.0
    return {"low": low, "high": high, "squash": squash, "center": center, "scale": scale}


def _is_heavy(values: np.ndarray, center: float, scale: float) -> bool:
    if len(values) < 100 or scale == 0:
        return False
    squares = np.square((values - center) / scale)
    return float(squares @ squares) > 30 * len(values)


def _bend(values: np.ndarray, middle: float, unit: float) -> np.ndarray:
    return np.arcsinh((values - middle) / unit)


def _squash(values: np.ndarray) -> tuple[float, float]:
    """Return the median and a unit below which asinh is nearly straight."""
    middle = float(np.median(values))
    quartiles = np.quantile(values, (0.25, 0.75))
    unit = float(quartiles[1] - quartiles[0]) / 1.349
    if not unit > 0:
        away = np.abs(values - middle)
        unit = float(np.median(away[away > 0])) if (away > 0).any() else 1.0
    return middle, unit if math.isfinite(unit) else 1e300


class Encoder:
    """Cells of a table as numbers: one matrix for all columns.

    A number is in standard deviations from its mean, a category is the rank of its value
    plus one, a category not seen while fitting is 0. A boolean is 0 or 1; see :func:`flags_of`.
    Where a cell is missing there is a 0.

    Parameters
    ----------
    columns : sequence of dict
        The facts of each column, from :func:`learn`.
    """

    def __init__(self, columns: Sequence[dict[str, Any]]):
        self._columns = columns
        self._ranks = [
            {None: np.nan} | {value: rank for rank, value in enumerate(facts.get("values", ()), start=1)}
            for facts in columns
        ]
        self._centers = np.array([facts.get("center", 0.0) for facts in columns])
        self._scales = np.array([facts.get("scale", 1.0) for facts in columns])
        self._bent = [i for i, facts in enumerate(columns) if facts.get("squash")]
        self._bends = np.array([columns[i]["squash"] for i in self._bent]).reshape(-1, 2).T

    def __call__(self, frame: pl.DataFrame, begin: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return rows as a float64 matrix, and where cells are missing.

        Parameters
        ----------
        frame : polars.DataFrame
            The columns, in their order.
        begin : int, default=0
            The first row's number, for the messages.

        Raises
        ------
        ValueError
            If a number is infinite or a cell is none of the column's kind.
        """
        cells, values, plain = frame.get_columns(), np.empty(frame.shape), []
        for i, (series, dtype, facts) in enumerate(zip(cells, frame.dtypes, self._columns, strict=True)):
            kind = facts["kind"]
            if kind in ("number", "integer") and dtype in PLAIN:
                plain.append(i)
            elif kind == "category":
                ranks = self._ranks[i]
                values[:, i] = [ranks.get(word, 0) for word in words_of(series, facts).to_list()]
            else:
                values[:, i] = flags_of(series, facts, begin) if kind == "boolean" else _numbers(series, kind)
        if plain:
            # At once: a call to polars takes longer than a row.
            values[:, plain] = pl.DataFrame([cells[i] for i in plain]).to_numpy()
        for i in np.flatnonzero(~np.isfinite(values).all(0)).tolist():
            if self._columns[i]["kind"] not in ("category", "boolean"):
                _check(cells[i], self._columns[i]["kind"], values[:, i], begin)
        return self.scaled(values)

    def scaled(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same of values in the columns' own units, NaN where missing; they are overwritten."""
        missing = np.isnan(values)
        with np.errstate(over="ignore"):
            if self._bent:
                values[:, self._bent] = _bend(values[:, self._bent], *self._bends)
            values -= self._centers
            values /= self._scales
        values[missing] = 0.0
        return np.clip(values, -LIMIT, LIMIT, out=values), missing


def encode_numbers(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return numbers in standard deviations from the mean, 0 where they are NaN."""
    with np.errstate(over="ignore"):
        if facts["squash"]:
            values = _bend(values, *facts["squash"])
        scaled = (values - facts["center"]) / facts["scale"]
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)


def decode_numbers(cells: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return cells in standard deviations as numbers in the column's own unit."""
    most = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        values = cells * facts["scale"] + facts["center"]
        if facts["squash"]:
            middle, unit = facts["squash"]
            values = np.sinh(values) * unit + middle
    return np.clip(values, -most, most)


def decode(cells: np.ndarray, facts: dict[str, Any]) -> pl.Series:
    """Return cells as a column of the original type."""
    kind, name = facts["kind"], facts["name"]
    wanted = NUMERIC.get(facts["dtype"])
    if kind == "category":
        values = pl.Series(name, facts["values"] or [None], dtype=pl.String)
        chosen = values[(cells.astype(np.int64) - 1).clip(0, len(values) - 1)]
        if facts["dtype"] == "Categorical" or "levels" in facts:
            return chosen.cast(pl.Enum(facts["levels"]) if "levels" in facts else pl.Categorical)
        return chosen == "true" if wanted == pl.Boolean else chosen.cast(wanted or pl.String)
    if kind == "boolean":
        return pl.Series(name, cells >= 0.5).cast(wanted or pl.Boolean)
    numbers = decode_numbers(cells, facts)
    if kind == "number":
        return pl.Series(name, numbers).cast(pl.Float32 if wanted == pl.Float32 else pl.Float64)
    whole = np.rint(numbers.clip(facts["low"], facts["high"]))
    if kind == "integer":
        return _integers(name, whole, wanted if wanted in INTEGERS else pl.Int64)
    dates = _integers(name, whole, pl.Int64)
    if kind == "date" and facts.get("unit") is None:
        return dates.cast(pl.Date)
    moments = dates.cast(pl.Date) if kind == "date" else dates.cast(pl.Datetime("us"))
    moments = moments.cast(pl.Datetime(facts.get("unit") or "us"))
    zone = facts.get("zone")
    return moments.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else moments


def _integers(name: str, whole: np.ndarray, dtype: Any) -> pl.Series:
    """Return whole numbers as integers; float64 has none of the greatest 64-bit ones."""
    most = float(pl.select(dtype.max()).item())
    most = most if most < 2**53 else float(np.nextafter(most, 0))
    return pl.Series(name, np.minimum(whole, most)).cast(dtype)


def words_of(series: pl.Series, facts: dict[str, Any]) -> pl.Series:
    """Return categories as text; a column of integers stays one when gaps made it floating-point."""
    wanted = NUMERIC.get(facts["dtype"])
    if series.dtype.is_float():
        series = series.fill_nan(None)
        if wanted in INTEGERS and (series.drop_nulls() % 1 == 0).all():
            series = series.cast(pl.Int64, strict=False)
    return series.cast(pl.String)


def numbers_of(series: pl.Series, kind: str, begin: int = 0) -> np.ndarray:
    """Return cells as float64, NaN where missing; refuse those of another type and infinity."""
    values = _numbers(series, kind)
    if not np.isfinite(values).all():
        _check(series, kind, values, begin)
    return values


def _check(series: pl.Series, kind: str, values: np.ndarray, begin: int) -> None:
    """Raise ValueError where a cell is there and no number of it, or where that is infinite."""
    bad = np.isnan(values) & ~missing_of(series)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"column {series.name!r} holds {kind}s, got {_shown(series[first])} in row {begin + first} "
            f"({int(bad.sum())} such cells). Correct them, or leave them empty to have them read as missing."
        )
    if np.isinf(values).any():
        row = begin + int(np.isinf(values).argmax())
        raise ValueError(
            f"column {series.name!r} has infinity in row {row}; replace it by a number or leave it empty (NaN)."
        )


def flags_of(series: pl.Series, facts: dict[str, Any], begin: int = 0) -> np.ndarray:
    """Return a boolean column's cells as 0 and 1, NaN where missing, 2 where never seen while fitting.

    Only a column of integers can hold the last: what held 0 and 1 alone while fitting may be a
    count, and the row in which it is 3 is the one that an anomaly detector is there for.
    """
    if NUMERIC.get(facts["dtype"]) not in INTEGERS or not series.dtype.is_numeric():
        return numbers_of(series, "boolean", begin)
    values = numbers_of(series, "integer", begin)
    return np.where(np.isnan(values) | (values == 0) | (values == 1), values, NEVER_SEEN)


def _numbers(series: pl.Series, kind: str) -> np.ndarray:
    """Return cells as float64, NaN where missing or unfit; dates as days, date-times as microseconds."""
    dtype, dated = series.dtype, kind in ("date", "datetime")
    if dtype.is_nested() or dtype == pl.Object or (dtype not in (pl.String, pl.Null) and dtype.is_temporal() != dated):
        return np.full(len(series), np.nan)
    if dated:
        if dtype == pl.String:
            series = _dates(series, kind)
        elif dtype in (pl.Time, pl.Duration):
            return np.full(len(series), np.nan)
        series = series.cast(pl.Date if kind == "date" else pl.Datetime("us")).cast(pl.Int64)
    elif kind == "boolean" and dtype == pl.String:
        series = series.str.strip_chars().str.to_lowercase()
        series = series.replace_strict(list(WORDS), list(WORDS.values()), default=None, return_dtype=pl.Float64)
    # What is null is NaN in numpy.
    values = series.cast(pl.Float64, strict=False).to_numpy()
    return np.where((values == 0) | (values == 1), values, np.nan) if kind == "boolean" else values


def _dates(text: pl.Series, kind: str) -> pl.Series:
    """Return text as dates, null where it is none; polars finds the format from the first cells."""
    try:
        return text.str.to_date(strict=False) if kind == "date" else text.str.to_datetime(strict=False)
    except pl.exceptions.ComputeError:  # no cell has a format that it knows
        return pl.Series(text.name, [None] * len(text), pl.Datetime("us"))


def _shown(cell: Any) -> str:
    return " ".join(repr(cell).split())[:60]


def missing_of(series: pl.Series) -> np.ndarray:
    """Return where cells are missing: null or NaN."""
    if series.dtype.is_float():
        return np.isnan(series.to_numpy())
    gone = series.null_count()
    # polars answers with a query, which takes longer than all else that a table of one row needs.
    return series.is_null().to_numpy() if 0 < gone < len(series) else np.full(len(series), gone > 0)
