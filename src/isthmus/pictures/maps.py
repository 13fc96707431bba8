"""Pictures of maps: rows as points, coloured by what is known of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.pictures.style import ACROSS, INK, PALETTE, TITLE_ACROSS, short, style

__all__ = ["entitle", "map_panel", "scatter", "scatter_map"]

MOST_CLASSES = 20


def scatter_map(points: np.ndarray, labels: Any = None, title: str = "", subtitle: str = "") -> Figure:
    """Draw a map of two dimensions, coloured by labels, their names beside it.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Places.
    labels : array-like of n labels, optional
        At most 20 different ones are coloured as classes. Of more, numbers are coloured by a
        scale, and names but the first 20 are grey.
    title, subtitle : str
        Above and beneath the map.
    """
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes = figure.subplots()
        scatter(axes, points, labels, size=14)
        entitle(axes, title, subtitle, 4.2)
        _legend(figure, axes)
    return figure


def map_panel(maps: Mapping[str, np.ndarray], labels: Any = None, subtitles: Mapping[str, str] | None = None) -> Figure:
    """Draw several maps of the same rows side by side, with figures beneath each.

    Parameters
    ----------
    maps : mapping of str to ndarray of shape (n, 2)
        Title, then places.
    labels : array-like of n labels, optional
        As for :func:`scatter_map`.
    subtitles : mapping of str to str, optional
        For each title, what stands beneath.
    """
    with style():
        figure = Figure(figsize=(3.1 * len(maps) + 0.5, 3.4), layout="constrained")
        grid = figure.subplots(1, len(maps), squeeze=False)[0]
        for axes, (title, points) in zip(grid, maps.items(), strict=True):
            scatter(axes, points, labels, size=9)
            entitle(axes, title, (subtitles or {}).get(title, ""), 2.8)
        _legend(figure, grid[-1])
    return figure


def scatter(axes: Axes, points: np.ndarray, labels: Any, size: float) -> None:
    """Draw the points of a map into axes without ticks."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"a map needs places of shape (n, 2), got {points.shape}.")
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, color=PALETTE[0], alpha=0.7, linewidths=0)
    else:
        labels = np.asarray(labels)
        if labels.shape != (len(points),):
            raise ValueError(f"a map needs a label for each of its {len(points)} places, got {labels.shape}.")
        kinds = np.unique(labels)
        if len(kinds) > MOST_CLASSES and labels.dtype.kind in "fiu":
            shown = axes.scatter(points[:, 0], points[:, 1], s=size, c=labels, cmap="viridis", alpha=0.8, linewidths=0)
            axes.figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.02)
        else:
            _scatter_classes(axes, points, labels, kinds, size)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def entitle(axes: Axes, title: str, subtitle: str, wide: float) -> None:
    """Write a title above and a line beneath, broken to lines of so many inches."""
    axes.set_title(textwrap.fill(title, int(TITLE_ACROSS * wide)))
    axes.set_xlabel(textwrap.fill(subtitle, int(ACROSS * wide)), labelpad=6)


def _scatter_classes(axes: Axes, points: np.ndarray, labels: np.ndarray, kinds: np.ndarray, size: float) -> None:
    shown = kinds[:MOST_CLASSES]
    # Names on the map as well, where they are few and short enough not to hide it.
    on_map = 1 < len(kinds) <= len(PALETTE) and max(len(str(kind)) for kind in kinds) <= 14
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    for i, kind in enumerate(shown):
        chosen = labels == kind
        # Beyond ten classes the colours come round again, with another mark.
        mark = "o" if i < len(PALETTE) else "^"
        x, y, colour = points[chosen, 0], points[chosen, 1], PALETTE[i % len(PALETTE)]
        axes.scatter(x, y, s=size, color=colour, marker=mark, alpha=0.8, linewidths=0, label=short(kind))
        if on_map:
            # The median, not the mean: a class in two pieces is named in one of them.
            middle = np.median(points[chosen], axis=0)
            near = points[chosen][np.square(points[chosen] - middle).sum(1).argmin()]
            axes.annotate(str(kind), near, ha="center", va="center", weight="bold", path_effects=halo, color=INK)
    others = ~np.isin(labels, shown)
    if others.any():
        x, y, name = points[others, 0], points[others, 1], f"{len(kinds) - len(shown)} others"
        axes.scatter(x, y, s=size, color="#B8B8B8", marker="x", linewidths=0.6, label=name, zorder=0.5)


def _legend(figure: Figure, axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", markerscale=1.6, handletextpad=0.1)
