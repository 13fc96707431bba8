"""Pictures of maps of three dimensions: the same points seen from two sides."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D  # registers the projection as well

from isthmus.pictures.maps import MOST_CLASSES
from isthmus.pictures.style import PALETTE, head, short, style

__all__ = ["scatter_space"]

SIDES = (30, 120)
REST = "#B8B8B8"


def scatter_space(points: np.ndarray, labels: Any = None, title: str = "", subtitle: str = "") -> Figure:
    """Draw a map of three dimensions from two sides a quarter turn apart, coloured by labels.

    Parameters
    ----------
    points : ndarray of shape (n, 3)
        Places.
    labels : array-like of n labels, optional
        At most 20 different ones are coloured as classes. Of more, numbers are coloured by a
        scale, and names but the first 20 are grey.
    title, subtitle : str
        Above and beneath the map.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"a map of three dimensions needs places of shape (n, 3), got {points.shape}.")
    if labels is not None and np.shape(labels) != (len(points),):
        raise ValueError(f"a map needs a label for each of its {len(points)} places, got {np.shape(labels)}.")
    with style():
        figure = Figure(figsize=(8.2, 4.2), layout="constrained")
        for i, side in enumerate(SIDES):
            axes = figure.add_subplot(1, len(SIDES), i + 1, projection="3d", elev=22, azim=side)
            _scatter(axes, points, None if labels is None else np.asarray(labels))
        handles, names = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside right center", markerscale=1.8, handletextpad=0.1)
        head(figure, title)
        figure.supxlabel(subtitle, fontsize=9)
    return figure


def _scatter(axes: Axes3D, points: np.ndarray, labels: np.ndarray | None) -> None:
    look: dict[str, Any] = {"s": 7, "linewidths": 0, "depthshade": True}
    kinds = np.unique(np.zeros(len(points)) if labels is None else labels)
    if labels is None:
        axes.scatter(*points.T, color=PALETTE[0], **look)
    elif len(kinds) > MOST_CLASSES and labels.dtype.kind in "fiu":
        axes.scatter(*points.T, c=mpl.colormaps["viridis"](mpl.colors.Normalize()(labels)), **look)
    else:
        for i, kind in enumerate(kinds[:MOST_CLASSES]):
            mark = "o" if i < len(PALETTE) else "^"
            chosen = points[labels == kind]
            axes.scatter(*chosen.T, color=PALETTE[i % len(PALETTE)], marker=mark, label=short(kind), **look)
        others = points[~np.isin(labels, kinds[:MOST_CLASSES])]
        if len(others):
            axes.scatter(*others.T, color=REST, label=f"{len(kinds) - MOST_CLASSES} others", **look)
    axes.set_box_aspect((1, 1, 1))
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
