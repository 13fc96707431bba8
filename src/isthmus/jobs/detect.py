"""Anomaly detection: rows that the code cannot carry are not like the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from isthmus.decisions import threshold_at
from isthmus.estimator import AutoEncoder
from isthmus.jobs.baselines import Matrix, NeighborDistance, PCAReconstruction
from isthmus.jobs.deciding import Deciding
from isthmus.jobs.identity import identity
from isthmus.jobs.job import Job, choose, is_table
from isthmus.jobs.judging import figures_of
from isthmus.jobs.measures import MAPS, MEASURES
from isthmus.jobs.reasons import cell_reasons, region_reasons
from isthmus.jobs.scoring import Score, check_measures
from isthmus.modalities import Images, Tables
from isthmus.rows import Rows, as_rows

__all__ = ["AnomalyDetector"]

TABLES: dict[str, Any] = {
    "encoder": "mlp_encoder(hidden=(256, 256))",
    "bottleneck": "linear(size=64)",
    "decoder": "mlp_decoder(hidden=(256, 256))",
    "corruption": "swap_rows(share=0.2)",
}
CONTAMINATED = ("codes", "rows")
# Held-out images, half of which say what is usual.
LEAST_IMAGES = 20


class AnomalyDetector(OutlierMixin, Job, Deciding):
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
        (:class:`isthmus.jobs.measures.Measures`). By default all five for a table, ``error`` for
        series; images have ``maps`` (:class:`isthmus.jobs.image_scores.ImageCosts`). ``("error",)``
        alone keeps no rows and scores fastest.
    contaminated : bool, default=False
        Whether anomalies may be among the rows fitted on, more than a few in a hundred. A table's
        rows and codes are then compared with draws of four rows, of which a crowd of anomalies
        is rarely one.
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
    score_ : Score
        What a row costs, and why: :class:`isthmus.jobs.scoring.Score`.
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
    anomalies made up of them (:func:`isthmus.jobs.made_up.made_up`); no label is needed.

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
        contaminated: bool = False,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.false_alarm_rate = false_alarm_rate
        self.validation_fraction = validation_fraction
        self.measures = measures
        self.contaminated = contaminated
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
        names, few = self._measures(rows, len(held)), self.contaminated and is_table(rows)
        self._score, costs = Score.fit(self.estimator_, fitted, held, names, self._seed, few)
        self._set_threshold(-costs)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is, ``(n,)``: 0 is typical, lower is less normal."""
        return -self.score_.costs(self._rows(X))

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
        score, rows = self.score_, self._rows(X)
        modality = self.estimator_.modality_
        explained: list[dict[str, Any]] = []
        for cells in score.cells_of(rows):
            if isinstance(modality, Tables):
                found = cell_reasons(score, modality, rows, cells, n_reasons)
            else:
                found = region_reasons(score.heat(cells), n_reasons)
            explained += [row | {"measures": of} for row, of in zip(found, score.shares(cells), strict=True)]
        return explained

    def heat(self, X: Any) -> np.ndarray:
        """Return how odd each place of images, or each step of series, is, ``(n, *p)``.

        1 is typical; the root is in standard deviations of that place over held-out images, or
        with the measure ``error`` in its typical errors.

        Raises
        ------
        ValueError
            If the rows are those of a table, of which :meth:`explain` names the odd cells.
        """
        score, rows = self.score_, self._rows(X)
        if isinstance(self.estimator_.modality_, Tables):
            raise ValueError("heat is of images and series; which cells of a table are odd is in explain(X).")
        return np.concatenate([score.heat(cells) for cells in score.cells_of(rows)])

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
        table = [{"method": "auto-encoder"} | figures_of(job.score_samples(test), job.offset_, y)]
        for name, model in job.baselines().items():
            model.fit(choose(rows, kept))
            offset = threshold_at(model.score_samples(choose(rows, held_out)), self.false_alarm_rate).offset
            table.append({"method": name} | figures_of(model.score_samples(test), offset, y))
        return table

    def state(self) -> dict[str, Any]:
        """Return the held-out scores and errors, and the seed of the split."""
        score = self.score_
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

    def _measures(self, rows: Rows, n_held_out: int) -> tuple[str, ...]:
        """Return the measures to weigh for these rows."""
        if is_table(rows):
            return tuple(self.measures or (CONTAMINATED if self.contaminated else MEASURES))
        if self.measures is not None and tuple(self.measures) != ("error",):
            raise ValueError(f"measures of images and series are ('error',), got {tuple(self.measures)!r}.")
        is_image = isinstance(self.estimator_.modality_, Images)
        return (MAPS,) if self.measures is None and is_image and n_held_out >= LEAST_IMAGES else ("error",)

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

    @property
    def model_id_(self) -> str:
        """Sixteen digits that name the model by its contents."""
        check_is_fitted(self, "estimator_")
        if self._identity is None:
            self._identity = identity(self.estimator_.module_, self.state())
        return self._identity

    @property
    def score_(self) -> Score:
        """What a row costs, and why."""
        check_is_fitted(self, "estimator_")
        return self._score
