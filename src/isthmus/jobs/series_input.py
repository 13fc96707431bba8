"""Series as they are given: tables, arrays and lists; and what is found of their steps, as they were given."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.rows import ArrayRows, FrameRows, SequenceRows

__all__ = ["as_series", "channel_names", "per_series", "with_channels"]


def as_series(rows: Any) -> SequenceRows:
    """Return rows as series: a table or an array ``(steps, channels)`` is one, ``(n, steps, channels)`` are n.

    Raises
    ------
    ValueError
        If they are not of numbers, or of no such shape, or a value is infinite.
    """
    if isinstance(rows, SequenceRows):
        series = rows
    elif isinstance(rows, FrameRows):
        series = _one_table(rows)
    elif isinstance(rows, ArrayRows) and rows.array.ndim in (2, 3):
        array = rows.array if rows.array.ndim == 3 else rows.array[None]
        n, steps, channels = array.shape
        values = array.reshape(-1, channels).astype(np.float64)
        series = SequenceRows(values, np.arange(n + 1) * steps, set_aside=list(rows.set_aside))
    else:
        shape = getattr(getattr(rows, "array", None), "shape", type(rows).__name__)
        raise ValueError(
            f"expected series: a table or an array (steps, channels), an array (n, steps, channels), or a list of "
            f"arrays; got {shape}. For images use AnomalyDetector."
        )
    infinite = np.isinf(series.values).any(1)
    if infinite.any():
        raise ValueError(
            f"there is infinity at step {int(infinite.argmax())}, counted over all series; replace it by a number, or "
            "by NaN to leave it missing."
        )
    return series


def _one_table(rows: FrameRows) -> SequenceRows:
    """Return the series of a table with a step a row: its first column of dates, if it has one, is the time."""
    frame = rows.frame
    dates = [name for name in frame.columns if frame[name].dtype.is_temporal()]
    names = [name for name in frame.columns if frame[name].dtype.is_numeric() or frame[name].dtype.is_(bool)]
    other = [name for name in frame.columns if name not in dates[:1] and name not in names]
    if other or not names:
        raise ValueError(
            f"a table of one series has numbers and at most one column of times; got {', '.join(other) or 'no number'}"
            ". Leave other columns out; for several series in one table use modality sequences(id=..., time=...)."
        )
    values = frame.select(names).cast(dict.fromkeys(names, float)).fill_null(np.nan).to_numpy()
    times = None if not dates else frame[dates[0]].to_numpy()
    order = np.arange(len(values)) if times is None else np.argsort(times, kind="stable")
    return SequenceRows(
        np.array(values[order], np.float64),
        np.array([0, len(values)]),
        set_aside=list(rows.set_aside),
        times=None if times is None else times[order],
        columns=[None, dates[0] if dates else None, *names],
    )


def channel_names(rows: SequenceRows) -> list[str] | None:
    """Return the names of the channels, where they came from a table."""
    names = None if rows.columns is None else [str(name) for name in rows.columns[2:]]
    return names if names is not None and len(names) == rows.values.shape[1] else None


def with_channels(rows: SequenceRows, index: list[int], names: list[str]) -> SequenceRows:
    """Return the series with these of their channels."""
    columns = [*(rows.columns or [None, None])[:2], *names]
    return SequenceRows(
        rows.values[:, index], rows.offsets, rows.is_flat, rows.set_aside, rows.lines, rows.times, columns
    )


def per_series(steps: np.ndarray, rows: SequenceRows, given: Any) -> Any:
    """Return what was found of each step as the series were given: of one array, one array."""
    one = isinstance(given, np.ndarray) and given.ndim < 3
    if len(rows) == 1 and (one or not isinstance(given, list | tuple)):
        return steps
    return [steps[begin:end] for begin, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
