"""Series: from tables of one record a line (id, time, values), from .npz, and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from isthmus.rows import FrameRows, SequenceRows, SetAside

__all__ = ["fitting", "from_pieces", "from_table", "from_values", "moments_of", "to_table"]

logger = logging.getLogger(__name__)

# A grid of times with more empty places than this for each record was not meant.
MOST_EMPTY = 100


def from_table(
    rows: FrameRows,
    id: str,
    time: str | None = None,
    values: Sequence[str] | None = None,
    step: float | None = None,
) -> SequenceRows:
    """Return the series of a table that has one record a row.

    Parameters
    ----------
    rows : FrameRows
        The records, in any order.
    id : str
        The column that says which series a record is of. Series come in the order of their
        first records.
    time : str, optional
        The column of numbers or dates that a series' records are sorted by; by default they
        stay in their order.
    values : sequence of str, optional
        The columns of the channels; by default all others, which must then be numbers.
    step : float, optional
        Time from one step to the next (of dates, in seconds): the records of a series are laid
        on that grid, and a step without a record is missing. By default records follow each
        other.

    Returns
    -------
    SequenceRows
        Records without an id or a time are set aside, and those at a time (with ``step``: a
        step) that an earlier record of the series has.

    Raises
    ------
    ValueError
        If a column is not there or not of numbers, or no record can be used.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> table = pl.DataFrame({"id": ["a", "b", "a"], "t": [2, 1, 1], "x": [5.0, 6.0, 7.0]})
    >>> from_table(as_rows(table), "id", "t").take(slice(None))
    [array([7., 5.]), array([6.])]
    """
    frame = rows.frame
    names = _value_columns(frame, id, time, values)
    numbers = frame.select(pl.col(names).cast(pl.Float64, strict=False)).fill_null(np.nan).to_numpy()
    moments = np.arange(len(frame), dtype=np.float64) if time is None else moments_of(frame[time], time)
    unknown = frame[id].is_null().to_numpy() | np.isnan(moments)
    # The place of each record's series among all: that of its first record.
    places = pl.DataFrame({"id": frame[id], "place": np.arange(len(frame))})
    first = places.select(pl.col("place").min().over("id")).to_series().to_numpy()
    order = np.lexsort((moments, first))
    order = order[~unknown[order]]
    if not len(order):
        raise ValueError(f"no record has both an id ({id!r}) and a time ({time!r}); name other columns.")
    steps, again = _steps(first[order], moments[order], step, has_times=time is not None)
    aside = _set_aside(rows, np.flatnonzero(unknown), order[again])
    order, steps = order[~again], steps[~again]
    begins = np.flatnonzero(np.diff(first[order], prepend=-1))
    lengths = steps[np.append(begins[1:], len(order)) - 1] + 1
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    if offsets[-1] > MOST_EMPTY * len(order):
        raise ValueError(f"step={step} lays {len(order)} records on {offsets[-1]} steps; give a longer step.")
    place = np.repeat(offsets[:-1], np.diff(np.append(begins, len(order)))) + steps
    laid = np.full((offsets[-1], len(names)), np.nan)
    laid[place] = numbers[order]
    times = None if time is None else _laid_times(frame[time], moments, order, place, offsets, begins, step)
    ids = frame[id].to_numpy()[order[begins]]
    return SequenceRows(laid, offsets, len(names) == 1, aside, ids, times, [id, time, *names])


def _value_columns(frame: pl.DataFrame, id: str, time: str | None, values: Sequence[str] | None) -> list[str]:
    chosen = [name for name in frame.columns if name not in (id, time)] if values is None else list(values)
    absent = [name for name in (id, time, *chosen) if name is not None and name not in frame.columns]
    if absent:
        raise ValueError(f"the table has no column {', '.join(absent)}; it has {', '.join(frame.columns)}.")
    wrong = [name for name in chosen if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean)]
    if wrong or not chosen:
        raise ValueError(
            f"the values of series are columns of numbers, got {', '.join(wrong) or 'none'}; "
            "name those that are in values=(...)."
        )
    return chosen


def moments_of(column: pl.Series, name: str) -> np.ndarray:
    """Return times as numbers, of dates in seconds, NaN where there is none."""
    if column.dtype in (pl.Date, pl.Datetime):
        column = column.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 1e6
    if not column.dtype.is_numeric():
        raise ValueError(f"the column of times {name!r} must hold numbers or dates, got {column.dtype}.")
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _steps(first: np.ndarray, moments: np.ndarray, step: float | None, has_times: bool) -> tuple[np.ndarray, ...]:
    """Return the step of each sorted record within its series, and which come a second time."""
    is_first = np.diff(first, prepend=-1) != 0
    if step is None:
        again = ~is_first & (np.diff(moments, prepend=np.nan) == 0) if has_times else np.zeros(len(first), bool)
        position = (~again).cumsum() - 1
        steps = position - np.maximum.accumulate(np.where(is_first, position, 0))
        return steps, again
    origin = moments[np.maximum.accumulate(np.where(is_first, np.arange(len(first)), 0))]
    steps = np.rint((moments - origin) / step).astype(np.int64)
    return steps, ~is_first & (np.diff(steps, prepend=-1) == 0)


def _set_aside(rows: FrameRows, unknown: np.ndarray, again: np.ndarray) -> list[SetAside]:
    found = [(place, "no id, or no time") for place in unknown.tolist()]
    found += [(place, "an earlier record of its series has that time") for place in again.tolist()]
    lines = rows.lines
    named = [
        SetAside(f"record {place} (the first is 0)" if lines is None else f"line {lines[place]}", why)
        for place, why in sorted(found)
    ]
    if named:
        logger.warning("%d records set aside; the first: %s: %s", len(named), named[0].where, named[0].why)
    return [*rows.set_aside, *named]


def _laid_times(
    column: pl.Series,
    moments: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    offsets: np.ndarray,
    begins: np.ndarray,
    step: float | None,
) -> np.ndarray:
    """Return when each step was, those without a record too."""
    if step is None:
        return column.to_numpy()[order]
    since = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    times = np.repeat(moments[order[begins]], np.diff(offsets)) + since * step
    times[place] = moments[order]
    if column.dtype in (pl.Date, pl.Datetime):
        return (times * 1e6).round().astype("datetime64[us]")
    return times


def from_values(values: np.ndarray, offsets: np.ndarray) -> SequenceRows:
    """Return the series that lie end to end in ``values`` and begin at ``offsets``.

    Raises
    ------
    ValueError
        If they are not ``(steps[, channels])`` and ``(n + 1,)``, rising from 0 to the number
        of steps.
    """
    fits = values.ndim in (1, 2) and values.dtype.kind in "fiub" and values.size and offsets.ndim == 1
    fits = fits and offsets.dtype.kind in "iu" and len(offsets) > 1
    if fits:
        offsets = offsets.astype(np.int64)
        fits = offsets[0] == 0 and offsets[-1] == len(values) and bool((np.diff(offsets) >= 0).all())
    if not fits:
        raise ValueError(
            "series are stored as values (steps, channels), numbers, and offsets (n + 1,), which rise from 0 to the "
            f"number of steps; got values of {values.dtype} {values.shape} and offsets of {offsets.dtype} "
            f"{offsets.shape}: {offsets[:5].tolist()}..."
        )
    rows = SequenceRows(values if values.ndim == 2 else values[:, None], offsets, values.ndim == 1)
    return fitting(rows)


def from_pieces(pieces: Sequence[np.ndarray]) -> SequenceRows:
    """Return arrays ``(t[, channels])`` as the series of one file; those that do not fit are set aside."""
    width = [piece.shape[1:] for piece in pieces]
    common = max(set(width), key=width.count)
    kept = [i for i, piece in enumerate(pieces) if piece.shape[1:] == common and piece.dtype.kind in "fiub"]
    aside = [
        SetAside(f"series {i} (the first is 0)", f"{pieces[i].dtype} of shape {pieces[i].shape}")
        for i in range(len(pieces))
        if i not in set(kept)
    ]
    if not kept:
        raise ValueError("no series is of numbers.")
    values = np.concatenate([pieces[i] for i in kept])
    offsets = np.concatenate([[0], np.cumsum([len(pieces[i]) for i in kept])]).astype(np.int64)
    is_flat = values.ndim == 1
    return fitting(SequenceRows(values[:, None] if is_flat else values, offsets, is_flat, aside, np.array(kept)))


def fitting(rows: SequenceRows, length: int | None = None) -> SequenceRows:
    """Return the series that can be used: with a step, without infinity, of at most ``length`` steps.

    Raises
    ------
    ValueError
        If there is none.
    """
    steps = rows.lengths
    infinite = np.isinf(rows.values).any(1) if rows.values.dtype.kind == "f" else np.zeros(len(rows.values), bool)
    count = np.concatenate([[0], infinite.cumsum()])
    has_infinity = count[rows.offsets[1:]] > count[rows.offsets[:-1]]
    too_long = np.zeros(len(rows), bool) if length is None else steps > length
    bad = (steps == 0) | has_infinity | too_long
    if not bad.any():
        return rows
    places = range(len(rows)) if rows.lines is None else rows.lines
    aside = list(rows.set_aside)
    for i in np.flatnonzero(bad).tolist():
        why = "infinity" if has_infinity[i] else f"{steps[i]} steps, the model takes up to {length}"
        aside.append(SetAside(f"series {places[i]}", why if steps[i] else "no step"))
    if bad.all():
        raise ValueError(f"no series can be used; the first: {aside[-len(rows)].why}.")
    return rows.choose(np.flatnonzero(~bad), aside)


def to_table(rows: SequenceRows) -> pl.DataFrame:
    """Return series as a table of one record a step: the name of the series, the time, the channels."""
    id, time, *names = rows.columns or ["series", "step"]
    names = names if len(names) == rows.values.shape[1] else [f"x{i}" for i in range(rows.values.shape[1])]
    lines = np.arange(len(rows)) if rows.lines is None else rows.lines
    lengths = rows.lengths
    steps = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], lengths)
    columns: dict[Any, Any] = {id: np.repeat(lines, lengths)}
    columns["step" if time is None else time] = steps if rows.times is None else rows.times
    return pl.DataFrame(columns | {name: rows.values[:, i].copy() for i, name in enumerate(names)})
