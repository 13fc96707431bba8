"""How right a detector is, where it is known which rows are anomalies."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

__all__ = ["figures_of"]


def figures_of(scores: np.ndarray, offset: float, y: Any) -> dict[str, float]:
    """Return ``flagged``, or with ``y`` ``auroc``, ``average_precision``, ``found`` and ``false_alarms``.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Higher is more normal.
    offset : float
        Rows below it are called anomalies.
    y : array-like of bool, optional
        Which are.

    Raises
    ------
    ValueError
        If y is not of these rows, or has one kind alone.
    """
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
