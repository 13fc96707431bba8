"""Pictures of searches: each row asked about, and beside it those that are most like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from isthmus.pictures.images import show, tight, value_range
from isthmus.pictures.style import INK, at_least, head, short, style

__all__ = ["similar_strip"]


def similar_strip(
    queries: np.ndarray,
    found: np.ndarray,
    captions: Sequence[Sequence[str]] = (),
    titles: Sequence[str] = (),
    title: str = "",
    scale: float = 0.75,
) -> Figure:
    """Draw each image asked about in a frame, and the images found at its right, nearest first.

    Parameters
    ----------
    queries : ndarray of shape (m, h, w) or (m, h, w, c)
        The images asked about.
    found : ndarray of shape (m, k, h, w) or (m, k, h, w, c)
        What was found for each.
    captions : sequence of m sequences of k str, optional
        What stands beneath each image found.
    titles : sequence of m str, optional
        A name for each image asked about, at its left.
    title : str
        Above the picture.
    scale : float
        Inches per image.
    """
    queries, found = np.asarray(queries), np.asarray(found)
    _check(queries, found, captions, titles)
    m, k = found.shape[:2]
    side = scale * queries.shape[1] / queries.shape[2]
    down = m * (side + (0.2 if len(captions) else 0.0)) + (0.35 if title else 0.05)
    across = scale * (k + 1.3) + (1.3 if len(titles) else 0.0)
    with style():
        figure = Figure(figsize=(at_least(across, title), down), layout=tight())
        low, high = value_range(queries)
        grid = figure.subplots(m, k + 2, squeeze=False, width_ratios=[1, 0.2, *[1] * k])
        for i, line in enumerate(grid):
            show(line[0], queries[i], low, high)
            for spine in line[0].spines.values():
                spine.set(visible=True, color=INK, linewidth=1.2)
            line[1].set_axis_off()
            for j, axes in enumerate(line[2:]):
                show(axes, found[i, j], low, high)
                if len(captions):
                    axes.set_xlabel(short(captions[i][j]), fontsize=6, labelpad=1)
            if len(titles):
                line[0].set_ylabel(short(titles[i]), rotation=0, ha="right", va="center", labelpad=6)
        head(figure, title)
    return figure


def _check(queries: np.ndarray, found: np.ndarray, captions: Sequence[Sequence[str]], titles: Sequence[str]) -> None:
    colour = queries.ndim == 4 and queries.shape[3] in (1, 3)
    if (queries.ndim != 3 and not colour) or not len(queries):
        raise ValueError(f"images are (n, h, w), grey, or (n, h, w, 1 or 3), at least one, got {queries.shape}.")
    if found.ndim != queries.ndim + 1 or found.shape[:1] + found.shape[2:] != queries.shape or not found.shape[1]:
        raise ValueError(f"found must hold images like the {len(queries)} queries for each, got {found.shape}.")
    given = [len(some) for some in captions]
    if (given and given != [found.shape[1]] * len(found)) or len(titles) not in (0, len(queries)):
        raise ValueError(
            f"a strip needs a caption for each of {found.shape[:2]} images and a title for each row, "
            f"got {given} captions and {len(titles)} titles."
        )
