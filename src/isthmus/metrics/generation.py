"""Metrics of generation: how near drawn rows are to real ones, and whether they are among each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

__all__ = ["covered", "frechet_distance"]

# Rows whose distances to all others are held at a time.
PIECE = 500


def frechet_distance(a: Any, b: Any) -> float:
    r"""Return the distance between two sets of rows, each taken for a Gaussian.

    .. math:: |m_a - m_b|^2 + \mathrm{tr}\left(C_a + C_b - 2 (C_a C_b)^{1/2}\right)

    It is zero where means and covariances agree, and in squared units of the columns: what
    space it is measured in decides what it means. Of two sets from one source it is above
    zero, more so the fewer rows there are.

    Parameters
    ----------
    a, b : array-like of shape (n, columns) and (m, columns)
        Rows, at least two of each.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the sets are not matrices of equally many columns, or one has fewer than two rows.

    References
    ----------
    Dowson & Landau, "The Frechet distance between multivariate normal distributions", 1982; for
    judging images Heusel et al., NeurIPS 2017, https://arxiv.org/abs/1706.08500, equation 6.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(100, 2))
    >>> round(frechet_distance(rows, rows + [3, 4]), 6)
    25.0
    """
    a, b = _matrices(a, b, least=2)
    means = float(np.square(a.mean(0) - b.mean(0)).sum())
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    # The eigenvalues of the product of two covariances are real and not negative, but for rounding.
    root = np.sqrt(np.clip(np.linalg.eigvals(first @ second).real, 0, None)).sum()
    return means + float(np.trace(first) + np.trace(second) - 2 * root)


def covered(rows: Any, among: Any, n_neighbors: int = 3) -> float:
    """Return the share of rows that lie nearer to one of the others than its own neighbours reach.

    With drawn rows among real ones this is the **precision** of the draw: how many could be
    real. With real rows among drawn ones it is the **recall**: how much of what there is can
    be drawn. Copies of a few real rows have precision 1 and little recall.

    Parameters
    ----------
    rows : array-like of shape (n, columns)
        Rows that are in question.
    among : array-like of shape (m, columns)
        Rows that span the space: around each a ball that reaches to its own
        ``n_neighbors``-th neighbour.
    n_neighbors : int, default=3
        How far a row reaches; at most as far as the farthest of the others. A single row
        covers no more than itself.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the sets are not matrices of equally many columns, one is empty, or n_neighbors is
        below 1.

    References
    ----------
    Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models", NeurIPS 2019, https://arxiv.org/abs/1904.06991, equations 1 and 2.

    Examples
    --------
    >>> among = [[0.0], [1.0], [2.0]]
    >>> covered([[0.5], [2.5], [9.0], [10.0]], among, n_neighbors=1)
    0.5
    """
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")
    rows, among = _matrices(rows, among, least=1)
    k = min(n_neighbors, len(among) - 1)
    reach = NearestNeighbors(n_neighbors=k).fit(among).kneighbors()[0][:, -1] if k else np.zeros(1)
    # A row that is one of the others is within its reach, whatever rounding makes of their distance.
    limit = np.square(reach) + 1e-12
    pieces = (rows[begin : begin + PIECE] for begin in range(0, len(rows), PIECE))
    inside = sum(int((euclidean_distances(piece, among, squared=True) <= limit).any(1).sum()) for piece in pieces)
    return inside / len(rows)


def _matrices(one: Any, other: Any, least: int) -> tuple[np.ndarray, np.ndarray]:
    one, other = (np.asarray(rows, dtype=np.float64) for rows in (one, other))
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1] or min(len(one), len(other)) < least:
        raise ValueError(
            f"two matrices (rows, columns) of equally many columns and at least {least} rows each are compared, "
            f"got shapes {one.shape} and {other.shape}."
        )
    return one, other
