"""How well scores of steps find labelled anomalies, and how often normal series ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from scipy.stats import chi2
from sklearn.metrics import average_precision_score, roc_auc_score

from isthmus.decisions import AlarmRule
from isthmus.metrics import vus_pr
from isthmus.rows import SequenceRows

__all__ = ["Account", "false_alarms_among", "figures_of", "held_out_of"]


class Account(TypedDict):
    """What held-out steps say of false alarms.

    Attributes
    ----------
    steps : int
        Those that could be judged.
    windows : int
        How many that do not overlap fit into them.
    alarms : int
        How often the rule rang.
    alarms_per_1000_steps : float
        The same as a rate.
    at_most : float
        Its upper limit at 95 %, exact if alarms come independently of each other.
    """

    steps: int
    windows: int
    alarms: int
    alarms_per_1000_steps: float
    at_most: float


def false_alarms_among(scores: np.ndarray, offsets: np.ndarray, rule: AlarmRule, offset: float, window: int) -> Account:
    """Return what the scores of held-out steps, of all series end to end, say of false alarms."""
    pieces = [scores[begin:end] for begin, end in zip(offsets[:-1], offsets[1:], strict=True)]
    alarms, steps = sum(len(rule.alarms(piece, offset)) for piece in pieces), int((~np.isnan(scores)).sum())
    return {
        "steps": steps,
        "windows": max(1, steps // window),
        "alarms": alarms,
        "alarms_per_1000_steps": 1000 * alarms / steps,
        # Garwood's limit of the mean of a Poisson variable.
        "at_most": 1000 * float(chi2.ppf(0.95, 2 * (alarms + 1))) / 2 / steps,
    }


def held_out_of(state: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of held-out steps, of all series end to end, and where each series begins, as they were saved.

    Raises
    ------
    ValueError
        If they are not that.
    """
    scores = np.asarray(state.get("held_out"), np.float64)
    offsets = np.asarray(state.get("held_out_offsets"), np.int64)
    rising = offsets.ndim == 1 and len(offsets) > 1 and bool((np.diff(offsets) > 0).all())
    if scores.ndim != 1 or not rising or offsets[0] != 0 or offsets[-1] != len(scores):
        raise ValueError("the detector's held-out scores should be (steps,), and their offsets rise to that number.")
    if np.isinf(scores).any() or np.isnan(scores).all():
        raise ValueError("the detector's held-out scores should be finite, or NaN where there is none.")
    return scores, offsets


def figures_of(scores: np.ndarray, offset: float, rows: SequenceRows, y: Any, window: int) -> dict[str, float]:
    """Return how well scores of steps, of all series end to end, find what labels say.

    Raises
    ------
    ValueError
        If the labels are neither of each step nor of each series, or not of both kinds.
    """
    flagged = {"flagged": float((scores < offset).mean())}
    if y is None:
        return flagged
    pieces = [scores[begin:end] for begin, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    costs = [np.where(np.isnan(piece), -np.nanmax(scores), -piece) for piece in pieces]
    several = isinstance(y, list | tuple) and len(y) == len(rows) and np.ndim(y[0]) == 1
    labels = [np.asarray(one).astype(bool) for one in (y if several else [y])]
    if len(labels) == len(costs) and all(len(one) == len(cost) for one, cost in zip(labels, costs, strict=True)):
        both = [(one, cost) for one, cost in zip(labels, costs, strict=True) if one.any() and not one.all()]
        if not both:
            raise ValueError("no series holds both normal and anomalous steps; of whole series give one label each.")
        return {"vus_pr": float(np.mean([vus_pr(one, cost, window) for one, cost in both]))} | flagged
    whole = np.asarray(y).astype(bool)
    if whole.shape != (len(rows),) or whole.all() or not whole.any():
        raise ValueError(
            f"y must say of each step of the {len(rows)} series, or of each series, whether it is anomalous, and hold "
            f"both kinds; got shape {whole.shape}."
        )
    worst = [float(cost.max()) for cost in costs]
    return {
        "auroc": float(roc_auc_score(whole, worst)),
        "average_precision": float(average_precision_score(whole, worst)),
    } | flagged
