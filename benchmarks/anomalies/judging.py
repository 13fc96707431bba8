"""Figures of a ranking. Costs: higher is less normal. Rows of equal cost are never told apart by their order."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

__all__ = ["average_precision", "auroc", "f1", "f1_at_ratio", "precision_at", "upper_quantile"]


def auroc(anomalous: np.ndarray, costs: np.ndarray) -> float:
    """Return the area under the ROC curve, in per cent."""
    return 100 * float(roc_auc_score(anomalous, costs))


def average_precision(anomalous: np.ndarray, costs: np.ndarray) -> float:
    """Return the mean of the precisions at each anomaly found, in per cent."""
    return 100 * float(average_precision_score(anomalous, costs))


def precision_at(anomalous: np.ndarray, costs: np.ndarray, k: int) -> float:
    """Return the share of anomalies among the k highest costs, in per cent.

    Where the k-th ties with others, it is the mean over all orders of these.
    """
    k = min(k, len(costs))
    limit = np.partition(costs, len(costs) - k)[len(costs) - k]
    above, ties = costs > limit, costs == limit
    found = anomalous[above].sum() + (k - above.sum()) * anomalous[ties].mean()
    return 100 * float(found) / k


def f1_at_ratio(anomalous: np.ndarray, costs: np.ndarray) -> float:
    """Return F1 where as many rows are flagged as there are anomalies: a threshold that labels gave.

    Rows that tie with the last one are flagged too.
    """
    n = int(anomalous.sum())
    return f1(anomalous, costs >= np.partition(costs, len(costs) - n)[len(costs) - n])


def f1(anomalous: np.ndarray, flagged: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall, between 0 and 1."""
    return float(f1_score(anomalous, flagged))


def upper_quantile(costs: np.ndarray, rate: float) -> float:
    """Return the cost that a new row of the same kind exceeds with probability at most ``rate``.

    The ``ceil((m + 1)(1 - rate))``-th smallest of m held-out costs, or the greatest where
    m are too few to vouch for the rate: split conformal prediction.
    """
    m = len(costs)
    k = min(m, int(np.ceil((m + 1) * (1 - rate) - 1e-9)))
    return float(np.sort(costs)[k - 1])
