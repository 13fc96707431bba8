"""Rules that make decisions of scores: by threshold, by budget, by the share of false alerts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from isthmus.decisions.conformal import benjamini_hochberg, fewest_discoveries, p_values
from isthmus.decisions.online import OnlineFDR
from isthmus.decisions.thresholds import ROUNDING, Threshold, check_held_out, check_share, worst

__all__ = ["AtRate", "Decision", "Discoveries", "DiscoveriesAlong", "Rule", "Worst"]


class Decision(NamedTuple):
    """What a rule said of some rows.

    Attributes
    ----------
    alert : ndarray of bool, shape (n,)
        Which are alerts.
    threshold : ndarray of shape (n,)
        What each score was held to: that of an alert is below it. Minus infinity where no
        score could have been low enough.
    """

    alert: np.ndarray
    threshold: np.ndarray


class Rule(ABC):
    """How scores become alerts.

    Attributes
    ----------
    needs_batch : bool
        Whether it must see all scores at once. Of other rules, pieces in order give what the
        whole gives.
    """

    needs_batch: ClassVar[bool]

    @abstractmethod
    def decide(self, scores: np.ndarray) -> Decision:
        """Return which of these rows are alerts."""

    @abstractmethod
    def said(self) -> str:
        """Return in words which rows it makes alerts."""


class AtRate(Rule):
    """Rows below a threshold.

    Examples
    --------
    >>> from isthmus.decisions import threshold_at
    >>> AtRate(threshold_at([-3.0, -2.0, -1.0], 0.25)).decide(np.array([-3.0, -4.0])).alert
    array([False,  True])
    """

    needs_batch = False

    def __init__(self, threshold: Threshold):
        self.threshold = threshold

    def decide(self, scores: np.ndarray) -> Decision:
        """Return which of these rows are alerts."""
        return Decision(scores < self.threshold.offset, np.full(len(scores), self.threshold.offset))

    def said(self) -> str:
        """Return in words which rows it makes alerts."""
        low, high = (100 * limit for limit in self.threshold.interval())
        rate = 100 * self.threshold.expected_rate
        return (
            f"score below {self.threshold.offset:.4g}, as are {rate:.3g} % of normal rows "
            f"({low:.2g} to {high:.2g} %, 95 % interval from {self.threshold.held_out:,} held-out rows)"
        )


class Worst(Rule):
    """The least normal rows, so many of all or of each group; see :func:`isthmus.decisions.worst`."""

    needs_batch = True

    def __init__(self, budget: int, groups: Any = None):
        self.budget = budget
        self.groups = groups

    def decide(self, scores: np.ndarray) -> Decision:
        """Return which of these rows are alerts."""
        alert = worst(scores, self.budget, self.groups)
        threshold = np.full(len(scores), -np.inf)
        groups = np.zeros(len(scores), np.int64) if self.groups is None else np.asarray(self.groups)
        for group in np.unique(groups):
            here = groups == group
            # Just above the last one chosen, so that here too an alert's score is below it.
            threshold[here] = np.nextafter(scores[here & alert].max(), np.inf)
        return Decision(alert, threshold)

    def said(self) -> str:
        """Return in words which rows it makes alerts."""
        return f"the {self.budget:,} least normal{'' if self.groups is None else ' of each day'}"


class Discoveries(Rule):
    """As many rows of a batch as leave at most a share of false alerts among the alerts.

    Parameters
    ----------
    held_out : array-like of shape (m,)
        Scores of held-out normal rows.
    fdr : float
        The share; see :func:`isthmus.decisions.benjamini_hochberg`.

    Examples
    --------
    >>> rule = Discoveries(np.arange(99.0), fdr=0.5)
    >>> rule.decide(np.array([-5.0, 50.0, 60.0])).alert
    array([ True, False, False])
    """

    needs_batch = True

    def __init__(self, held_out: Any, fdr: float):
        check_share("fdr", fdr)
        self.held_out = np.sort(check_held_out(held_out))
        self.fdr = fdr

    def decide(self, scores: np.ndarray) -> Decision:
        """Return which of these rows are alerts."""
        p = p_values(self.held_out, scores)
        alert = benjamini_hochberg(p, self.fdr)
        least = _score_of(self.held_out, p[alert].max() if alert.any() else 0.0)
        return Decision(alert, np.full(len(scores), least))

    def fewest(self, n: int) -> int:
        """Return how many alerts there are in a batch of n rows at least, if any."""
        return fewest_discoveries(n, len(self.held_out), self.fdr)

    def said(self) -> str:
        """Return in words which rows it makes alerts."""
        return f"of which at most {100 * self.fdr:.3g} % are false alarms on average"


class DiscoveriesAlong(Rule):
    """The same for a stream, row by row; see :class:`isthmus.decisions.OnlineFDR`.

    Parameters
    ----------
    held_out : array-like of shape (m,)
        Scores of held-out normal rows.
    online : OnlineFDR
        The rule for p-values, which moves on with every row.
    """

    needs_batch = False

    def __init__(self, held_out: Any, online: OnlineFDR):
        self.held_out = np.sort(check_held_out(held_out))
        self.online = online

    def decide(self, scores: np.ndarray) -> Decision:
        """Return which of the next rows are alerts."""
        alert, levels = self.online.levels(p_values(self.held_out, scores))
        return Decision(alert, np.array([_score_of(self.held_out, level) for level in levels.tolist()]))

    def said(self) -> str:
        """Return in words which rows it makes alerts."""
        return (
            f"of which, in each window of {self.online.window:,} rows, at most {100 * self.online.fdr:.3g} % "
            "are false alarms on average"
        )


def _score_of(held_out: np.ndarray, level: float) -> float:
    """Return the score that rows are below whose p-value is at most this; minus infinity if none can be."""
    rank = int((len(held_out) + 1) * level * (1 + ROUNDING) + ROUNDING)
    if rank < 1:
        return -np.inf
    return float(held_out[rank - 1]) if rank <= len(held_out) else np.inf
