"""Sampling: new rows, drawn from what was learned."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job

__all__ = ["Generator"]


class Generator(Job):
    """Draw new rows that look like the fitted ones."""

    verb: ClassVar[str] = "sample"
    needs: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(self, estimator: AutoEncoder | None = None, *, random_state: Any = None):
        self.estimator = estimator
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the distribution of rows."""
        raise NotImplementedError

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Return new rows, as the fitted rows were."""
        raise NotImplementedError

    def baselines(self) -> dict[str, Any]:
        """Return a Gaussian mixture on principal components."""
        raise NotImplementedError

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return distances between samples and the rows of ``test``, per method."""
        raise NotImplementedError
