"""Sampling: new rows, drawn from what was learned."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from isthmus.estimator import AutoEncoder
from isthmus.jobs.baselines import GaussianMixtureOnPCA, Matrix
from isthmus.jobs.job import Job, choose, is_table
from isthmus.modalities import Images
from isthmus.rows import as_rows

__all__ = ["Generator", "covered", "frechet_distance"]

MOST_COMPARED = 2_000
VARIANCE = 0.9
NEIGHBORS = 3


class Generator(Job):
    """Draw new rows that look like the fitted ones.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder, with a bottleneck that can sample; by default
        :meth:`default_estimator`.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own, and of :meth:`sample` and
        :meth:`compare`.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If the bottleneck has no prior to draw codes from.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images[:200]
    >>> model = AutoEncoder(bottleneck="gaussian(size=8)", max_epochs=3, random_state=0)
    >>> Generator(model).fit(images).sample(5).shape
    (5, 8, 8)
    """

    verb: ClassVar[str] = "sample"
    needs: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(self, estimator: AutoEncoder | None = None, *, random_state: Any = None):
        self.estimator = estimator
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given: a variational one.

        The spread of the likelihood decides how much of a row is drawn and how much is left
        to the decoder's mean. For pixels it is 0.1 of their range: with 1, the default of
        reconstruction, the code would be too dear to use and every sample the mean image. A
        table's columns each learn their own.
        """
        if is_table(X):
            return AutoEncoder(bottleneck="gaussian", loss="cell_likelihood(learned=True)")
        return AutoEncoder(bottleneck="gaussian(size=16)", loss="gaussian_likelihood(sigma=0.1, link='sigmoid')")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the distribution of rows.

        Parameters
        ----------
        X : array-like, data frame or Rows
            A table or images, as :class:`AutoEncoder` takes them.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        rows = as_rows(X)
        self.estimator_ = self._prepared(rows).fit(rows)
        return self

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Return new rows, as the fitted rows were.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Of the draw; by default the job's own.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.sample(n_samples, self.random_state if random_state is None else random_state)

    def baselines(self) -> dict[str, Any]:
        """Return a mixture of ten Gaussians on principal components."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return {"Gaussian mixture on PCA": GaussianMixtureOnPCA(random_state=seed, variance=VARIANCE)}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return how near samples are to rows that no method has seen.

        As many samples are drawn as there are test rows, at most 2,000 of both. The rows of
        ``train`` themselves are the last line: what a perfect copy would reach.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others.
        y : None
            Not used.

        Returns
        -------
        list of dict
            ``method``; ``frechet`` (:func:`frechet_distance` on the principal components
            that hold 90 % of the variance of ``train``; less is better); ``precision`` (share
            of samples that lie among the test rows, :func:`covered`) and ``recall`` (share of
            test rows that lie among the samples).

        References
        ----------
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
        models", NeurIPS 2019, https://arxiv.org/abs/1904.06991. Differs: distances are
        between standardised rows, not between a classifier's features.
        """
        job = self._fitted(train)
        modality = job.estimator_.modality_
        random = np.random.default_rng(int(check_random_state(self.random_state).randint(2**31 - 1)))
        matrix = Matrix(modality).fit(train)
        n = min(len(as_rows(train)), len(as_rows(test)), MOST_COMPARED)
        before, real = matrix.transform(train), matrix.transform(_some(test, n, random))
        drawn = {"auto-encoder": matrix.transform(job.sample(n))}
        for name, model in job.baselines().items():
            samples = model.fit(before).sample(n)
            drawn[name] = samples.clip(0, 1) if isinstance(modality, Images) else samples
        drawn["(training rows)"] = matrix.transform(_some(train, n, random))
        space = PCA(VARIANCE, svd_solver="full").fit(before)
        return [
            {
                "method": name,
                "frechet": frechet_distance(space.transform(samples), space.transform(real)),
                "precision": covered(samples, real),
                "recall": covered(real, samples),
            }
            for name, samples in drawn.items()
        ]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    r"""Return the distance between two sets of rows, each taken for a Gaussian.

    .. math:: |m_a - m_b|^2 + \mathrm{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})
    """
    means = float(np.square(a.mean(0) - b.mean(0)).sum())
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    # The eigenvalues of the product of two covariances are real and not negative, but for rounding.
    root = np.sqrt(np.clip(np.linalg.eigvals(first @ second).real, 0, None)).sum()
    return means + float(np.trace(first) + np.trace(second) - 2 * root)


def covered(rows: np.ndarray, among: np.ndarray, n_neighbors: int = NEIGHBORS) -> float:
    """Return the share of rows that lie nearer to one of the others than its own neighbours reach."""
    k = max(1, min(n_neighbors, len(among) - 1))
    reach = NearestNeighbors(n_neighbors=k).fit(among).kneighbors()[0][:, -1] if len(among) > 1 else np.zeros(1)
    inside = 0
    for begin in range(0, len(rows), 500):
        piece = rows[begin : begin + 500]
        # Distances without a (rows, among, columns) array.
        squares = np.square(piece).sum(1)[:, None] + np.square(among).sum(1)[None] - 2 * piece @ among.T
        inside += int((squares <= np.square(reach)[None] + 1e-12).any(1).sum())
    return inside / len(rows)


def _some(X: Any, n: int, random: np.random.Generator) -> Any:
    rows = as_rows(X)
    return choose(rows, np.sort(random.choice(len(rows), n, replace=False)))
