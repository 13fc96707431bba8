"""Thresholds from the scores of rows that were held out, and how much these can vouch for."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, betabinom

__all__ = [
    "Threshold",
    "check_held_out",
    "check_share",
    "rate_of_budget",
    "rows_needed",
    "rows_per_day",
    "smallest_rate",
    "threshold_at",
    "worst",
]

# Of products such as (9 + 1) * 0.1, which should be whole and are a little less.
ROUNDING = 1e-9
DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


@dataclass(frozen=True)
class Threshold:
    r"""A row is an alert if its score is below ``offset``.

    Attributes
    ----------
    offset : float
        The score of one of the held-out rows; a row with just this score is no alert.
    rank : int
        Which of them: the ``rank``-th least normal, the first being 1.
    held_out : int
        How many there were.

    Notes
    -----
    Let :math:`m` rows be held out, :math:`k` the rank, and let new normal rows be exchangeable
    with the held-out ones. Then a new normal row is an alert with probability at most
    :math:`k / (m + 1)`, over draws of it *and* of the held-out rows (exactly so where no two
    scores are equal). What share of all new normal rows is below *this* threshold is another
    question: it depends on which rows happened to be held out, and over their draws it follows
    the law Beta(:math:`k, m + 1 - k`), whatever the scores' own distribution, since it is the
    k-th smallest of m uniform variables. Where scores can be equal, it is at most such a
    variable.

    References
    ----------
    Laxhammar & Falkman, "Conformal prediction for distribution-independent anomaly detection in
    streaming vessel data", 2010 (the threshold); Wilks, "Determination of sample sizes for
    setting tolerance limits", 1941, and Vovk, "Conditional validity of inductive conformal
    predictors", ACML 2012, https://arxiv.org/abs/1209.2673 (the law of its rate).

    Examples
    --------
    >>> threshold = threshold_at(np.arange(999.0), rate=0.01)
    >>> threshold.offset, threshold.rank, threshold.expected_rate
    (9.0, 10, 0.01)
    >>> low, high = threshold.interval(0.95)
    >>> round(low, 4), round(high, 4)
    (0.0048, 0.017)
    """

    offset: float
    rank: int
    held_out: int

    @property
    def expected_rate(self) -> float:
        """The false-alarm rate to expect, over draws of the held-out rows: ``rank / (held_out + 1)``."""
        return self.rank / (self.held_out + 1)

    def interval(self, level: float = 0.95, rows: int | None = None) -> tuple[float, float]:
        """Return where the rate of this threshold lies, for this share of draws of the held-out rows.

        Parameters
        ----------
        level : float, default=0.95
            How often it lies there; as much of the rest is below as above.
        rows : int, optional
            By default it is the rate among *all* new normal rows. Among so many of them it
            varies further, as tosses do: then it is what to expect in a batch, by the law
            beta-binomial(rows, k, m + 1 - k), over draws of these rows too.

        Examples
        --------
        >>> [round(end, 4) for end in threshold_at(np.arange(999.0), 0.01).interval(rows=500)]
        [0.002, 0.022]
        """
        check_share("level", level)
        ends, shape = [(1 - level) / 2, (1 + level) / 2], (self.rank, self.held_out + 1 - self.rank)
        if rows is not None and (isinstance(rows, bool) or rows != int(rows) or rows < 1):
            raise ValueError(f"rows must be a whole number of at least 1, got {rows!r}.")
        low, high = beta.ppf(ends, *shape) if rows is None else betabinom.ppf(ends, int(rows), *shape) / rows
        return float(low), float(high)

    def bound(self, confidence: float = 0.95) -> float:
        """Return what the rate does not exceed, for this share of draws of the held-out rows."""
        check_share("confidence", confidence)
        return float(beta.ppf(confidence, self.rank, self.held_out + 1 - self.rank))


def threshold_at(held_out: Any, rate: float, confidence: float | None = None) -> Threshold:
    """Return the threshold that calls at most this share of normal rows alerts.

    Parameters
    ----------
    held_out : array-like
        Scores of normal rows that the detector was not fitted on, in any order.
    rate : float
        The false-alarm rate, above 0 and below 1.
    confidence : float, optional
        By default the rate holds on average over draws of the held-out rows: the threshold
        is the ``floor((m + 1) rate)``-th lowest of the m scores, and about half of all draws
        give one whose own rate is a little higher. With a confidence it holds for this share
        of the draws: the threshold is the highest whose :meth:`Threshold.bound` keeps the
        rate.

    Returns
    -------
    Threshold
        If so many rows cannot vouch for the rate (see :func:`smallest_rate`), the least
        normal of them, whose ``expected_rate`` is then above ``rate``.

    Raises
    ------
    ValueError
        If there is no score, one is not finite, or a share is out of range.

    Examples
    --------
    >>> scores = np.random.default_rng(0).normal(size=5000)
    >>> threshold_at(scores, 0.01).rank, threshold_at(scores, 0.01, confidence=0.95).rank
    (50, 39)
    """
    scores = check_held_out(held_out)
    check_share("rate", rate)
    m = len(scores)
    rank = min(m, math.floor((m + 1) * rate + ROUNDING))
    if confidence is not None:
        check_share("confidence", confidence)
        rank = bisect_right(range(1, rank + 1), rate, key=lambda k: beta.ppf(confidence, k, m + 1 - k))
    rank = max(1, rank)
    return Threshold(float(np.partition(scores, rank - 1)[rank - 1]), rank, m)


def smallest_rate(held_out: int, confidence: float | None = None) -> float:
    """Return the lowest false-alarm rate that so many held-out rows can vouch for.

    On average over their draws it is ``1 / (m + 1)``, the chance that a new row is less normal
    than all of them; with a confidence ``1 - (1 - confidence) ** (1 / m)``, about ``3 / m`` for
    95 %.

    Examples
    --------
    >>> smallest_rate(99), round(smallest_rate(99, confidence=0.95), 4)
    (0.01, 0.0298)
    """
    if confidence is None:
        return 1 / (held_out + 1)
    check_share("confidence", confidence)
    return -math.expm1(math.log1p(-confidence) / held_out)


def rows_needed(rate: float, confidence: float | None = None) -> int:
    """Return how many held-out rows it takes to vouch for a false-alarm rate.

    Examples
    --------
    >>> rows_needed(0.001), rows_needed(0.001, confidence=0.95)
    (999, 2995)
    """
    check_share("rate", rate)
    if confidence is None:
        return math.ceil(1 / rate - ROUNDING) - 1
    check_share("confidence", confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate) - ROUNDING)


def rate_of_budget(budget: float, rows_per_day: float) -> float:
    """Return the false-alarm rate at which normal rows bring so many alerts a day on average.

    What anomalies there are come on top: who can look at 50 alerts a day, and expects 10 true
    ones, asks for 40.

    Examples
    --------
    >>> rate_of_budget(50, 20_000)
    0.0025
    """
    if not (math.isfinite(budget) and math.isfinite(rows_per_day) and 0 < budget < rows_per_day):
        raise ValueError(
            f"a budget must be above 0 and below the number of rows a day, got {budget!r} of {rows_per_day!r}."
        )
    return budget / rows_per_day


def rows_per_day(times: Any) -> float:
    """Return how many rows a day these times come at, from the first to the last.

    Parameters
    ----------
    times : array-like of datetime64
        In any order; missing ones are left out.

    Examples
    --------
    >>> rows_per_day(np.array(["2024-05-01T00", "2024-05-01T12", "2024-05-02T00"], "datetime64[h]"))
    2.0
    """
    times = np.asarray(times)
    if times.dtype.kind != "M":
        raise TypeError(f"times must be dates (datetime64), got {times.dtype}. Of text: np.array(text, 'datetime64').")
    known = times[~np.isnat(times)].astype("datetime64[us]").astype(np.int64)
    if len(known) < 2 or known.min() == known.max():
        raise ValueError(f"rows a day takes two different times at least, got {len(np.unique(known))}.")
    return float((len(known) - 1) / ((known.max() - known.min()) / DAY))


def worst(scores: Any, budget: int, groups: Any = None) -> np.ndarray:
    """Return which rows are the ``budget`` least normal, of all or of each group.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Higher is more normal.
    budget : int
        How many, at least 1; fewer rows than that are chosen all.
    groups : array-like of shape (n,), optional
        Such as each row's day: then so many of each.

    Returns
    -------
    ndarray of bool, shape (n,)
        Never more than the budget: of equal scores, the rows that come first are chosen.

    Examples
    --------
    >>> worst([-1.0, -9.0, -3.0, -3.0], budget=2)
    array([False,  True,  True, False])
    >>> worst([-1.0, -9.0, -3.0, -3.0], budget=1, groups=["mon", "mon", "tue", "tue"])
    array([False,  True,  True, False])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if isinstance(budget, bool) or budget != int(budget) or budget < 1:
        raise ValueError(f"budget must be a whole number of at least 1, got {budget!r}.")
    labels = (
        np.zeros(len(scores), np.int64) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    if labels.shape != scores.shape:
        raise ValueError(f"groups must name one for each of the {len(scores)} scores, got {labels.shape}.")
    order = np.lexsort((scores, labels))  # stable: ties stay in the order of the rows
    begins = np.searchsorted(labels[order], np.arange(labels.max(initial=-1) + 1))
    place = np.arange(len(scores)) - begins[labels[order]]
    chosen = np.zeros(len(scores), bool)
    chosen[order[place < budget]] = True
    return chosen


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless a number is above 0 and below 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")


def check_held_out(scores: Any) -> np.ndarray:
    """Return held-out scores as numbers; raise ValueError if there are none, or one is not finite."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"held-out scores must be finite numbers (m,), at least one, got shape {scores.shape}.")
    return scores
