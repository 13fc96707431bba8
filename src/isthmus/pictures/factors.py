"""Pictures of disentanglement: which dimension of a code tells of which factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.pictures.style import INK, at_least, head, short, style

__all__ = ["factor_matrices"]

MOST_DIMENSIONS = 40
# Above so many cells a number in each would be too small to read.
MOST_SAID = 200


def factor_matrices(matrices: Mapping[str, np.ndarray], factors: Sequence[str], title: str = "") -> Figure:
    """Draw matrices of dimensions and factors side by side, from white for 0 to dark for 1.

    A code of well kept apart factors has one dark cell in each column, and no row with two.

    Parameters
    ----------
    matrices : mapping of str to ndarray of shape (d, k)
        A name for each matrix, such as 'information' and 'importance'; values between 0 and 1.
        Of more than 40 dimensions, those are drawn that have the largest value in the first.
    factors : sequence of str
        Names of the k factors.
    title : str
        Above the picture.
    """
    shapes = {np.shape(matrix) for matrix in matrices.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[1] != len(factors):
        raise ValueError(
            f"matrices should be of one shape (dimensions, {len(factors)}), got "
            f"{[np.shape(matrix) for matrix in matrices.values()]}."
        )
    first = next(iter(matrices.values()))
    shown = np.sort(np.argsort(-first.max(1), kind="stable")[:MOST_DIMENSIONS])
    names = [short(name) for name in factors]
    with style():
        wide = len(matrices) * max(1.6, 0.52 * len(names)) + 1.3
        tall = max(1.2, 0.26 * len(shown)) + 0.09 * max(map(len, names)) + 0.75
        figure = Figure(figsize=(at_least(wide, title), tall), layout="constrained")
        grid = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
        for axes, (name, matrix) in zip(grid, matrices.items(), strict=True):
            picture = _fill(axes, matrix[shown], name, names)
        grid[0].set_yticks(range(len(shown)), [f"z{i}" for i in shown])
        grid[0].set_ylabel("dimension of the code")
        figure.colorbar(picture, ax=grid, shrink=0.8, pad=0.02)
        head(figure, title)
    return figure


def _fill(axes: Axes, matrix: np.ndarray, name: str, factors: Sequence[str]):
    picture = axes.imshow(matrix, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(name)
    upright = max(map(len, factors)) < 4
    axes.set_xticks(range(len(factors)), factors)
    axes.tick_params(axis="x", rotation=0 if upright else 60)
    for label in axes.get_xticklabels():
        label.set(ha="center" if upright else "right", rotation_mode="default" if upright else "anchor")
    axes.tick_params(length=0)
    if matrix.size <= MOST_SAID:
        for (row, column), value in np.ndenumerate(matrix):
            if value >= 0.05:
                colour = "white" if value > 0.6 else INK
                axes.text(column, row, f"{value:.2f}".removeprefix("0"), ha="center", va="center", color=colour)
    return picture
