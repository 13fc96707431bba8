"""Denoising: what the code cannot carry is noise."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job

__all__ = ["Denoiser"]


class Denoiser(Job):
    """Give back the clean row behind a noisy one."""

    verb: ClassVar[str] = "denoise"

    def __init__(self, estimator: AutoEncoder | None = None, *, random_state: Any = None):
        self.estimator = estimator
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on clean rows; the estimator's corruption makes the noise."""
        raise NotImplementedError

    def denoise(self, X: Any) -> Any:
        """Return the rows without noise, as the fitted rows were."""
        raise NotImplementedError

    def baselines(self) -> dict[str, Any]:
        """Return doing nothing, PCA, and for images a median and a Gaussian filter."""
        raise NotImplementedError

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return the mean squared error per method; ``y`` holds the clean rows of ``test``.

        Without ``y``, ``test`` is clean and the estimator's corruption is put on it.
        """
        raise NotImplementedError
