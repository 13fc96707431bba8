"""Windows of long series: cut from them, and what is said of windows told of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from isthmus.rows import SequenceRows

__all__ = ["MANY", "STEPS", "Windows", "default_window", "filled", "means_of_each", "split_series", "window_for"]

STEPS, MANY, LONGEST = 128, 5, 512


def default_window(lengths: np.ndarray) -> int:
    """Return how many steps a window has where nobody said.

    Of five series or more that are all short (at most 512 steps), such as heartbeats, a window
    is a whole series. Else it has 128 steps, but at most a quarter of the longest series.
    """
    longest = int(lengths.max())
    return longest if len(lengths) >= MANY and longest <= LONGEST else max(2, min(STEPS, longest // 4))


def window_for(asked: int | None, lengths: np.ndarray) -> int:
    """Return how many steps a window of these series has.

    Raises
    ------
    ValueError
        If they are too short to fit on some windows and hold out others.
    """
    window, longest = int(asked or default_window(lengths)), int(lengths.max())
    # Of many series some are held out whole, of few the end of each.
    least = window if len(lengths) >= MANY else 2 * window
    if longest < least:
        raise ValueError(
            f"Found array with {longest} sample(s) in its longest series while a minimum of {least} is required: a "
            f"window of {window} steps to fit on, and others to hold out. Give longer series, or a shorter window."
        )
    return window


def split_series(rows: SequenceRows, window: int, share: float, seed: int) -> tuple[SequenceRows, SequenceRows]:
    """Return what to fit on and what to hold out: never steps of one window in both.

    Of five series or more, whole ones are held out, drawn by the seed; of fewer, the end of
    each, at least a window. A series too short to be cut in two is fitted on.
    """
    n = len(rows)
    if n >= MANY:
        held = min(n - 1, max(1, round(n * share)))
        order = np.random.default_rng(seed).permutation(n)
        return rows.choose(np.sort(order[held:])), rows.choose(np.sort(order[:held]))
    lengths = rows.lengths
    steps = np.maximum(window, np.rint(lengths * share)).astype(np.int64)
    steps[lengths - steps < window] = 0
    cuts = rows.offsets[1:] - steps
    return _pieces(rows, rows.offsets[:-1], cuts), _pieces(rows, cuts[steps > 0], rows.offsets[1:][steps > 0])


class Windows:
    """All windows of some series, one for each step that a whole one begins at.

    A series shorter than a window has one all the same: what is beyond its end is missing.

    Parameters
    ----------
    rows : SequenceRows
        The series.
    length : int
        Steps of a window.

    Examples
    --------
    >>> series = SequenceRows(np.arange(4.0)[:, None], np.array([0, 4]))
    >>> windows = Windows(series, 3)
    >>> windows.take(slice(None))[..., 0].tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]
    >>> windows.spread(np.array([1.0, 3.0])).tolist()
    [1.0, 2.0, 2.0, 3.0]
    """

    def __init__(self, rows: SequenceRows, length: int):
        self.rows, self.length = rows, length
        self.counts = np.maximum(rows.lengths - length + 1, 1)
        self._firsts = np.concatenate([[0], self.counts.cumsum()])
        within = np.arange(self._firsts[-1]) - np.repeat(self._firsts[:-1], self.counts)
        self.begins = np.repeat(rows.offsets[:-1], self.counts) + within
        self.sizes = np.repeat(np.minimum(rows.lengths, length), self.counts)

    def __len__(self) -> int:
        return len(self.begins)

    def take(self, index: Any) -> np.ndarray:
        """Return the windows at these positions, ``(m, length, channels)``, NaN where there is no step."""
        places = self.begins[index][:, None] + np.arange(self.length)
        inside = np.arange(self.length) < self.sizes[index][:, None]
        cut = self.rows.values[np.where(inside, places, 0)].astype(np.float64)
        cut[~inside] = np.nan
        return cut

    def spread(self, costs: np.ndarray) -> np.ndarray:
        """Return for each step the mean of the costs of the windows that cover it.

        Windows whose cost is NaN are left out; a step that no other one covers is NaN.
        """
        steps = np.empty(len(self.rows.values))
        for i, size in enumerate(np.minimum(self.rows.lengths, self.length).tolist()):
            of = costs[self._firsts[i] : self._firsts[i + 1]]
            around = np.pad(of, size - 1, constant_values=np.nan)
            steps[self.rows.offsets[i] : self.rows.offsets[i + 1]] = means_of_each(around, size)
        return steps


def means_of_each(costs: np.ndarray, size: int) -> np.ndarray:
    """Return the means of so many neighbouring costs, ``(n - size + 1,)``, without those that are NaN."""
    known = ~np.isnan(costs)
    # By sums over what covers a step, not differences of running sums: a huge cost far off leaves no trace.
    total, count = (
        sliding_window_view(part, size).sum(1) for part in (np.where(known, costs, 0.0), known.astype(np.float64))
    )
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def filled(cut: np.ndarray) -> np.ndarray:
    """Return windows ``(m, t, c)``, gaps on a line between the values beside them; a channel without any stays."""
    cut = cut.copy()
    gone = np.isnan(cut)
    steps = np.arange(cut.shape[1])
    for window, channel in np.argwhere(gone.any(1) & ~gone.all(1)).tolist():
        hole = gone[window, :, channel]
        cut[window, hole, channel] = np.interp(steps[hole], steps[~hole], cut[window, ~hole, channel])
    return cut


def _pieces(rows: SequenceRows, begins: np.ndarray, ends: np.ndarray) -> SequenceRows:
    """Return pieces of series, as series."""
    steps = np.concatenate([np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)])
    return SequenceRows(rows.values[steps], np.concatenate([[0], np.cumsum(ends - begins)]), columns=rows.columns)
