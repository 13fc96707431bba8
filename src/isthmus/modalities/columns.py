"""One column of a table: its type, how its cells become numbers, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

__all__ = ["KINDS", "decode", "encode", "infer", "learn", "unfit_cells"]

KINDS = ("number", "integer", "boolean", "category", "date", "datetime", "ignore")
MAX_CATEGORIES = 1_000
# Standardised values are held within this: the square of a wilder one overflows float32.
LIMIT = 1e6


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


def learn(series: pl.Series, kind: str, heavy_tails: str) -> dict[str, Any]:
    """Return the facts of a column: what :func:`encode` and :func:`decode` need.

    Parameters
    ----------
    series : polars.Series
        The column's cells while fitting.
    kind : str
        One of ``KINDS`` but 'ignore'.
    heavy_tails : {'auto', 'keep', 'squash'}
        Whether numbers pass through asinh; 'auto': where their kurtosis is above 30.
    """
    facts: dict[str, Any] = {"name": series.name, "kind": kind, "dtype": str(series.dtype)}
    facts["missing"] = int(_missing(series).sum())
    if kind == "category":
        counts = (
            series.drop_nulls()
            .cast(pl.String)
            .value_counts(sort=True)
            .sort(["count", series.name], descending=[True, False])
        )
        facts["values"] = counts[series.name].head(MAX_CATEGORIES).to_list()
        return facts
    values = _numbers(series, kind)
    values = values[~np.isnan(values)]
    _refuse_infinite(values, series.name)
    if kind == "boolean":
        return facts | {"share": float(values.mean()) if len(values) else 0.5}
    return facts | learn_numbers(values, heavy_tails)


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
            bent = np.arcsinh((values - squash[0]) / squash[1])
            center, scale = float(bent.mean()), float(bent.std())
    if scale <= 1e-12 * max(abs(low), abs(high)) or low == high:
        # A constant column: were its rounding noise the unit, any change would be a giant.
        scale = abs(center) or 1.0
    return {"low": low, "high": high, "squash": squash, "center": center, "scale": scale}


def _is_heavy(values: np.ndarray, center: float, scale: float) -> bool:
    if len(values) < 100 or scale == 0:
        return False
    return float(np.mean(((values - center) / scale) ** 4)) > 30


def _squash(values: np.ndarray) -> tuple[float, float]:
    """Return the median and a unit below which asinh is nearly straight."""
    middle = float(np.median(values))
    quartiles = np.quantile(values, (0.25, 0.75))
    unit = float(quartiles[1] - quartiles[0]) / 1.349
    if not unit > 0:
        away = np.abs(values - middle)
        unit = float(np.median(away[away > 0])) if (away > 0).any() else 1.0
    return middle, unit if math.isfinite(unit) else 1e300


def encode(series: pl.Series, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's cells as float64 and where they are missing.

    A number is in standard deviations from its mean, a category is the rank of its value
    plus one, a category not seen while fitting is 0.

    Raises
    ------
    ValueError
        If a number is infinite or a cell does not fit the column's type.
    """
    kind = facts["kind"]
    missing = _missing(series)
    if kind == "category":
        text = series.cast(pl.String)
        values = facts["values"]
        index = (
            text.replace_strict(values, list(range(1, len(values) + 1)), default=0, return_dtype=pl.Int64)
            if values
            else None
        )
        cells = np.zeros(len(series)) if index is None else index.fill_null(0).to_numpy().astype(np.float64)
        return cells, missing
    bad = unfit_cells(series, facts)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"column {facts['name']!r} holds {kind}s, got {series[first]!r} in row {first} "
            f"({int(bad.sum())} such cells). Correct them, or leave them empty to have them read as missing."
        )
    values = _numbers(series, kind)
    _refuse_infinite(values, facts["name"])
    values = np.nan_to_num(values, nan=0.0) if kind == "boolean" else encode_numbers(values, facts)
    return values, missing


def encode_numbers(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return numbers in standard deviations from the mean, 0 where they are NaN."""
    if facts["squash"]:
        values = np.arcsinh((values - facts["squash"][0]) / facts["squash"][1])
    with np.errstate(over="ignore"):
        scaled = (values - facts["center"]) / facts["scale"]
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)


def decode_numbers(cells: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return cells in standard deviations as numbers in the column's own unit."""
    values = cells * facts["scale"] + facts["center"]
    if facts["squash"]:
        # Beyond this sinh overflows; no float64 column reaches it.
        values = np.sinh(np.clip(values, -700, 700)) * facts["squash"][1] + facts["squash"][0]
    return values


def decode(cells: np.ndarray, facts: dict[str, Any]) -> pl.Series:
    """Return cells as a column of the original type."""
    kind, name = facts["kind"], facts["name"]
    if kind == "category":
        values = facts["values"]
        if not values:
            return pl.Series(name, [None] * len(cells), dtype=pl.String)
        return pl.Series(name, values, dtype=pl.String)[(cells.astype(np.int64) - 1).clip(0, len(values) - 1)]
    if kind == "boolean":
        truth = pl.Series(name, cells >= 0.5)
        return truth if facts["dtype"] == "Boolean" else truth.cast(_dtype(facts["dtype"]) or pl.Int64)
    values = decode_numbers(cells, facts)
    if kind == "number":
        return pl.Series(name, values).cast(pl.Float32 if facts["dtype"] == "Float32" else pl.Float64)
    whole = pl.Series(name, np.rint(values.clip(facts["low"], facts["high"]))).cast(pl.Int64)
    if kind == "date":
        return whole.cast(pl.Date)
    if kind == "datetime":
        return whole.cast(pl.Datetime("us"))
    return whole.cast(_dtype(facts["dtype"]) or pl.Int64)


def unfit_cells(series: pl.Series, facts: dict[str, Any]) -> np.ndarray:
    """Return where a cell is not missing and yet no value of the column's type."""
    dated = facts["kind"] in ("date", "datetime")
    if facts["kind"] == "category" or not (dated or series.dtype == pl.String):
        return np.zeros(len(series), bool)
    return np.isnan(_numbers(series, facts["kind"])) & ~_missing(series)


_INTEGERS = {str(t): t for t in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)}


def _dtype(name: str):
    return _INTEGERS.get(name)


def _numbers(series: pl.Series, kind: str) -> np.ndarray:
    """Return cells as float64, NaN where missing or unfit; dates as days, date-times as microseconds."""
    if kind in ("date", "datetime"):
        target = pl.Date if kind == "date" else pl.Datetime("us")
        if series.dtype == pl.String:
            parse = series.str.to_date if kind == "date" else series.str.to_datetime
            series = parse(strict=False)
        elif series.dtype not in (pl.Date, pl.Datetime, pl.Null):
            return np.full(len(series), np.nan)
        series = series.cast(target).to_physical()
    elif series.dtype == pl.String and kind == "boolean":
        words = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
        lowered = series.str.strip_chars().str.to_lowercase()
        series = lowered.replace_strict(list(words), list(words.values()), default=None, return_dtype=pl.Float64)
    return series.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def _missing(series: pl.Series) -> np.ndarray:
    missing = series.is_null()
    if series.dtype.is_float():
        missing = missing | series.is_nan().fill_null(True)
    return missing.to_numpy()


def _refuse_infinite(values: np.ndarray, name: str) -> None:
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise ValueError(f"column {name!r} has infinity in row {row}; replace it by a number or leave it empty (NaN).")
