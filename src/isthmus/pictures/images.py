"""Pictures of images: grids, with names, and beside a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from isthmus.pictures.maps import entitle, scatter
from isthmus.pictures.style import at_least, head, style

__all__ = ["image_grid", "images_and_map", "samples_grid", "show", "tight", "value_range"]


def image_grid(rows: Sequence[np.ndarray], titles: Sequence[str], title: str = "", scale: float = 0.7) -> Figure:
    """Draw rows of images under each other, such as originals above their reconstructions.

    Parameters
    ----------
    rows : sequence of ndarray
        Each ``(n, h, w)`` or ``(n, h, w, c)``, of one length.
    titles : sequence of str
        A name for each row, at its left.
    title : str
        Above the picture.
    scale : float
        Inches per image.
    """
    _check_grid(rows, titles)
    with style():
        across, down = len(rows[0]), len(rows)
        tall = scale * rows[0].shape[1] / rows[0].shape[2]
        figure = Figure(
            figsize=(at_least(1.3 + across * scale, title), down * tall + (0.35 if title else 0.05)), layout=tight()
        )
        _fill(figure, rows, titles)
        head(figure, title)
    return figure


def images_and_map(
    rows: Sequence[np.ndarray], titles: Sequence[str], points: np.ndarray, labels: Any, title: str, subtitle: str
) -> Figure:
    """Draw rows of images, as :func:`image_grid` does, and a map beside them."""
    _check_grid(rows, titles)
    with style():
        figure = Figure(figsize=(10.5, 3.1), layout="constrained")
        left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.9, 1)), dtype=object)
        _fill(left, rows, titles)
        axes = right.subplots()
        scatter(axes, points, labels, size=9)
        entitle(axes, title, subtitle, 3.4)
    return figure


def samples_grid(images: np.ndarray, title: str = "", across: int = 12, scale: float = 0.55) -> Figure:
    """Draw images ``(n, h, w[, c])`` in a grid, as many as fill whole lines where there are enough."""
    _check_grid([images], [title])
    across = max(1, min(across, len(images)))
    images = images[: max(across, len(images) // across * across)]
    down = -(-len(images) // across)
    tall = scale * images.shape[1] / images.shape[2]
    with style():
        figure = Figure(
            figsize=(at_least(across * scale, title), down * tall + (0.35 if title else 0.05)), layout=tight()
        )
        low, high = value_range(images)
        for axes, image in zip(figure.subplots(down, across, squeeze=False).flat, images, strict=False):
            show(axes, image, low, high)
        head(figure, title)
    return figure


def tight() -> ConstrainedLayoutEngine:
    """Return a layout with little room between images."""
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)


def _check_grid(rows: Sequence[np.ndarray], titles: Sequence[str]) -> None:
    if len(rows) != len(titles) or len({len(row) for row in rows}) != 1 or not len(rows[0]):
        raise ValueError(
            f"a grid of images needs one title per row and rows of one length, got {len(titles)} titles "
            f"and rows of {[len(row) for row in rows]} images."
        )
    for shape in {np.shape(row) for row in rows}:
        if len(shape) != 3 and (len(shape) != 4 or shape[3] not in (1, 3)):
            raise ValueError(f"images are (n, h, w), grey, or (n, h, w, 1 or 3), got {shape}.")


def _fill(figure: Any, rows: Sequence[np.ndarray], titles: Sequence[str]) -> None:
    """Draw the images of each row beside its name; all in the range of the first row."""
    low, high = value_range(rows[0])
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, images, name in zip(grid, rows, titles, strict=True):
        for axes, image in zip(line, images, strict=True):
            show(axes, image, low, high)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)


def value_range(images: np.ndarray) -> tuple[float, float]:
    """Return the values to draw as white and black: zero and the largest, or less than zero if there is."""
    finite = np.asarray(images)[np.isfinite(images)]
    return min(np.min(finite, initial=0), 0), max(np.max(finite, initial=0), 1e-12)


def show(axes: Axes, image: np.ndarray, low: float, high: float) -> None:
    """Draw one image into axes without ticks or frame."""
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    image = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    axes.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
