"""Alerts as records: everything that a reader, or the next program, needs of one odd row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.decisions import Decision, p_values
from isthmus.jobs.job import choose
from isthmus.rows import Rows

__all__ = ["records"]


def records(
    detector: Any, rows: Rows, scores: np.ndarray, decision: Decision, n_reasons: int = 3, every: bool = False
) -> list[dict[str, Any]]:
    """Return a record for each alert among some rows, or for every row, in their order.

    Parameters
    ----------
    detector : AnomalyDetector
        Fitted.
    rows : Rows
        The rows.
    scores : ndarray of shape (n,)
        Their scores.
    decision : Decision
        What a rule said of them.
    n_reasons : int, default=3
        At most so many reasons an alert.
    every : bool, default=False
        Whether rows that are no alerts have a record too, without reasons; then each record
        has ``alert``.

    Returns
    -------
    list of dict
        As :meth:`AnomalyDetector.alerts` says.
    """
    shown = np.arange(len(scores)) if every else np.flatnonzero(decision.alert)
    if not len(shown):
        return []
    explained = _explained(detector, rows, shown, n_reasons)
    found = []
    for row, severity, p, why in zip(
        shown.tolist(),
        _severity(detector, scores[shown]).tolist(),
        p_values(detector.held_out_scores_, scores[shown]).tolist(),
        explained,
        strict=True,
    ):
        is_alert, threshold = bool(decision.alert[row]), float(decision.threshold[row])
        record = {
            "row": row,
            "score": float(scores[row]),
            "percentile": _percentile(detector.held_out_scores_, scores[row]),
            "p_value": p,
            "threshold": threshold if np.isfinite(threshold) else None,
            "severity": severity if np.isfinite(severity) else None,
        }
        if every:
            record["alert"] = is_alert
        reasons = why["reasons"] if is_alert else []
        found.append(record | {"reasons": reasons, "issues": _issues(why), "model": detector.model_id_})
    return found


def _explained(detector: Any, rows: Rows, shown: np.ndarray, n_reasons: int) -> Sequence[dict[str, Any]]:
    return detector.explain(rows if len(shown) == len(rows) else choose(rows, shown), n_reasons)


def _issues(explained: dict[str, Any]) -> list[dict[str, Any]]:
    missing = [{"feature": name, "issue": "missing"} for name in explained.get("missing", ())]
    unseen = [
        {"feature": reason["feature"], "issue": "unseen category", "value": reason["value"]}
        for reason in explained["reasons"]
        if "note" in reason
    ]
    return missing + unseen


def _severity(detector: Any, scores: np.ndarray) -> np.ndarray:
    """Return how far beyond the typical row scores are, the threshold of the false-alarm rate being 1."""
    typical = float(np.median(detector.held_out_scores_))
    unit = typical - detector.offset_
    with np.errstate(divide="ignore", invalid="ignore"):
        return (typical - scores) / unit if unit > 0 else np.full(len(scores), np.nan)


def _percentile(held_out: np.ndarray, score: float) -> float:
    more_normal = len(held_out) - np.searchsorted(held_out, score, side="right")
    return 100.0 * float(more_normal) / len(held_out)
