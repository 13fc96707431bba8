"""Pictures of fits, reconstructions, maps and scores: matplotlib figures in one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from isthmus.files import atomic

__all__ = [
    "PALETTE",
    "heat_strip",
    "image_grid",
    "images_and_map",
    "loss_curves",
    "map_panel",
    "samples_grid",
    "save",
    "scatter_map",
    "score_histogram",
    "style",
]

# Okabe & Ito's colours, which the colour-blind can tell apart, and two greys for the ninth
# and tenth class.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6A3D9A",
    "#B8A800",
    "#4D4D4D",
    "#A6A6A6",
)
INK = "#222222"
FORMATS = (".png", ".svg")
MOST_CLASSES = 20
_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.labelsize": 9.0,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "white",
    "figure.dpi": 150,
    "svg.hashsalt": "isthmus",
    "svg.fonttype": "path",
}


def style():
    """Return a context in which every figure has the style of this package."""
    return mpl.rc_context(_RC)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a ``.png`` or ``.svg`` file, whole or not at all.

    Raises
    ------
    ValueError
        If the name ends in neither.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a picture is written as {' or '.join(FORMATS)}, got {path.name!r}; change the name's end.")
    with style(), atomic(path) as part:
        # Without a date, one figure is one file, bit for bit.
        undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(part, metadata=undated)
    return path


def loss_curves(history: Sequence[Mapping[str, float]], title: str = "") -> Figure:
    """Draw cost and reconstruction error per epoch, of training and held-out rows.

    Parameters
    ----------
    history : sequence of mapping
        ``AutoEncoder.history_``.
    title : str
        Above the picture.
    """
    if not history:
        raise ValueError("the history is empty: fit the model before its curves are drawn.")
    with style():
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        for axes, name, label in zip(
            figure.subplots(1, 2), ("cost", "error"), ("cost, nats per row", "squared error per row"), strict=True
        ):
            for key, legend, colour in ((name, "training", PALETTE[0]), (f"validation_{name}", "held out", PALETTE[1])):
                points = [(row["epoch"], row[key]) for row in history if key in row]
                if points:
                    axes.plot(*zip(*points, strict=True), color=colour, lw=1.4, label=legend)
            axes.set_xlabel("epoch")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            _zoom(axes, history, name)
            axes.legend()
        if title:
            figure.suptitle(title, fontweight="bold", fontsize=10)
    return figure


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
    if len(rows) != len(titles) or len({len(row) for row in rows}) != 1:
        raise ValueError(
            f"image_grid needs one title per row and rows of one length, got {len(titles)} titles "
            f"and rows of {[len(row) for row in rows]} images."
        )
    low, high = min(np.min(rows[0]), 0), max(np.max(rows[0]), 1e-12)
    with style():
        across, down = len(rows[0]), len(rows)
        tall = scale * rows[0].shape[1] / rows[0].shape[2]
        figure = Figure(figsize=(1.3 + across * scale, down * tall + (0.35 if title else 0.05)), layout=_tight())
        grid = figure.subplots(down, across, squeeze=False)
        for line, images, name in zip(grid, rows, titles, strict=True):
            for axes, image in zip(line, images, strict=True):
                _show(axes, image, low, high)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
        if title:
            figure.suptitle(title, fontweight="bold", fontsize=10)
    return figure


def images_and_map(
    rows: Sequence[np.ndarray], titles: Sequence[str], points: np.ndarray, labels: Any, title: str, subtitle: str
) -> Figure:
    """Draw rows of images, as :func:`image_grid` does, and a map beside them."""
    low, high = min(np.min(rows[0]), 0), max(np.max(rows[0]), 1e-12)
    with style():
        figure = Figure(figsize=(10.5, 3.1), layout="constrained")
        left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.9, 1)), dtype=object)
        for line, images, name in zip(left.subplots(len(rows), len(rows[0])), rows, titles, strict=True):
            for axes, image in zip(line, images, strict=True):
                _show(axes, image, low, high)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
        axes = right.subplots()
        _scatter(axes, points, labels, size=9)
        _entitle(axes, title, subtitle)
    return figure


def samples_grid(images: np.ndarray, title: str = "", across: int = 12, scale: float = 0.55) -> Figure:
    """Draw images ``(n, h, w[, c])`` in a grid, as many as fill whole lines where there are enough."""
    across = max(1, min(across, len(images)))
    images = images[: max(across, len(images) // across * across)]
    down = -(-len(images) // across)
    tall = scale * images.shape[1] / images.shape[2]
    with style():
        figure = Figure(figsize=(across * scale, down * tall + (0.35 if title else 0.05)), layout=_tight())
        low, high = min(np.min(images), 0), max(np.max(images), 1e-12)
        for axes, image in zip(figure.subplots(down, across, squeeze=False).flat, images, strict=False):
            _show(axes, image, low, high)
        if title:
            figure.suptitle(title, fontweight="bold", fontsize=10)
    return figure


def heat_strip(
    original: np.ndarray, reconstruction: np.ndarray, names: Sequence[str], title: str = "", most: int = 40
) -> Figure:
    """Draw rows of a table, their reconstruction and the difference, as three strips of colour.

    Parameters
    ----------
    original, reconstruction : ndarray of shape (n, columns)
        Standardised values; NaN is drawn in grey.
    names : sequence of str
        Names of the columns.
    title : str
        Above the picture.
    most : int
        At most so many rows are drawn, the first ones.
    """
    if original.shape != reconstruction.shape or original.shape[1] != len(names):
        raise ValueError(
            f"heat_strip needs two tables of one shape and a name per column, got {original.shape}, "
            f"{reconstruction.shape} and {len(names)} names."
        )
    original, reconstruction = original[:most], reconstruction[:most]
    strips = {"original": original, "reconstruction": reconstruction, "difference": reconstruction - original}
    wide = min(12.0, max(6.0, 0.24 * len(names)))
    each = min(2.2, max(0.5, 0.07 * len(original)))
    with style():
        figure = Figure(figsize=(wide, 3 * (each + 0.3) + 1.5), layout="constrained")
        grid = figure.subplots(3, 1, sharex=True)
        colours = mpl.colormaps["RdBu_r"].with_extremes(bad="#bbbbbb")
        for axes, (name, values) in zip(grid, strips.items(), strict=True):
            shown = axes.imshow(values, aspect="auto", cmap=colours, vmin=-3, vmax=3, interpolation="nearest")
            axes.set_title(name, loc="left")
            axes.set_yticks([])
            axes.set_ylabel(f"{len(values)} rows")
        grid[-1].set_xticks(range(len(names)), [_short(name) for name in names], rotation=90)
        figure.colorbar(shown, ax=grid, label="standard deviations", shrink=0.6, pad=0.01)
        if title:
            figure.suptitle(title, fontweight="bold", fontsize=10)
    return figure


def scatter_map(points: np.ndarray, labels: Any = None, title: str = "", subtitle: str = "") -> Figure:
    """Draw a map of two dimensions, coloured by labels, their names beside it.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Places.
    labels : array-like of n labels, optional
        At most 20 different ones are coloured as classes; numbers with more, by a scale.
    title, subtitle : str
        Above and beneath the map.
    """
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes = figure.subplots()
        _scatter(axes, points, labels, size=14)
        _entitle(axes, title, subtitle)
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
            _scatter(axes, points, labels, size=9)
            _entitle(axes, title, (subtitles or {}).get(title, ""))
        _legend(figure, grid[-1])
    return figure


def score_histogram(
    scores: np.ndarray, threshold: float, anomalous: np.ndarray | None = None, title: str = "", label: str = "score"
) -> Figure:
    """Draw how scores are spread, and the threshold; higher scores are less normal.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Not negative; drawn on a logarithmic axis where they span more than two decades.
    threshold : float
        Above it rows are called anomalies.
    anomalous : ndarray of bool, optional
        Which rows are known to be anomalies.
    title, label : str
        Above the picture, and of the horizontal axis.
    """
    scores = np.asarray(scores, dtype=np.float64)
    positive = scores[scores > 0]
    far = bool(len(positive)) and positive.max() > 100 * positive.min()
    low, high = (positive.min(), positive.max()) if far else (scores.min(), scores.max())
    high = max(high, threshold)
    edges = np.geomspace(low, high * 1.001, 41) if far else np.linspace(low, high + 1e-9, 41)
    kinds = {"rows": np.ones(len(scores), bool)}
    if anomalous is not None:
        kinds = {"normal rows": ~np.asarray(anomalous, bool), "anomalies": np.asarray(anomalous, bool)}
    with style():
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        axes = figure.subplots()
        for (name, chosen), colour in zip(kinds.items(), PALETTE, strict=False):
            axes.hist(np.clip(scores[chosen], edges[0], None), edges, color=colour, alpha=0.65, label=name)
        axes.axvline(threshold, color=INK, lw=1.2, ls="--", label="threshold")
        if far:
            axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.set_ylabel("rows")
        axes.legend()
        if title:
            axes.set_title(title, loc="left")
    return figure


def _tight() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)


def _show(axes: Axes, image: np.ndarray, low: float, high: float) -> None:
    image = np.clip((np.squeeze(image).astype(np.float64) - low) / (high - low), 0, 1)
    axes.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scatter(axes: Axes, points: np.ndarray, labels: Any, size: float) -> None:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"a map needs places of shape (n, 2), got {points.shape}.")
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, color=PALETTE[0], alpha=0.7, linewidths=0)
    else:
        labels = np.asarray(labels)
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


def _scatter_classes(axes: Axes, points: np.ndarray, labels: np.ndarray, kinds: np.ndarray, size: float) -> None:
    for i, kind in enumerate(kinds[:MOST_CLASSES]):
        chosen = labels == kind
        # Beyond ten classes the colours come round again, with another mark.
        mark = "o" if i < len(PALETTE) else "^"
        colour = PALETTE[i % len(PALETTE)]
        axes.scatter(
            points[chosen, 0],
            points[chosen, 1],
            s=size,
            color=colour,
            marker=mark,
            alpha=0.8,
            linewidths=0,
            label=_short(kind),
        )
        # The median, not the mean: a class in two pieces is named in one of them.
        x, y = np.median(points[chosen], axis=0)
        near = points[chosen][np.square(points[chosen] - (x, y)).sum(1).argmin()]
        halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
        axes.annotate(_short(kind), near, ha="center", va="center", weight="bold", path_effects=halo, color=INK)


def _entitle(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(subtitle, labelpad=6)


def _legend(figure: Figure, axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", markerscale=1.6, handletextpad=0.1)


def _zoom(axes: Axes, history: Sequence[Mapping[str, float]], name: str) -> None:
    """Leave the first steep fall above the frame: what matters is where the curves end."""
    values = [row[key] for row in history[len(history) // 10 :] for key in (name, f"validation_{name}") if key in row]
    if values and len(history) > 10:
        margin = 0.05 * (max(values) - min(values)) or abs(max(values)) * 0.05 or 1.0
        axes.set_ylim(min(values) - margin, max(values) + margin)


def _short(name: Any) -> str:
    text = str(name)
    return text if len(text) <= 24 else text[:23] + "…"
