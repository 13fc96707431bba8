"""What users would take instead, as scikit-learn estimators on the same matrix of numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from isthmus.batch import Batch
from isthmus.modalities.choice import default_modality
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = [
    "GaussianMixtureOnPCA",
    "Matrix",
    "NeighborDistance",
    "PCAProjection",
    "PCAReconstruction",
    "Smooth",
    "Unchanged",
    "matrix_of",
]

# Pixels across, or standard deviation in pixels. The first leaves an image as it is.
FILTER_WIDTHS: dict[str, tuple[float, ...]] = {"median": (1, 2, 3, 5), "gaussian": (0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)}


class Matrix(TransformerMixin, BaseEstimator):
    """Rows as one matrix: what a baseline is given, so that all see the same preparation.

    Numbers are standardised and categories one-hot, as :class:`~isthmus.modalities.Tables`
    does it, and missing cells are the column's mean; pixels are between 0 and 1. A modality
    of the caller's may be given, fitted or not.
    """

    def __init__(self, modality: Part | None = None):
        self.modality = modality

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the scales."""
        modality = self.modality
        if modality is None:
            modality = default_modality(as_rows(X))
        self.modality_ = modality if modality.facts is not None else modality.fit(as_rows(X))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the matrix ``(n, columns)``."""
        return matrix_of(self.modality_, self.modality_.to_batch(as_rows(X), torch.float64))


class PCAReconstruction(BaseEstimator):
    """The distance to the principal components that hold a share of the variance."""

    def __init__(self, n_components: float | int = 0.95):
        self.n_components = n_components

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Find the components."""
        self.pca_ = _components(self.n_components, X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the rows' projections, back in the space of the rows."""
        return self.pca_.inverse_transform(self.pca_.transform(X))

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the squared distance to the projection."""
        return -((self.transform(X) - X) ** 2).sum(1)


class NeighborDistance(BaseEstimator):
    """The mean distance to the nearest fitted rows."""

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Keep the rows."""
        self.neighbors_ = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(X))).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the mean distance."""
        return -self.neighbors_.kneighbors(X)[0].mean(1)


class Unchanged(TransformerMixin, BaseEstimator):
    """Leave rows as they are."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Return the rows."""
        return X


class PCAProjection(TransformerMixin, BaseEstimator):
    """Project noisy rows on the principal components of clean ones; as many as suit the noise."""

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Find the components of clean ``y``, and how many bring noisy ``X`` nearest to it."""
        noisy = X.reshape(len(X), -1)
        clean = noisy if y is None else y.reshape(len(y), -1)
        best = self._best_size(noisy, clean) if len(clean) > 1 else 1
        self.pca_ = _components(min(best, *clean.shape), clean)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the projections, in the shape of the rows."""
        flat = X.reshape(len(X), -1)
        return self.pca_.inverse_transform(self.pca_.transform(flat)).reshape(X.shape)

    @staticmethod
    def _best_size(noisy: np.ndarray, clean: np.ndarray) -> int:
        # Judged on rows that the components were not found on, or all of them would seem best.
        half = len(clean) // 2
        trial = _components(None, clean[:half])
        codes = trial.transform(noisy[half:])
        sizes = range(1, len(trial.components_) + 1)
        errors = [
            np.mean((codes[:, :size] @ trial.components_[:size] + trial.mean_ - clean[half:]) ** 2) for size in sizes
        ]
        return 1 + int(np.argmin(errors))


class Smooth(TransformerMixin, BaseEstimator):
    """A filter over height and width, as strong as suits the noise.

    Parameters
    ----------
    kind : {'median', 'gaussian'}, default='median'
        Which filter.
    """

    def __init__(self, kind: str = "median"):
        self.kind = kind

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Choose the width with which noisy ``X`` comes nearest to clean ``y``."""
        clean = X if y is None else y
        widths = FILTER_WIDTHS[self.kind]
        errors = [np.mean((self._filter(X, width) - clean) ** 2) for width in widths]
        self.width_ = widths[int(np.argmin(errors))]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the filtered images ``(n, h, w, c)``."""
        return self._filter(X, self.width_)

    def _filter(self, X: np.ndarray, width: float) -> np.ndarray:
        if self.kind == "median":
            return ndimage.median_filter(X, size=(1, int(width), int(width), 1), mode="nearest")
        return ndimage.gaussian_filter(X, sigma=(0, width, width, 0), mode="nearest")


class GaussianMixtureOnPCA(BaseEstimator):
    """A mixture of Gaussians on principal components, which can be sampled.

    Parameters
    ----------
    n_components : int, default=10
        Gaussians, each with a full covariance.
    variance : float, default=0.9
        Share of the variance that the principal components hold.
    random_state : int, optional
        Of the start, and of the samples.
    """

    def __init__(self, n_components: int = 10, variance: float = 0.9, random_state: int | None = None):
        self.n_components = n_components
        self.variance = variance
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Fit both."""
        self.pca_ = _components(self.variance, X)
        n = max(1, min(self.n_components, len(X) // 2))
        self.mixture_ = GaussianMixture(n, reg_covar=1e-3, random_state=self.random_state).fit(self.pca_.transform(X))
        return self

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Return rows drawn from the mixture."""
        return self.pca_.inverse_transform(self.mixture_.sample(n_samples)[0])


def matrix_of(modality: Part, batch: Batch) -> np.ndarray:
    """Return a stored batch as a matrix ``(n, columns)``: categories one-hot, missing cells zero."""
    x = modality.expand(batch).x.double()
    if batch.mask is not None:
        x = x * (batch.mask if batch.mask.ndim == x.ndim else batch.mask.unsqueeze(-1))
    symbols = modality.example().get("categories") or []
    if not any(symbol > 1 for symbol in symbols):
        return x.flatten(1).numpy()
    pieces = [
        F.one_hot(x[:, i].long(), symbol).to(x) if symbol > 1 else x[:, i : i + 1] for i, symbol in enumerate(symbols)
    ]
    return torch.cat(pieces, 1).numpy()


def _components(n_components: float | int | None, X: np.ndarray) -> PCA:
    # The share of variance of one row, or of equal ones, is 0 / 0: not worth a warning.
    with np.errstate(invalid="ignore"):
        return PCA(n_components, svd_solver="full").fit(X)
