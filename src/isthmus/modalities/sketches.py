"""What is kept of a column's fitted cells, so that later ones can be compared with them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["POINTS", "points_for", "sketch_numbers"]

POINTS = 128
# Of all columns together: model.json holds a million values.
MOST_VALUES = 200_000
# Fewer tell too little to be worth their place.
FEWEST = 8


def points_for(n_columns: int) -> int:
    """Return how many points are kept of each of so many columns; 0 for very wide tables."""
    n_points = min(POINTS, MOST_VALUES // (2 * max(1, n_columns)))
    return n_points if n_points >= FEWEST else 0


def sketch_numbers(values: np.ndarray, n_points: int = POINTS) -> dict[str, Any]:
    """Return some points of the cumulative distribution of numbers, exact at these points.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Without NaN.
    n_points : int, default=128
        At most so many points; 0 for none.

    Returns
    -------
    dict
        ``count``, how many numbers there were; ``points``, the lowest, the highest and order
        statistics evenly spread between them, each once, in ascending order; ``below``, how
        many of the numbers were at most each point.

    Examples
    --------
    >>> sketch_numbers(np.array([3.0, 1.0, 1.0, 2.0]), 3)
    {'count': 4, 'points': [1.0, 2.0, 3.0], 'below': [2, 3, 4]}
    """
    n = len(values)
    if not n or not n_points:
        return {"count": n, "points": [], "below": []}
    ordered = np.sort(values.astype(np.float64, copy=False))
    ranks = np.rint(np.linspace(0, n - 1, min(n, n_points))).astype(np.int64)
    points = np.unique(ordered[ranks])
    below = np.searchsorted(ordered, points, side="right")
    return {"count": n, "points": points.tolist(), "below": below.tolist()}
