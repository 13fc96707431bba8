"""What the stages of the tour share: digits, options, figures, and how they speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from isthmus.jobs.job import Job
from isthmus.report import said

__all__ = ["Tour", "beside", "verdict"]

TRAIN = 1_200


class Tour:
    """The digits that come with scikit-learn, split, and what the stages leave for each other.

    Parameters
    ----------
    say : callable
        Called with a line about each stage.
    options : dict
        Of every auto-encoder on the way.

    Attributes
    ----------
    train, test : ndarray of shape (n, 8, 8)
        ``uint8`` images.
    train_labels, labels : ndarray of int
        Which digits they are.
    shown : ndarray of int
        One test image of each digit, for pictures.
    figures : dict of str to str
        The most telling numbers.
    portrait : dict
        What the picture of the README is drawn from.
    """

    def __init__(self, say: Callable[[str], None], options: dict[str, Any]):
        self.say, self.options = say, options
        self.figures: dict[str, str] = {}
        self.portrait: dict[str, Any] = {}
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        order = np.random.default_rng(0).permutation(len(images))
        self.train, self.test = images[order[:TRAIN]], images[order[TRAIN:]]
        self.train_labels, self.labels = digits.target[order[:TRAIN]], digits.target[order[TRAIN:]]
        self.shown = np.array([np.flatnonzero(self.labels == digit)[0] for digit in range(10)])

    def fit(self, job: Job) -> Any:
        """Fit a job to the digits, with the tour's options."""
        if self.options:
            job.estimator = job.default_estimator(self.train).set_params(**self.options)
        return job.fit(self.train)


def beside(values: dict[str, float], *others: str) -> str:
    """Return the auto-encoder's number and those of others, as text."""
    known = ", ".join(f"{name} {said(values[name])}" for name in others)
    return f"{said(values['auto-encoder'])} ({known})"


def verdict(rows: list[dict[str, Any]], figure: str, lowest: bool = False) -> str:
    """Return a sentence that says who is best, the auto-encoder or not."""
    best = (min if lowest else max)(rows, key=lambda row: row[figure])
    if best["method"] == "auto-encoder":
        return "Here the auto-encoder is best."
    return f"Here {best['method']} is better than the auto-encoder."
