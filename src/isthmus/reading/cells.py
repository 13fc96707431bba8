"""Cells of text to cells of a type: inferred over a whole column, or as a model was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

__all__ = ["conform", "infer"]

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?")
# A column is of numbers (or dates) if at least this share of so many cells are.
NEARLY_ALL = 0.99
FEW = 50
TRUTH = {"true": 1, "false": 0}
NAIVE = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
NUMERIC: dict[str, Any] = {
    str(t): t
    for t in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.Float32, pl.Float64, pl.Boolean),
    )
}


def infer(text: pl.Series, *, quoted: bool = False) -> tuple[pl.Series, pl.Series, str]:
    """Return a column in the type its cells have, where a cell has none, and the type's name.

    Parameters
    ----------
    text : polars.Series
        Strings.
    quoted : bool, default=False
        Whether the file itself tells text from numbers (JSON): digits alone then are text.
    """
    whole = text.cast(pl.Int64, strict=False)
    if not quoted and not _lost(text, whole).any():
        return whole, _lost(text, whole), "numeric"
    text = _clean(text)
    filled = text.len() - text.null_count()
    if filled == 0:
        return (text if quoted else text.cast(pl.Float64)), text.is_null() & False, "numeric"
    for name, typed in _candidates(text):
        odd = _lost(text, typed)
        n_odd = odd.sum()
        if quoted and name == "numeric" and n_odd == 0:
            continue
        if n_odd == 0 or (name != "boolean" and filled >= FEW and n_odd <= (1 - NEARLY_ALL) * filled):
            return _narrow(text, typed, name), odd, name
    return text, text.is_null() & False, "text"


def _candidates(text: pl.Series):
    yield "numeric", text.cast(pl.Float64, strict=False)
    yield "boolean", _truth(text).cast(pl.Boolean)
    # Dates are tried last and only where cells look so: parsing is slow.
    if text.drop_nulls().head(1_000).str.contains(r"^\d{4}-\d\d-\d\d").mean() > 0.5:
        yield "date", _date(text)
        yield "datetime", _datetime(text, NAIVE)
        yield "datetime", _datetime(text, ZONED)


def _narrow(text: pl.Series, typed: pl.Series, name: str) -> pl.Series:
    """Return numbers as integers if all are."""
    if name != "numeric":
        return typed
    whole = text.cast(pl.Int64, strict=False)
    return whole if not (whole.is_null() & typed.is_not_null()).any() else typed.fill_nan(None)


def conform(given: pl.Series, facts: Mapping[str, Any]) -> tuple[pl.Series, pl.Series, str]:
    """Return a column in the type a model was fitted on, where a cell is none, and the type's name.

    Parameters
    ----------
    given : polars.Series
        Text, or cells of a type if the file has types.
    facts : mapping
        Of the fitted column: its ``kind`` and its ``dtype``.
    """
    kind, dtype = facts["kind"], facts.get("dtype")
    given = _clean(given) if given.dtype == pl.String else given
    if given.dtype.is_float():
        given = given.fill_nan(None)
    if given.dtype.is_nested() or _other_world(given, kind):
        return pl.Series(given.name, [None] * len(given), pl.Float64), given.is_not_null(), _called(kind)
    typed = _typed(given, kind, dtype)
    if typed.dtype.is_float():
        typed = typed.fill_nan(None)
    return typed, _lost(given, typed), _called(kind)


def _typed(given: pl.Series, kind: str, dtype: Any) -> pl.Series:
    is_text = given.dtype == pl.String
    if kind == "category":
        wanted = NUMERIC.get(str(dtype))
        if wanted is None:
            return given.cast(pl.String)
        return _boolean(given) if wanted == pl.Boolean else given.cast(wanted, strict=False)
    if kind == "boolean":
        truth = _boolean(given)
        return truth if dtype == "Boolean" else truth.cast(pl.Int64).fill_null(_whole(given, dtype))
    if kind == "date":
        return _date(given) if is_text else given.cast(pl.Date, strict=False)
    if kind == "datetime":
        if not is_text:
            return given.cast(pl.Datetime("us"), strict=False)
        naive = _datetime(given, NAIVE)
        return naive if not _lost(given, naive).any() else naive.zip_with(naive.is_not_null(), _datetime(given, ZONED))
    numbers = given.cast(pl.Float64, strict=False)
    return _narrow(given, numbers, "numeric") if kind == "integer" else numbers


def _boolean(given: pl.Series) -> pl.Series:
    """Return True and False for those words and for 1 and 0, else null."""
    if given.dtype == pl.Boolean:
        return given
    numbers = given.cast(pl.Float64, strict=False)
    if given.dtype == pl.String:
        numbers = numbers.zip_with(numbers.is_not_null(), _truth(given).cast(pl.Float64))
    return numbers.replace_strict([0.0, 1.0], [False, True], default=None, return_dtype=pl.Boolean)


def _whole(given: pl.Series, dtype: Any) -> pl.Series:
    """Return the integers of a column that held integers: 0 and 1 while fitting, others now."""
    numbers = given.cast(pl.Float64, strict=False)
    fits = (numbers % 1 == 0) & str(dtype).startswith(("Int", "UInt"))
    return numbers.zip_with(fits.fill_null(False), pl.Series([None], dtype=pl.Float64)).cast(pl.Int64, strict=False)


def _other_world(given: pl.Series, kind: str) -> bool:
    """Whether a file's own type says date where the model has a number, or the other way round."""
    if given.dtype in (pl.String, pl.Null) or kind == "category":
        return False
    return given.dtype.is_temporal() != (kind in ("date", "datetime"))


def _clean(text: pl.Series) -> pl.Series:
    """Return text without spaces around it, null where it says that a cell is missing."""
    return text.str.strip_chars().replace(list(MISSING), [None] * len(MISSING))


def _lost(given: pl.Series, typed: pl.Series) -> pl.Series:
    return given.is_not_null() & typed.is_null()


def _truth(text: pl.Series) -> pl.Series:
    return text.str.to_lowercase().replace_strict(
        list(TRUTH), list(TRUTH.values()), default=None, return_dtype=pl.Int64
    )


def _date(text: pl.Series) -> pl.Series:
    # polars also takes one digit for a month, which is no ISO date.
    return text.zip_with(text.str.len_bytes() == 10, pl.Series([None], dtype=pl.String)).str.to_date(
        "%Y-%m-%d", strict=False
    )


def _datetime(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Return date-times (those with a zone in UTC), null where no format fits; a date is its midnight."""
    found = _date(text).cast(pl.Datetime("us"))
    for form in formats:
        if not _lost(text, found).any():
            break
        parsed = text.str.to_datetime(form, strict=False, time_unit="us").cast(pl.Datetime("us"))
        found = found.zip_with(found.is_not_null(), parsed)
    return found


def _called(kind: str) -> str:
    return "numeric" if kind in ("number", "integer") else kind
