"""Series that come step by step: their scores and alarms, as those of the whole series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from isthmus.decisions import Alarm, Alarms
from isthmus.jobs.series import SeriesDetector
from isthmus.jobs.series_reasons import alarm_record
from isthmus.jobs.window_costs import expected_of
from isthmus.jobs.windows import Windows, means_of_each
from isthmus.rows import SequenceRows

__all__ = ["Heard", "SeriesStream"]


class Heard(NamedTuple):
    """What some more steps of a series made known.

    Attributes
    ----------
    first : int
        The step that the first score is of.
    scores : ndarray of shape (n,)
        Those of the next steps that are final, as of :meth:`SeriesDetector.score_samples`.
    times : ndarray or None
        When these steps were.
    alarms : list of dict
        Records as of :meth:`SeriesDetector.alarms`, in the order in which they became known,
        and ``over``: False of an alarm that has just rung (``end`` is the step at which it
        rang), True once it is final.
    """

    first: int
    scores: np.ndarray
    times: np.ndarray | None
    alarms: list[dict[str, Any]]


class SeriesStream:
    """One series that comes step by step, watched by a detector.

    Parameters
    ----------
    detector : SeriesDetector
        Fitted.
    series : object, default=0
        The name of the series in its alarms.

    Attributes
    ----------
    steps : int
        Steps taken so far.

    Notes
    -----
    Pieces of any lengths give what the whole series gives. A step's score is final when all
    windows that cover it have been seen, ``window_ - 1`` steps later; the last ones at
    :meth:`finish`. An alarm is told twice: when it rings, and when its mute window is over.
    What is kept are the steps that a window or an alarm may still need: of ``mute`` and three
    windows at most.

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> random = np.random.default_rng(0)
    >>> wave = np.sin(np.arange(1000) / 8)[:, None] + 0.1 * random.normal(size=(1000, 1))
    >>> model = AutoEncoder(max_epochs=2, threads=1, random_state=0)
    >>> detector = SeriesDetector(model, window=20, random_state=0).fit(wave[:800])
    >>> stream = SeriesStream(detector)
    >>> [len(stream.update(piece).scores) for piece in np.split(wave[800:], [19, 20, 100])]
    [0, 1, 80, 100]
    >>> len(stream.finish().scores)
    19
    """

    def __init__(self, detector: SeriesDetector, series: Any = 0):
        self.detector, self.series = detector, series
        self.steps = 0
        self._alarms = Alarms(detector.rule, detector.offset_)
        # The steps from _first on; and the costs of the last windows, none before the first.
        self._first = 0
        self._times: np.ndarray | None = None
        self._values = np.empty((0, detector.n_features_in_))
        self._costs = np.full(detector.window_ - 1, np.nan)

    def update(self, values: Any, times: np.ndarray | None = None) -> Heard:
        """Take the next steps, ``(n, channels)``, and return what they made known.

        Parameters
        ----------
        values : array-like of shape (n, channels)
            NaN where nothing was observed.
        times : ndarray of shape (n,), optional
            When they were: of all steps of the series, or of none.
        """
        values = np.asarray(values, np.float64)
        if values.ndim != 2 or values.shape[1] != self._values.shape[1] or np.isinf(values).any():
            raise ValueError(
                f"the next steps should be finite, or NaN where missing, (n, {self._values.shape[1]}); got shape "
                f"{values.shape}{' and infinity' * bool(np.isinf(values).any())}."
            )
        if (times is None) != (self._times is None) and self.steps:
            raise ValueError("give the times of all steps of a series, or of none.")
        self._values = np.concatenate([self._values, values])
        if times is not None:
            self._times = times if self._times is None else np.concatenate([self._times, times])
        self.steps += len(values)
        heard = self._heard(self._final_scores())
        self._forget()
        return heard

    def finish(self) -> Heard:
        """Return what is known at the end of the series: the last scores, and the alarm that still rings."""
        size = self.detector.window_
        if 0 < self.steps < size:
            return self._heard(-self._windows(0, self.steps).spread(self._costs_from(0)), ended=True)
        last = np.pad(self._costs, (0, size - 1), constant_values=np.nan)
        return self._heard(-means_of_each(last, size) if self.steps else np.zeros(0), ended=True)

    def _final_scores(self) -> np.ndarray:
        """Return the scores of the steps that no later window covers."""
        size = self.detector.window_
        if self.steps - self._alarms.steps < size:
            return np.zeros(0)
        costs = np.concatenate([self._costs, self._costs_from(self._alarms.steps)])
        self._costs = costs[len(costs) - size + 1 :]
        return -means_of_each(costs, size)

    def _costs_from(self, step: int) -> np.ndarray:
        return self.detector.window_costs(self._windows(step, self.steps))

    def _heard(self, scores: np.ndarray, ended: bool = False) -> Heard:
        first = self._alarms.steps
        over = self._alarms.update(scores)
        over += self._alarms.finish() if ended else []
        told = [(alarm.rang, False, alarm) for alarm in self._alarms.rung]
        told += [(alarm.rang + self.detector.rule.mute, True, alarm) for alarm in over]
        # At one step the one that is over goes before the next that rings; without a mute window it rings first.
        told.sort(key=lambda one: (one[0], one[2].rang))
        records = [self._record(alarm) | {"over": is_over} for _, is_over, alarm in told]
        times = None if self._times is None else self._times[first - self._first :][: len(scores)]
        return Heard(first, scores, times, records)

    def _record(self, alarm: Alarm) -> dict[str, Any]:
        """Return an alarm as a record, from the windows that cover it."""
        size = self.detector.window_
        begin = max(0, alarm.start - size + 1)
        windows = self._windows(begin, min(self.steps, alarm.end + size))
        expected, error = expected_of(self.detector.estimator_, windows)
        at = slice(alarm.start - begin, alarm.end + 1 - begin)
        times = None
        if self._times is not None:
            times = self._times[alarm.start - self._first : alarm.end + 1 - self._first]
        values = windows.rows.values[at]
        return alarm_record(self.detector, self.series, alarm, values, expected[at], error[at], times)

    def _windows(self, begin: int, end: int) -> Windows:
        values = self._values[begin - self._first : end - self._first]
        return Windows(SequenceRows(values, np.array([0, len(values)])), self.detector.window_)

    def _forget(self) -> None:
        """Drop the steps that no alarm to come can need."""
        ringing = self._alarms.ringing
        start = self._alarms.steps - self.detector.alarm_of + 1
        start = start if ringing is None else min(start, ringing.start)
        gone = max(0, start - self.detector.window_ + 1 - self._first)
        self._values, self._first = self._values[gone:], self._first + gone
        if self._times is not None:
            self._times = self._times[gone:]
