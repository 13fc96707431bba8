"""Anomaly detection: rows that the code cannot carry are not like the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
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
from isthmus.estimator import AutoEncoder
from isthmus.jobs.alerting import records
from isthmus.jobs.baselines import Matrix, NeighborDistance, PCAReconstruction
from isthmus.jobs.cells import cells_of
from isthmus.jobs.identity import identity
from isthmus.jobs.job import Job, choose, is_table
from isthmus.jobs.measures import MEASURES
from isthmus.jobs.reasons import cell_reasons, region_reasons
from isthmus.jobs.scoring import Score, check_measures
from isthmus.modalities import Tables
from isthmus.rows import Rows, as_rows

__all__ = ["AnomalyDetector"]

logger = logging.getLogger(__name__)

TABLES: dict[str, Any] = {
    "encoder": "mlp_encoder(hidden=(256, 256), shortcut=False)",
    "bottleneck": "linear(size=64)",
    "decoder": "mlp_decoder(hidden=(256, 256), shortcut=False)",
    "corruption": "swap_rows(share=0.2)",
}


class AnomalyDetector(OutlierMixin, Job):
    r"""Find the rows that do not look like the others, and say why.

    Fitted on rows that are normal, or nearly all so. Some of them are held out: they set the
    threshold and the unit in which each feature's error is counted.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder; by default :meth:`default_estimator`.
    false_alarm_rate : float, default=0.01
        Share of normal rows that may be called anomalies.
    validation_fraction : float, default=0.2
        Share of the rows that the auto-encoder never sees.
    measures : sequence of str, optional
        In what ways a row is odd, of ``error``, ``codes``, ``rows``, ``ranks`` and ``density``
        (:class:`isthmus.jobs.measures.Measures`). By default all five for a table, and ``error`` for
        other data. ``("error",)`` alone keeps no rows and scores fastest.
    random_state : int, RandomState instance or None, default=None
        Of the choice of held-out rows, and of the auto-encoder where it has none of its own.

    Attributes
    ----------
    offset_ : float
        Rows whose :meth:`score_samples` is below it are anomalies.
    held_out_scores_ : ndarray
        Scores of the held-out rows, in ascending order.
    threshold_ : Threshold
        ``offset_`` with what is known of it; see :class:`isthmus.decisions.Threshold`.
    false_alarm_interval_ : tuple of float
        Where the share of all normal rows that are below ``offset_`` lies, for 95 % of draws
        of the held-out rows.
    attainable_rate_ : float
        The lowest false-alarm rate, not below the one asked for, that so many held-out rows
        can vouch for: at least ``1 / (m + 1)`` for ``m`` rows. If it is above the rate asked
        for, a warning is logged.
    model_id_ : str
        Names the model by its contents: equal after saving and loading, and for any threshold.
    measures_ : dict of str to float
        The measures that are used, and what each weighs.
    typical_errors_ : ndarray
        Mean held-out error of each cell: squared, in the units of the batch, or nats for
        booleans and categories.
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If there are fewer than two rows, or a parameter is out of range.

    Notes
    -----
    The score of a row is minus its cost (:class:`isthmus.jobs.scoring.Score`): 0 is typical, -1
    as odd as one held-out row in ten. The cost is a weighted mean of up to five measures of
    oddness, each in units of its spread over held-out rows. One is the mean over the row's
    observed cells of

    .. math:: e_j / \bar e_j

    where :math:`e_j` is the cell's squared error (of booleans and categories: minus the log
    of the probability of its value) and :math:`\bar e_j` its mean over held-out rows: with plain
    sums of squares the columns that are hardest to predict speak loudest. The others are
    distances to fitted rows and their codes. What each weighs is found on held-out rows and on
    anomalies made up of them (:func:`isthmus.jobs.scoring.made_up`); no label is needed.

    The threshold is the ``ceil((m + 1)(1 - rate))``-th smallest cost of the m held-out rows,
    so that a new row from the same source exceeds it with probability at most ``rate``
    (split conformal prediction: Laxhammar & Falkman, 2010). Each held-out row is counted in
    units of the others, as a new row will be.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = AutoEncoder(max_epochs=20, random_state=0)
    >>> detector = AnomalyDetector(model, false_alarm_rate=0.05, random_state=0).fit(X)
    >>> detector.predict([[5.0, 3.4, 1.5, 0.2], [5.0, 3.4, 9.0, 0.2]])
    array([ 1, -1])
    >>> detector.explain([[5.0, 3.4, 9.0, 0.2]])[0]["reasons"][0]["value"]
    9.0
    """

    verb: ClassVar[str] = "detect"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        false_alarm_rate: float = 0.01,
        validation_fraction: float = 0.2,
        measures: Sequence[str] | None = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.false_alarm_rate = false_alarm_rate
        self.validation_fraction = validation_fraction
        self.measures = measures
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given.

        A table's cells are swapped between rows while training: a model that must put right
        wrong cells does not learn to copy them, however wide its code.
        """
        return AutoEncoder(**TABLES) if is_table(X) else AutoEncoder()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on a share of the rows, and set the threshold on the others.

        Parameters
        ----------
        X : array-like, data frame or Rows
            A table or images, as :class:`AutoEncoder` takes them.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        self._check_params()
        rows = as_rows(X)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        kept, held_out = self._split(len(rows))
        estimator = self._prepared(rows)
        fitted, held = choose(rows, kept), choose(rows, held_out)
        self.estimator_ = estimator.fit(fitted)
        self._score, costs = Score.fit(self.estimator_, fitted, held, self._measures(rows), self._seed)
        self._set_threshold(-costs)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is, ``(n,)``: 0 is typical, lower is less normal."""
        return -self._score_of().costs(self._rows(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``: negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for a normal row and -1 for an anomaly."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any, n_reasons: int = 3) -> list[dict[str, Any]]:
        """Return, for each row, what carries its score.

        Parameters
        ----------
        X : array-like, data frame or Rows
            The rows.
        n_reasons : int, default=3
            At most so many reasons a row.

        Returns
        -------
        list of dict
            ``reasons``, a list of dicts, largest ``share`` of the score first, and
            ``missing``, the names of the cells that were not observed. A number's reason
            has ``feature``, ``value``, ``expected`` (both in the column's own unit), and
            ``error``, the difference in units of that feature's own typical error; a
            category's has ``value``, its ``probability`` and the ``likely`` values with
            theirs; an image's names the square of pixels. ``measures``: what each of
            ``measures_`` adds to the row's cost.
        """
        if isinstance(n_reasons, bool) or n_reasons != int(n_reasons) or n_reasons < 1:
            raise ValueError(f"n_reasons must be a whole number of at least 1, got {n_reasons!r}.")
        score, rows = self._score_of(), self._rows(X)
        modality, loss = self.estimator_.modality_, self.estimator_.module_.loss
        explained: list[dict[str, Any]] = []
        for cells in cells_of(self.estimator_, rows):
            if isinstance(modality, Tables):
                found = cell_reasons(modality, loss, rows, cells, score.typical, n_reasons)
            else:
                found = region_reasons(cells, score.typical, n_reasons)
            explained += [row | {"measures": of} for row, of in zip(found, score.shares(cells), strict=True)]
        return explained

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

    def baselines(self) -> dict[str, Any]:
        """Return PCA reconstruction, kNN distance and isolation forest."""
        seed = getattr(self, "_seed", None)
        return {
            "PCA reconstruction": make_pipeline(Matrix(), PCAReconstruction()),
            "5-NN distance": make_pipeline(Matrix(), NeighborDistance()),
            "isolation forest": make_pipeline(Matrix(), IsolationForest(random_state=seed)),
        }

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return figures for the detector and its baselines on one split.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others.
        y : array-like of bool, optional
            Which of the test rows are anomalies.

        Returns
        -------
        list of dict
            ``method``; with ``y``: ``auroc``, ``average_precision``, ``found`` (share of the
            anomalies) and ``false_alarms`` (share of the normal rows); without: ``flagged``,
            the share of the rows. All thresholds are set on the same held-out rows.
        """
        job, rows, test = self._fitted(train), as_rows(train), as_rows(test)
        kept, held_out = job._split(len(rows))
        table = [{"method": "auto-encoder"} | _figures(job.score_samples(test), job.offset_, y)]
        for name, model in job.baselines().items():
            model.fit(choose(rows, kept))
            offset = threshold_at(model.score_samples(choose(rows, held_out)), self.false_alarm_rate).offset
            table.append({"method": name} | _figures(model.score_samples(test), offset, y))
        return table

    def state(self) -> dict[str, Any]:
        """Return the held-out scores and errors, and the seed of the split."""
        score = self._score_of()
        return {"seed": self._seed, "held_out_scores": self.held_out_scores_} | score.state()

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        scores = np.asarray(state.get("held_out_scores"), dtype=np.float64)
        if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
            said = str(state.get("held_out_scores"))[:60]
            raise ValueError(f"the detector's held_out_scores should be finite numbers, got {said}.")
        if not isinstance(state.get("seed"), int):
            raise ValueError(f"the detector's seed should be a whole number, got {str(state.get('seed'))[:60]}.")
        self._check_params()
        self._seed = state["seed"]
        self._score = Score.restore(self.estimator_, state)
        self._set_threshold(scores)
        return self

    def _check_params(self) -> None:
        for name in ("false_alarm_rate", "validation_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")
        if self.measures is not None:
            check_measures(self.measures)

    def _measures(self, rows: Rows) -> tuple[str, ...]:
        """Return the measures to weigh for these rows."""
        is_table_of_rows = is_table(rows)
        chosen = tuple(self.measures or (MEASURES if is_table_of_rows else ("error",)))
        if chosen != ("error",) and not is_table_of_rows:
            raise ValueError(f"measures of images and series are ('error',), got {chosen!r}.")
        return chosen

    def _split(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of the rows to fit on and of those to hold out."""
        if n < 2:
            raise ValueError(
                f"Found array with {n} sample(s) while a minimum of 2 is required: one to fit on, one to hold out."
            )
        held_out = min(n - 1, max(1, round(n * self.validation_fraction)))
        order = np.random.default_rng(self._seed).permutation(n)
        return np.sort(order[held_out:]), np.sort(order[:held_out])

    def _set_threshold(self, scores: np.ndarray) -> None:
        self.typical_errors_ = self._score.typical.mean
        self.measures_ = dict(zip(self._score.names, self._score.weights.tolist(), strict=True))
        self._apply(scores)
        self._identity: str | None = None

    def _apply(self, scores: np.ndarray) -> None:
        """Take these held-out scores, and the threshold of our rate among them."""
        self.held_out_scores_ = np.sort(scores)
        self.threshold_ = threshold_at(self.held_out_scores_, self.false_alarm_rate)
        self.offset_ = self.threshold_.offset
        self.false_alarm_interval_ = self.threshold_.interval()
        self.attainable_rate_ = max(self.false_alarm_rate, smallest_rate(len(scores)))
        if self.attainable_rate_ > self.false_alarm_rate:
            _warn_of(self.threshold_, self.false_alarm_rate)

    @property
    def model_id_(self) -> str:
        """Sixteen digits that name the model by its contents."""
        check_is_fitted(self, "estimator_")
        if self._identity is None:
            self._identity = identity(self.estimator_.module_, self.state())
        return self._identity

    def _score_of(self) -> Score:
        check_is_fitted(self, "estimator_")
        return self._score


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


def _figures(scores: np.ndarray, offset: float, y: Any) -> dict[str, float]:
    flagged = scores < offset
    if y is None:
        return {"flagged": float(flagged.mean())}
    anomalous = np.asarray(y).astype(bool)
    if anomalous.shape != scores.shape or anomalous.all() or not anomalous.any():
        raise ValueError(
            f"y must say of each of the {len(scores)} test rows whether it is an anomaly, and hold both kinds; "
            f"got {anomalous.sum()} anomalies among {anomalous.size}."
        )
    return {
        "auroc": float(roc_auc_score(anomalous, -scores)),
        "average_precision": float(average_precision_score(anomalous, -scores)),
        "found": float(flagged[anomalous].mean()),
        "false_alarms": float(flagged[~anomalous].mean()),
    }
