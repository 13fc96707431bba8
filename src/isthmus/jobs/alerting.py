"""Alerts as records: everything that a reader, or the next program, needs of one odd row."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.decisions import Decision, p_values
from isthmus.jobs.job import choose
from isthmus.modalities.inspection import issues_of
from isthmus.rows import Rows

__all__ = ["percentile_of", "records", "severity_of"]


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
    reasons = _reasons(detector, rows, np.flatnonzero(decision.alert), n_reasons)
    found = []
    for row, severity, p, issues in zip(
        shown.tolist(),
        severity_of(detector, scores[shown]).tolist(),
        p_values(detector.held_out_scores_, scores[shown]).tolist(),
        issues_of(detector.estimator_.modality_, _chosen(rows, shown)),
        strict=True,
    ):
        is_alert, threshold = bool(decision.alert[row]), float(decision.threshold[row])
        record = {
            "row": row,
            "score": float(scores[row]),
            "percentile": percentile_of(detector.held_out_scores_, scores[row]),
            "p_value": p,
            "threshold": threshold if np.isfinite(threshold) else None,
            "severity": severity if np.isfinite(severity) else None,
        }
        if every:
            record["alert"] = is_alert
        record |= {"reasons": reasons.get(row, []), "issues": list(issues), "model": detector.model_id_}
        found.append(record)
    return found


def _reasons(detector: Any, rows: Rows, alerts: np.ndarray, n_reasons: int) -> dict[int, list[dict[str, Any]]]:
    """Return the reasons of these rows, by position."""
    explained = detector.explain(_chosen(rows, alerts), n_reasons) if len(alerts) else []
    return {row: why["reasons"] for row, why in zip(alerts.tolist(), explained, strict=True)}


def _chosen(rows: Rows, index: np.ndarray) -> Rows:
    return rows if len(index) == len(rows) else choose(rows, index)


def severity_of(detector: Any, scores: np.ndarray) -> np.ndarray:
    """Return how far beyond the typical row scores are, the threshold of the false-alarm rate being 1."""
    typical = float(np.median(detector.held_out_scores_))
    unit = typical - detector.offset_
    with np.errstate(divide="ignore", invalid="ignore"):
        return (typical - scores) / unit if unit > 0 else np.full(len(scores), np.nan)


def percentile_of(held_out: np.ndarray, score: float) -> float:
    """Return how many per cent of the held-out scores, in ascending order, are more normal."""
    more_normal = len(held_out) - np.searchsorted(held_out, score, side="right")
    return 100.0 * float(more_normal) / len(held_out)
