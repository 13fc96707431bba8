"""Scores of steps against labelled spans: the volume under the precision-recall surface."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["vus_pr"]


def vus_pr(labels: Any, scores: Any, buffer: int, thresholds: int = 250) -> float:
    r"""Return the volume under the surface of precision, recall and buffer (VUS-PR).

    Parameters
    ----------
    labels : array-like of bool, shape (n,)
        Which steps of a series are anomalous.
    scores : array-like of shape (n,)
        Of each step; higher is more anomalous.
    buffer : int
        The widest buffer around a span, in steps: half of it before, half after. Twice the
        series' period is usual.
    thresholds : int, default=250
        How many, evenly spread over the ranks of the scores.

    Returns
    -------
    float
        Between 0 and 1; scores at random get about the share of the anomalous steps.

    Raises
    ------
    ValueError
        If labels and scores do not fit each other, hold no anomalous step or none but these, a
        score is NaN, or buffer or thresholds are out of range.

    Notes
    -----
    With a buffer of :math:`\ell` steps a step at distance :math:`d \le \ell / 2` of a span
    counts as :math:`y_\ell = \sqrt{1 - d / \ell}` of an anomalous one (at most 1, where two
    spans are near). Of the steps :math:`\hat y` above a threshold,

    .. math::
        \mathrm{precision} = \frac{\sum \hat y\, y_\ell}{\sum \hat y}, \qquad
        \mathrm{recall} = \min\Big(1, \frac{\sum \hat y\, y_\ell}
        {\sum y + \frac12 \sum \hat y\, (y_\ell - y)}\Big) \cdot \frac{\#\,\text{spans hit}}{\#\,\text{spans}}

    where spans whose buffers touch are one, and a span is hit by any step within its buffer.
    The area under precision over recall, in steps, is averaged over :math:`\ell = 0, 1, ...,`
    ``buffer``. No prediction is adjusted to the labels: every step of a span must be above the
    threshold for a recall of 1.

    References
    ----------
    Paparrizos et al., "Volume Under the Surface: A New Accuracy Evaluation Measure for
    Time-Series Anomaly Detection", PVLDB 15 (2022) 2774, https://www.vldb.org/pvldb/vol15/p2774-paparrizos.pdf.
    As the TSB-AD benchmark computes it (``RangeAUC_volume_opt``).

    Examples
    --------
    >>> vus_pr([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], buffer=0)
    1.0
    """
    y, s = _checked(labels, scores, buffer, thresholds)
    begins, ends = _spans(y)
    order = np.argsort(-s, kind="stable")
    falling = s[order]
    limits = falling[np.linspace(0, len(s) - 1, thresholds).astype(np.int64)]
    # Steps at or above each threshold: equal scores come in together.
    found = np.searchsorted(-falling, -limits, side="right")
    hard = y[order].cumsum()[found - 1]
    areas = []
    for width in range(buffer + 1):
        soft = _soft(y, begins, ends, width)[order].cumsum()[found - 1]
        peaks = np.sort([s[first : last + 1].max() for first, last in _joined(begins, ends, width, len(s))])
        hit = 1 - np.searchsorted(peaks, limits, side="left") / len(peaks)
        recall = np.minimum(1, (hard + soft) / (y.sum() + soft / 2)) * hit
        areas.append(np.diff(recall, prepend=0) @ ((hard + soft) / found))
    return float(np.mean(areas))


def _checked(labels: Any, scores: Any, buffer: int, thresholds: int) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
    if y.ndim != 1 or y.shape != s.shape:
        raise ValueError(f"labels and scores should be one of each a step, got shapes {y.shape} and {s.shape}.")
    if y.all() or not y.any():
        raise ValueError(f"the labels should hold both kinds of steps, got {y.sum()} anomalous ones of {y.size}.")
    if np.isnan(s).any():
        raise ValueError(f"{np.isnan(s).sum()} scores are NaN; leave these steps out, or give them a score.")
    if buffer < 0 or thresholds < 2:
        raise ValueError(f"buffer should be at least 0 and thresholds at least 2, got {buffer} and {thresholds}.")
    return y, s


def _spans(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last step of each span."""
    turns = np.flatnonzero(np.diff(y.astype(np.int8), prepend=0, append=0))
    return turns[::2], turns[1::2] - 1


def _soft(y: np.ndarray, begins: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """Return what steps outside the spans count for, ``(n,)``."""
    soft = np.zeros(len(y))
    for first, last in zip(begins, ends, strict=True):
        distance = np.arange(1, width // 2 + 1)
        worth = np.sqrt(1 - distance / max(width, 1))
        for places in (first - distance, last + distance):
            inside = (places >= 0) & (places < len(y))
            soft[places[inside]] += worth[inside]
    return np.where(y, 0, np.minimum(soft, 1))


def _joined(begins: np.ndarray, ends: np.ndarray, width: int, n: int) -> list[tuple[int, int]]:
    """Return the spans with their buffers; those that touch as one."""
    half, joined = width // 2, [(max(int(begins[0]) - width // 2, 0), int(ends[0]) + width // 2)]
    for first, last in zip(begins[1:] - half, ends[1:] + half, strict=True):
        if joined[-1][1] < first:
            joined.append((int(first), int(last)))
        else:
            joined[-1] = (joined[-1][0], int(last))
    return [(first, min(last, n - 1)) for first, last in joined]
