"""Maps: two dimensions in which alike rows lie together, and new rows find their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import TransformerMixin

from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job

__all__ = ["Mapper"]


class Mapper(TransformerMixin, Job):
    """Place rows on a map of two dimensions."""

    verb: ClassVar[str] = "map"

    def __init__(self, estimator: AutoEncoder | None = None, *, random_state: Any = None):
        self.estimator = estimator
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the map."""
        raise NotImplementedError

    def transform(self, X: Any) -> np.ndarray:
        """Return the places of rows, ``(n, 2)``; new rows need no refit."""
        raise NotImplementedError

    def baselines(self) -> dict[str, Any]:
        """Return PCA and t-SNE."""
        raise NotImplementedError

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return trustworthiness, and 5-NN accuracy given the labels ``y`` of ``test``."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return the projection of larger codes, if there is one."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        raise NotImplementedError
