"""Pictures of watched series: the values, the score of each step, and where it rang."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isthmus.pictures.style import INK, PALETTE, head, style

__all__ = ["alarm_strip"]

GIVEN = "#A6A6A6"
MOST_CHANNELS = 3
RANG = PALETTE[1]


def alarm_strip(
    values: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    alarms: Sequence[dict[str, Any]],
    expected: np.ndarray | None = None,
    times: np.ndarray | None = None,
    names: Sequence[str] = (),
    known: Sequence[tuple[int, int]] = (),
    title: str = "",
) -> Figure:
    """Draw a series, and beneath it what each step costs, with the alarms marked in both.

    Parameters
    ----------
    values : ndarray of shape (t, channels)
        The series; of many channels the first three are drawn.
    scores : ndarray of shape (t,)
        Of each step; higher is more normal. Drawn as costs, upside down, in powers of ten.
    threshold : float
        Below it a step counts for an alarm.
    alarms : sequence of dict
        With the steps ``start``, ``end`` and ``rang``, and ``span`` where it is known.
    expected : ndarray of shape (t, channels), optional
        What was expected of the series.
    times : ndarray of shape (t,), optional
        When each step was.
    names : sequence of str, optional
        Of the channels.
    known : sequence of pairs of int, optional
        First and last step of anomalies that are known.
    title : str
        Above the picture.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(values) != len(scores):
        raise ValueError(
            f"a series (t, channels) and a score of each step are needed, got {values.shape} and {len(scores)} scores."
        )
    x = np.arange(len(values)) if times is None else np.asarray(times)
    channels = min(MOST_CHANNELS, values.shape[1])
    with style():
        figure = Figure(figsize=(9.0, 1.3 * channels + 1.9 + (0.3 if title else 0.0)), layout="constrained")
        rows = figure.subplots(channels + 1, 1, sharex=True, squeeze=False, height_ratios=[1.3] * channels + [1.0])[
            :, 0
        ]
        for channel, axes in enumerate(rows[:-1]):
            axes.plot(x, values[:, channel], color=INK, linewidth=0.7)
            if expected is not None:
                axes.plot(x, expected[:, channel], color=PALETTE[0], linewidth=0.7, label="expected")
            axes.set_ylabel(names[channel] if channel < len(names) else f"channel {channel}")
        costs = np.maximum(-np.asarray(scores, np.float64), 1e-3)
        rows[-1].plot(x, costs, color=PALETTE[0], linewidth=0.9)
        rows[-1].axhline(max(-threshold, 1e-3), color=RANG, linewidth=0.8, linestyle="--", label="threshold")
        rows[-1].set_yscale("log")
        rows[-1].set_ylabel("cost")
        for axes in rows:
            for first, last in known:
                axes.axvspan(x[first], x[last], color=GIVEN, alpha=0.3, linewidth=0, label="labelled anomaly")
            for alarm in alarms:
                axes.axvspan(x[alarm["start"]], x[alarm["end"]], color=RANG, alpha=0.2, linewidth=0, label="alarm")
                axes.axvline(x[alarm["rang"]], color=RANG, linewidth=1.0)
                if "span" in alarm:
                    first, last = alarm["span"]
                    axes.axvspan(x[first], x[last], ymax=0.04, color=RANG, linewidth=0, label="half of the error")
            axes.margins(x=0.01)
        _legend(figure, rows)
        if times is None:
            rows[-1].set_xlabel("step")
        head(figure, title)
    return figure


def _legend(figure: Figure, rows: Any) -> None:
    """Name each kind of mark once, under the picture."""
    found: dict[str, Any] = {}
    for axes in rows:
        found |= {label: mark for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found))
