"""Series whose records come in pieces: which steps each piece adds to which series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from isthmus.reading.series import moments_of
from isthmus.rows import FrameRows

__all__ = ["ComingSteps", "Steps"]

# More empty steps than this between two records are a wrong clock, no gap.
MOST_EMPTY = 100_000
UNTIMED = "no id, or no time"
LATE = "an earlier record of its series has that time, or a later one"


class Steps(NamedTuple):
    """Steps that a piece adds to a series.

    Attributes
    ----------
    series : object
        The name of the series; 0 where there is one.
    values : ndarray of shape (steps, channels)
        NaN where nothing was observed.
    times : ndarray or None
        When each step was.
    """

    series: Any
    values: np.ndarray
    times: np.ndarray | None


class _Reached(NamedTuple):
    """How far a series has come: its first time, and the last one, or with a grid the last step."""

    origin: float
    last: float


class ComingSteps:
    """The steps of one series, or of several, whose records come in pieces.

    Parameters
    ----------
    values : list of str
        The columns of the channels.
    id, time, step
        As of :func:`isthmus.reading.series.from_table`. Without ``id`` there is one series.

    Notes
    -----
    They are the steps that :func:`~isthmus.reading.series.from_table` finds in the whole, but for
    records that come out of order: what comes after cannot be put before what was answered, so
    that a record earlier than the last of its series is set aside. Of one series, records at
    one time follow each other.

    Examples
    --------
    >>> steps = ComingSteps(["x"], id="pump", time="t")
    >>> for t in ([1, 2], [1, 3]):
    ...     rows = FrameRows(pl.DataFrame({"pump": ["a", "a"], "t": t, "x": [5.0, 6.0]}), lines=np.array([2, 3]))
    ...     for found in steps.add(rows)[0]:
    ...         print(found.series, found.values[:, 0], found.times)
    a [5. 6.] [1 2]
    a [6.] [3]
    """

    def __init__(self, values: list[str], id: str | None = None, time: str | None = None, step: float | None = None):
        self.values, self.id, self.time, self.step = values, id, time, step
        self._reached: dict[Any, _Reached] = {}

    def add(self, rows: FrameRows) -> tuple[list[Steps], list[tuple[int, str]]]:
        """Return the steps of these records, series by series, and line and reason of those set aside."""
        assert rows.lines is not None
        frame, n = rows.frame, len(rows)
        moments = np.arange(n, dtype=np.float64) if self.time is None else moments_of(frame[self.time], self.time)
        gone = np.isnan(moments)
        if self.id is not None:
            gone |= frame[self.id].is_null().to_numpy()
        aside = [(int(line), UNTIMED) for line in rows.lines[gone]]
        found = []
        for series, index in self._groups(frame, np.flatnonzero(~gone)):
            keep, why, steps = self._next(series, moments[index])
            aside += [(int(rows.lines[i]), said) for i, said in zip(index[~keep], why[~keep], strict=True)]
            if keep.any():
                found.append(self._laid(series, frame[index[keep]], moments[index[keep]], steps))
        return found, sorted(aside)

    def _groups(self, frame: pl.DataFrame, usable: np.ndarray) -> list[tuple[Any, np.ndarray]]:
        if self.id is None:
            return [(0, usable)]
        groups: dict[Any, list[int]] = {}
        for i, name in zip(usable.tolist(), frame[self.id].gather(usable).to_list(), strict=True):
            groups.setdefault(name, []).append(i)
        return [(name, np.array(index)) for name, index in groups.items()]

    def _next(self, series: Any, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return which records go on with a series, why others do not, and on a grid how many steps on each is."""
        if self.time is None or not len(moments):
            return np.ones(len(moments), bool), np.zeros(len(moments), object), None
        reached = self._reached.get(series) or _Reached(float(moments[0]), -np.inf)
        places = moments if self.step is None else np.rint((moments - reached.origin) / self.step)
        keep, why, last = np.ones(len(places), bool), np.full(len(places), LATE, object), reached.last
        for i, place in enumerate(places.tolist()):
            again = place == last and (self.id is not None or self.step is not None)
            far = self.step is not None and np.isfinite(last) and place - last > MOST_EMPTY
            if far:
                why[i] = f"{place - last:,.0f} steps after the last record of its series"
            keep[i] = not (again or far or place < last)
            last = place if keep[i] else last
        self._reached[series] = _Reached(reached.origin, last)
        if self.step is None:
            return keep, why, None
        before = reached.last if np.isfinite(reached.last) else -1.0
        return keep, why, np.diff(places[keep], prepend=before).astype(np.int64)

    def _laid(self, series: Any, frame: pl.DataFrame, moments: np.ndarray, on: np.ndarray | None) -> Steps:
        """Return records as steps, those between them on a grid missing."""
        values = frame.select(pl.col(self.values).cast(pl.Float64)).fill_null(np.nan).to_numpy()
        times = None if self.time is None else frame[self.time].to_numpy()
        if on is None or times is None or self.step is None:
            return Steps(series, np.array(values), times)
        places = on.cumsum() - 1
        laid = np.full((places[-1] + 1, values.shape[1]), np.nan)
        laid[places] = values
        # Missing steps are on the grid that begins at the series' first record.
        first = self._reached[series].last - places[-1]
        when = self._reached[series].origin + (first + np.arange(len(laid))) * self.step
        when[places] = moments
        is_date = times.dtype.kind == "M"
        return Steps(series, laid, (when * 1e6).round().astype("datetime64[us]") if is_date else when)
