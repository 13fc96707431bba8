"""Labels that say which rows are anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.cli.talk import count, say

__all__ = ["Known", "known_anomalies"]

YES = ("1", "1.0", "true", "True")
NO = ("0", "0.0", "false", "False")


@dataclass(frozen=True)
class Known:
    """What is known of some rows.

    Attributes
    ----------
    anomalous : ndarray of bool, shape (n,)
        Which are anomalies.
    labelled : ndarray of bool, shape (n,)
        Of which it is known.
    name : str
        The label that anomalies have.
    """

    anomalous: np.ndarray
    labelled: np.ndarray
    name: str

    def figures(self, alert: np.ndarray) -> dict[str, Any]:
        """Return how right alerts are: ``precision`` and ``found``, the share of the anomalies."""
        true = int((alert & self.anomalous & self.labelled).sum())
        raised = int((alert & self.labelled).sum())
        normal = self.labelled & ~self.anomalous
        return {
            "anomalies": int(self.anomalous.sum()),
            "true_alerts": true,
            "precision": true / raised if raised else None,
            "found": true / int(self.anomalous.sum()),
            "observed_false_alarms": float(alert[normal].mean()),
        }

    def said(self, alert: np.ndarray) -> str:
        """Return in words how right alerts are."""
        figures, raised = self.figures(alert), int((alert & self.labelled).sum())
        right = f"; of {count(raised, 'alert')} with a label that is {100 * figures['true_alerts'] / raised:.3g} %"
        return f"{figures['true_alerts']} of {figures['anomalies']} known anomalies found{right if raised else ''}"


def known_anomalies(labels: Sequence[Any]) -> Known:
    """Return which rows are anomalies: those labelled 1 or true, or of two other labels the rarer.

    Raises
    ------
    ValueError
        If there are not two labels.
    """
    labelled = np.array([label is not None and label == label for label in labels])
    text = np.array([str(label) for label in labels])
    values, counts = np.unique(text[labelled], return_counts=True)
    if len(values) != 2:
        raise ValueError(
            f"to detect takes labels of two values, normal and not; got {len(values)}: {', '.join(values[:5])}."
        )
    which = int(counts.argmin())
    if values[0] in NO and values[1] in YES:
        which = 1
    name = str(values[which])
    missing = f", {count(int((~labelled).sum()), 'row')} without a label" if not labelled.all() else ""
    say(f"anomalies are the rows labelled {name} ({counts[which]} of {len(labels)}{missing})")
    return Known((text == name) & labelled, labelled, name)
