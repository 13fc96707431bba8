"""What is unlike the fitted rows in the cells themselves: missing, never seen, out of range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from isthmus.modalities.columns import NEVER_SEEN, flags_of, missing_of, numbers_of, words_of
from isthmus.modalities.tables import Tables
from isthmus.part import Part
from isthmus.rows import Rows

__all__ = ["find_issues", "issues_of", "out_of_range", "unseen"]

CHUNK = 2**17
RANGED = ("number", "integer", "date", "datetime")


def issues_of(modality: Part, rows: Rows) -> list[tuple[dict[str, Any], ...]]:
    """Return for each row what is wrong with its cells; an empty tuple for a clean row.

    Parameters
    ----------
    modality : Part
        Fitted. Only :class:`~isthmus.modalities.Tables` has cells to inspect; rows of others
        have no issues.
    rows : Rows
        As the model takes them.

    Returns
    -------
    list of tuple of dict
        Each has ``feature`` and ``issue``: 'missing'; 'unseen category' with its ``value``;
        'out of range' with its ``value`` and the ``known`` lowest and highest fitted one.

    Raises
    ------
    ValueError
        If a column is missing, or holds a cell of another type.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> fitted = pl.DataFrame({"size": [1.0, 2.0, 3.0], "kind": ["ash", "oak", "ash"]})
    >>> table = Tables().fit(as_rows(fitted))
    >>> new = pl.DataFrame({"size": [2.0, 9.0, None], "kind": ["oak", "oak", "elm"]})
    >>> for found in issues_of(table, as_rows(new)):
    ...     print([(issue["feature"], issue["issue"]) for issue in found])
    []
    [('size', 'out of range')]
    [('size', 'missing'), ('kind', 'unseen category')]
    """
    # Rows that are clean share one empty tuple: no work is done for them.
    issues: list[tuple[dict[str, Any], ...]] = [()] * len(rows)
    for row, found in find_issues(modality, rows).items():
        issues[row] = tuple(found)
    return issues


def find_issues(modality: Part, rows: Rows) -> dict[int, list[dict[str, Any]]]:
    """Return the issues of those rows that have some, by position; see :func:`issues_of`."""
    found: dict[int, list[dict[str, Any]]] = {}
    if not isinstance(modality, Tables):
        return found
    for begin in range(0, len(rows), CHUNK):
        frame = modality.arrange(rows.take(slice(begin, min(begin + CHUNK, len(rows)))))
        for facts in modality.columns:
            for row, issue in _column_issues(frame[facts["name"]], facts, begin):
                found.setdefault(row, []).append({"feature": facts["name"]} | issue)
    return dict(sorted(found.items()))


def unseen(series: pl.Series, facts: dict[str, Any]) -> np.ndarray:
    """Return where a category is none of the fitted ones (or of the thousand most frequent)."""
    known = words_of(series, facts).is_in(facts["values"])
    return ~known.fill_null(False).to_numpy() & ~missing_of(series)


def out_of_range(series: pl.Series, facts: dict[str, Any], begin: int = 0) -> np.ndarray:
    """Return where a number or date is below the lowest or above the highest fitted one."""
    values = numbers_of(series, facts["kind"], begin)
    if facts["dtype"] == "Float32":
        # The range is of rounded numbers: unrounded, its own ends would lie outside.
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    return (values < facts["low"]) | (values > facts["high"])


def _column_issues(series: pl.Series, facts: dict[str, Any], begin: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in np.flatnonzero(missing_of(series)).tolist():
        yield begin + row, {"issue": "missing"}
    if facts["kind"] == "category":
        for row in np.flatnonzero(unseen(series, facts)).tolist():
            yield begin + row, {"issue": "unseen category", "value": _plain(series[row])}
    elif facts["kind"] == "boolean":
        for row in np.flatnonzero(flags_of(series, facts, begin) == NEVER_SEEN).tolist():
            yield begin + row, {"issue": "out of range", "value": _plain(series[row]), "known": [0, 1]}
    elif facts["kind"] in RANGED:
        outside = np.flatnonzero(out_of_range(series, facts, begin)).tolist()
        known = _range(facts) if outside else None
        for row in outside:
            yield begin + row, {"issue": "out of range", "value": _plain(series[row]), "known": known}


def _range(facts: dict[str, Any]) -> list[Any] | None:
    """Return the lowest and the highest fitted value; None if the fitted column was empty."""
    if facts.get("sketch", {}).get("count") == 0:
        return None
    return [_moment(facts[end], facts) for end in ("low", "high")]


def _moment(number: float, facts: dict[str, Any]) -> Any:
    """Return an end of the range as the column writes it."""
    if facts["kind"] == "number":
        return number
    if facts["kind"] == "integer":
        return int(number)
    dtype = pl.Date if facts["kind"] == "date" else pl.Datetime("us")
    return _plain(pl.Series([int(number)], dtype=pl.Int64).cast(dtype)[0])


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
