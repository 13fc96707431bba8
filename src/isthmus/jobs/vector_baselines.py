"""What users would take instead for vectors in few bytes, as scikit-learn estimators."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

__all__ = ["LeadingComponents", "ProductQuantizer"]

SYMBOLS = 256
MOST_ROWS = 2**16
ITERATIONS = 25


class ProductQuantizer(TransformerMixin, BaseEstimator):
    """Vectors cut into as many pieces as there are bytes, each the nearest of 256 centres of its own.

    Parameters
    ----------
    n_bytes : int, default=8
        Pieces; of vectors with fewer numbers as many as those.
    random_state : int or None, default=None
        Of k-means.

    References
    ----------
    Jégou, Douze & Schmid, "Product quantization for nearest neighbor search", TPAMI 2011.
    """

    def __init__(self, n_bytes: int = 8, random_state: Any = None):
        self.n_bytes = n_bytes
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Find the centres."""
        rows = X[np.unique(np.linspace(0, len(X) - 1, min(len(X), MOST_ROWS)).astype(np.int64))]
        self.columns_ = np.array_split(np.arange(X.shape[1]), min(self.n_bytes, X.shape[1]))
        means = KMeans(min(SYMBOLS, len(rows)), init="random", n_init=1, max_iter=ITERATIONS)
        means.set_params(random_state=self.random_state)
        # One thread, so that sums are added up in one order.
        with threadpool_limits(1):
            self.means_ = [
                type(means)(**means.get_params()).fit(np.ascontiguousarray(rows[:, own])) for own in self.columns_
            ]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the vectors as they come back."""
        again = np.empty_like(X)
        for own, means in zip(self.columns_, self.means_, strict=True):
            again[:, own] = means.cluster_centers_[means.predict(np.ascontiguousarray(X[:, own]))]
        return again


class LeadingComponents(TransformerMixin, BaseEstimator):
    """The first principal components in float32, and back.

    Parameters
    ----------
    size : int, default=2
        How many, at most as many as there are.
    """

    def __init__(self, size: int = 2):
        self.size = size

    @property
    def n_bytes(self) -> int:
        """Bytes of a vector."""
        return 4 * self.size

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Find the components."""
        self.pca_ = PCA(min(self.size, *X.shape), svd_solver="full").fit(X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the vectors as they come back."""
        return self.pca_.inverse_transform(self.pca_.transform(X).astype(np.float32).astype(np.float64))
