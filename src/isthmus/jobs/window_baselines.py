"""What users would take instead on windows of series."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from isthmus.jobs.series_input import as_series
from isthmus.jobs.windows import STEPS, Windows
from isthmus.rows import SequenceRows, as_rows

__all__ = ["OnWindows"]

# Windows that a scorer is fitted on: neighbours are searched among all of them.
MOST = 2**12


class OnWindows(BaseEstimator):
    """Any scorer of rows on the windows of series: what a baseline is given.

    Parameters
    ----------
    scorer : estimator
        With ``fit`` and ``score_samples`` (higher is more normal), for a matrix of windows.
    window : int
        Steps of a window.

    Notes
    -----
    Each channel is standardised by the series fitted on, gaps are filled on a line between the
    values beside them, and the score of a step is the mean of those of the windows that cover
    it: what the detector does, but for its gaps.
    """

    def __init__(self, scorer: Any, window: int = STEPS):
        self.scorer = scorer
        self.window = window

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the scorer on at most 4,096 windows, evenly spread."""
        rows = as_series(as_rows(X))
        self.center_, spread = np.nanmean(rows.values, 0), np.nanstd(rows.values, 0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        windows = Windows(self._filled(rows), self.window)
        some = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MOST)).astype(np.int64))
        self.scorer_ = clone(self.scorer).fit(self._matrix(windows, some))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the score of each step, of all series end to end."""
        windows = Windows(self._filled(as_series(as_rows(X))), self.window)
        pieces = [np.arange(begin, min(begin + MOST, len(windows))) for begin in range(0, len(windows), MOST)]
        return windows.spread(
            np.concatenate([self.scorer_.score_samples(self._matrix(windows, piece)) for piece in pieces])
        )

    def _matrix(self, windows: Windows, index: np.ndarray) -> np.ndarray:
        # Of a series shorter than a window, the rest is as its average.
        return np.nan_to_num(windows.take(index)).reshape(len(index), -1)

    def _filled(self, rows: SequenceRows) -> SequenceRows:
        values = (rows.values - self.center_) / self.scale_
        steps = np.arange(len(values))
        for begin, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
            for channel in range(values.shape[1]):
                piece, at = values[begin:end, channel], steps[begin:end]
                gone = np.isnan(piece)
                piece[gone] = 0.0 if gone.all() else np.interp(at[gone], at[~gone], piece[~gone])
        return SequenceRows(values, rows.offsets)
