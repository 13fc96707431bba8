"""From scores to decisions: what a detector with held-out scores can say of new rows."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isthmus.decisions import (
    AtRate,
    Discoveries,
    Rule,
    Threshold,
    Worst,
    p_values,
    rate_of_budget,
    rows_needed,
    smallest_rate,
    threshold_at,
)
from isthmus.jobs.alerting import records
from isthmus.rows import Rows

__all__ = ["Deciding"]

logger = logging.getLogger(__name__)


class Deciding(ABC):
    """The decisions of a detector: its threshold, which can be moved, p-values, and alerts.

    A detector that has it gives :meth:`score_samples`, the parameter ``false_alarm_rate``, and, once fitted,
    its held-out scores to :meth:`_apply`.
    """

    false_alarm_rate: float
    held_out_scores_: np.ndarray
    threshold_: Threshold

    @abstractmethod
    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is, ``(n,)``."""

    @abstractmethod
    def _rows(self, X: Any) -> Rows: ...

    def p_values(self, X: Any) -> np.ndarray:
        """Return for each row how often a normal one would be as odd, or odder, ``(n,)``.

        Conformal p-values of the held-out scores: see :func:`isthmus.decisions.p_values`.
        """
        scores = self.score_samples(X)
        return p_values(self.held_out_scores_, scores)

    def set_threshold(
        self,
        false_alarm_rate: float | None = None,
        *,
        confidence: float | None = None,
        alerts_per_day: float | None = None,
        rows_per_day: float | None = None,
    ) -> Self:
        """Move the threshold; nothing is fitted again, and scores and p-values stay.

        Parameters
        ----------
        false_alarm_rate : float, optional
            Share of normal rows that may be called anomalies.
        confidence : float, optional
            By default that share is kept on average over draws of the held-out rows; with
            ``confidence=0.95`` it is kept for 95 % of the draws, by a lower threshold.
        alerts_per_day, rows_per_day : float, optional
            Instead of a rate: so many of so many normal rows a day.

        Returns
        -------
        Self
            Its parameter ``false_alarm_rate`` is the new rate, and is saved with it.

        Examples
        --------
        >>> from isthmus import AutoEncoder
        >>> from isthmus.jobs import AnomalyDetector
        >>> rows = np.random.default_rng(0).normal(size=(200, 3))
        >>> detector = AnomalyDetector(AutoEncoder(max_epochs=2), random_state=0).fit(rows)
        >>> detector.set_threshold(0.1).offset_ < detector.set_threshold(0.2).offset_
        True
        """
        check_is_fitted(self, "estimator_")
        by_day = alerts_per_day is not None and rows_per_day is not None
        if (false_alarm_rate is not None) == by_day or (alerts_per_day is None) != (rows_per_day is None):
            raise ValueError(
                "give false_alarm_rate, or both alerts_per_day and rows_per_day; got "
                f"{false_alarm_rate=}, {alerts_per_day=}, {rows_per_day=}."
            )
        if alerts_per_day is not None and rows_per_day is not None:
            false_alarm_rate = rate_of_budget(alerts_per_day, rows_per_day)
        assert false_alarm_rate is not None
        threshold = threshold_at(self.held_out_scores_, false_alarm_rate, confidence)
        if confidence is not None:
            if threshold.bound(confidence) > false_alarm_rate:
                _warn_of(threshold, false_alarm_rate, confidence)
            # The rate at which this threshold is found again, after saving too.
            false_alarm_rate = threshold.expected_rate
        self.false_alarm_rate = false_alarm_rate
        self._apply(self.held_out_scores_)
        return self

    def rule(self, *, budget: int | None = None, fdr: float | None = None) -> Rule:
        """Return how scores become alerts: by the threshold, or as :meth:`alerts` is asked."""
        check_is_fitted(self, "estimator_")
        if budget is not None and fdr is not None:
            raise ValueError(f"give a budget or a false discovery rate, not both; got {budget=}, {fdr=}.")
        if budget is not None:
            return Worst(budget)
        return AtRate(self.threshold_) if fdr is None else Discoveries(self.held_out_scores_, fdr)

    def alerts(
        self, X: Any, n_reasons: int = 3, *, budget: int | None = None, fdr: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the anomalies among these rows, the least normal first.

        Parameters
        ----------
        X : array-like, data frame or Rows
            The rows; with ``budget`` or ``fdr``, the whole batch that these are about.
        n_reasons : int, default=3
            At most so many reasons an alert.
        budget : int, optional
            Instead of those below the threshold: so many, the least normal.
        fdr : float, optional
            Instead: as many as leave on average at most this share of false alarms among
            them (:func:`isthmus.decisions.benjamini_hochberg`).

        Returns
        -------
        list of dict
            ``row`` (its position), ``score`` (as of :meth:`score_samples`), ``percentile``
            (per cent of the held-out rows that are more normal), ``p_value`` (as of
            :meth:`p_values`), ``threshold`` (what the score is below), ``severity`` (1 at
            the threshold of ``false_alarm_rate``, 2 twice as far from the middle held-out row;
            no probability), ``reasons`` (as of :meth:`explain`), ``issues`` (cells that are
            missing, never seen or out of the fitted range:
            :func:`isthmus.modalities.inspection.issues_of`) and ``model`` (``model_id_``).
        """
        rows = self._rows(X)
        scores = self.score_samples(rows)
        decision = self.rule(budget=budget, fdr=fdr).decide(scores)
        return sorted(records(self, rows, scores, decision, n_reasons), key=lambda record: record["score"])

    def _apply(self, scores: np.ndarray) -> None:
        """Take these held-out scores, and the threshold of our rate among them."""
        self.held_out_scores_ = np.sort(scores)
        self.threshold_ = threshold_at(self.held_out_scores_, self.false_alarm_rate)
        self.offset_ = self.threshold_.offset
        self.false_alarm_interval_ = self.threshold_.interval()
        self.attainable_rate_ = max(self.false_alarm_rate, smallest_rate(len(scores)))
        if self.attainable_rate_ > self.false_alarm_rate:
            _warn_of(self.threshold_, self.false_alarm_rate)


def _warn_of(threshold: Threshold, rate: float, confidence: float | None = None) -> None:
    """Log that so few rows cannot vouch for a rate."""
    logger.warning(
        "%d held-out rows can vouch for a false-alarm rate of %.2g at best%s, not %.2g: that takes %d. "
        "The threshold is the least normal of them.",
        threshold.held_out,
        smallest_rate(threshold.held_out, confidence),
        "" if confidence is None else f" with a confidence of {confidence:g}",
        rate,
        rows_needed(rate, confidence),
    )
