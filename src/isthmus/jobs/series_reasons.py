"""Why a span of a series rang: where its error lies, and which channels carry it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.decisions import Alarm
from isthmus.jobs.alerting import percentile_of

__all__ = ["alarm_record", "channel_reasons", "shortest_half"]


def alarm_record(
    detector: Any,
    series: Any,
    alarm: Alarm,
    values: np.ndarray,
    expected: np.ndarray,
    error: np.ndarray,
    times: np.ndarray | None,
) -> dict[str, Any]:
    """Return an alarm as a record: what :meth:`SeriesDetector.alarms` says of it.

    Parameters
    ----------
    detector : SeriesDetector
        Fitted.
    series : object
        The name of the series.
    alarm : Alarm
        As the rule gave it.
    values, expected, error, times
        Of the steps from its start to its end: as of :func:`channel_reasons`, and when they were.
    """
    record = {"series": series} | alarm._asdict()
    if times is not None:
        moments = {"start": alarm.start, "rang": alarm.rang, "end": alarm.end}
        record |= {f"{name}_time": str(times[step - alarm.start]) for name, step in moments.items()}
    names = getattr(detector, "feature_names_in_", None)
    return record | {
        "percentile": percentile_of(detector.held_out_scores_, alarm.score),
        "threshold": detector.offset_,
        "span": [alarm.start + step for step in shortest_half(error)],
        "reasons": channel_reasons(values, expected, error, names, alarm.start),
    }


def channel_reasons(
    values: np.ndarray, expected: np.ndarray, error: np.ndarray, names: Sequence[str] | None, start: int
) -> list[dict[str, Any]]:
    """Return a reason for each channel of a span that has a share of its error, the largest first.

    Parameters
    ----------
    values, expected, error : ndarray of shape (steps, channels)
        The series and what was expected of it, in the channels' units, and the squared
        difference in their standard deviations; NaN where nothing was observed.
    names : sequence of str, optional
        Of the channels; by default x0, x1, ...
    start : int
        The step of the series that the span begins at.
    """
    errors = np.nan_to_num(error)
    shares = errors.sum(0) / max(float(errors.sum()), 1e-300)
    reasons = []
    for channel in np.argsort(-shares, kind="stable").tolist():
        at = int(errors[:, channel].argmax())
        if shares[channel] > 0:
            reasons.append(
                {
                    "feature": f"x{channel}" if names is None else names[channel],
                    "step": start + at,
                    "value": float(values[at, channel]),
                    "expected": float(expected[at, channel]),
                    "error": float(errors[at, channel] ** 0.5),
                    "share": float(shares[channel]),
                }
            )
    return reasons


def shortest_half(error: np.ndarray) -> tuple[int, int]:
    """Return the first and last step of the shortest stretch that holds half of all error, the first of equals."""
    sums = np.concatenate([[0.0], np.nan_to_num(error).sum(1).cumsum()])
    # For each beginning, the first end by which half has come together; none, if too little is left.
    ends = np.searchsorted(sums, sums[:-1] + sums[-1] / 2)
    lengths = np.where(ends < len(sums), ends - np.arange(len(ends)), len(sums))
    first = int(np.maximum(lengths, 1).argmin())
    return first, max(int(ends[first]) - 1, first)
