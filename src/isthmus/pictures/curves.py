"""Pictures of numbers: how a fit went, how scores are spread, how a table comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.pictures.style import ACROSS, INK, PALETTE, head, short, style

__all__ = ["heat_strip", "loss_curves", "score_histogram"]

MOST_NAMES = 50


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
                    axes.plot(
                        *zip(*points, strict=True), color=colour, lw=1.4, label=legend, marker="o" * (len(points) == 1)
                    )
            axes.set_xlabel("epoch")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
            _zoom(axes, history, name)
            if axes.lines:
                axes.legend()
        head(figure, title)
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
            axes.set_ylabel(f"{len(values)} row{'s' * (len(values) != 1)}")
        # Of more columns than there is room for, every second or third is named.
        places = range(0, len(names), -(-len(names) // MOST_NAMES))
        said = [short(names[place]) for place in places]
        grid[-1].set_xticks(places, said, rotation=0 if sum(map(len, said)) < 0.8 * ACROSS * wide else 90)
        figure.colorbar(shown, ax=grid, label="standard deviations", shrink=0.6, pad=0.01)
        head(figure, title)
    return figure


def score_histogram(
    scores: np.ndarray, threshold: float, anomalous: np.ndarray | None = None, title: str = "", label: str = "score"
) -> Figure:
    """Draw how scores are spread, and the threshold; higher scores are less normal.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Drawn on a logarithmic axis where none is negative and they span more than two decades.
    threshold : float
        Above it rows are called anomalies.
    anomalous : ndarray of bool, optional
        Which rows are known to be anomalies.
    title, label : str
        Above the picture, and of the horizontal axis.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"a histogram needs finite scores (n,), at least one, got {scores.shape}.")
    if anomalous is not None and np.shape(anomalous) != scores.shape:
        raise ValueError(
            f"anomalous must have a value for each of the {len(scores)} scores, got {np.shape(anomalous)}."
        )
    positive = scores[scores > 0]
    far = bool(len(positive)) and scores.min() >= 0 and positive.max() > 100 * positive.min()
    low, high = (positive.min() if far else scores.min()), max(scores.max(), threshold)
    edges = np.geomspace(low, high * 1.001, 41) if far else np.linspace(low, high + max(1e-9, 1e-6 * abs(high)), 41)
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


def _zoom(axes: Axes, history: Sequence[Mapping[str, float]], name: str) -> None:
    """Leave the first steep fall above the frame: what matters is where the curves end."""
    late, keys = history[len(history) // 10 :], (name, f"validation_{name}")
    values = [row[key] for row in late for key in keys if np.isfinite(row.get(key, np.nan))]
    if values and len(history) > 10:
        margin = 0.05 * (max(values) - min(values)) or abs(max(values)) * 0.05 or 1.0
        axes.set_ylim(min(values) - margin, max(values) + margin)
