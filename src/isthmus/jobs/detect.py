"""Anomaly detection: rows that the code cannot carry are not like the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import OutlierMixin

from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job

__all__ = ["AnomalyDetector"]


class AnomalyDetector(OutlierMixin, Job):
    """Find the rows that do not look like the others, and say why."""

    verb: ClassVar[str] = "detect"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        false_alarm_rate: float = 0.01,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.false_alarm_rate = false_alarm_rate
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given."""
        return AutoEncoder()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on a share of the rows, and set the threshold on the others."""
        raise NotImplementedError

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is, ``(n,)``: higher is more normal."""
        raise NotImplementedError

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``: negative for anomalies."""
        raise NotImplementedError

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for a normal row and -1 for an anomaly."""
        raise NotImplementedError

    def explain(self, X: Any, n_reasons: int = 3) -> list[dict[str, Any]]:
        """Return for each row its ``reasons`` (the features that carry the score) and its ``missing`` cells."""
        raise NotImplementedError

    def alerts(self, X: Any, n_reasons: int = 3) -> list[dict[str, Any]]:
        """Return the anomalies, worst first: row, score, percentile, threshold, reasons, missing."""
        raise NotImplementedError

    def baselines(self) -> dict[str, Any]:
        """Return PCA reconstruction, kNN distance and isolation forest."""
        raise NotImplementedError

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return AUROC, average precision and alarms per method; ``y`` is 1 for the test rows that are anomalies."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return threshold, held-out scores and held-out errors."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        raise NotImplementedError
