"""Pictures of a feature then and now: how numbers are spread, how often each category is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from isthmus.pictures.style import INK, PALETTE, head, short, style

__all__ = ["shift_of_categories", "shift_of_numbers"]

BINS = 36
# So few different points are values of their own, such as whole numbers: bars, and a curve that leaps.
FEW = 40
# Of the cells, on each side, that a picture may leave out so that the others are seen.
TAIL = 0.01
MOST_CATEGORIES = 12
FITTED, NOW = PALETTE[0], PALETTE[1]


def shift_of_numbers(
    points: np.ndarray, fitted: np.ndarray, now: np.ndarray, reach: tuple[float, float], title: str = ""
) -> Figure:
    """Draw how numbers were spread and are now: the share in each bin, and the cumulative shares.

    Parameters
    ----------
    points : ndarray of shape (p,)
        Ascending.
    fitted, now : ndarray of int, shape (p + 2,)
        Counts below the first point, at it, from there to the second, and so on, and above
        the last. Between two points numbers are drawn as if spread evenly.
    reach : tuple of float
        The lowest and the highest number now.
    title : str
        Above the picture.

    Raises
    ------
    ValueError
        If the counts are not as many as said, or one of them has no number.
    """
    if not len(points) or fitted.shape != (len(points) + 2,) or now.shape != fitted.shape:
        raise ValueError(f"p points need p + 2 counts, got {len(points)} and {fitted.shape}, {now.shape}.")
    if not fitted.sum() or not now.sum():
        raise ValueError("both then and now need at least one number.")
    places, curves = _curves(points, fitted, now, reach)
    edges, is_log = _edges(places, curves) if len(points) > FEW else (_between(points, places), False)
    # Of uneven bins the area is the share; even ones are as wide as each other on their axis.
    widths = np.ones(len(edges) - 1) if len(points) > FEW else np.diff(edges) / np.median(np.diff(edges))
    with style():
        figure = Figure(figsize=(7.0, 2.4), layout="constrained")
        axes = figure.subplots(1, 2)
        for curve, colour, label in zip(curves, (FITTED, NOW), ("fitted", "now"), strict=True):
            shares = np.diff(np.interp(edges, places, curve)) / widths
            axes[0].stairs(shares, edges, fill=True, color=colour, alpha=0.35)
            axes[0].stairs(shares, edges, color=colour, lw=1.2, label=label)
            axes[1].plot(places, curve, color=colour, lw=1.4, label=label)
        axes[1].set_xlim(edges[0], edges[-1])
        axes[0].set_ylabel("share of rows")
        axes[1].set_ylabel("share at most so")
        for one in axes:
            one.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
            if is_log:
                one.set_xscale("log")
        axes[0].legend()
        head(figure, title)
    return figure


def shift_of_categories(names: Sequence[str], fitted: np.ndarray, now: np.ndarray, title: str = "") -> Figure:
    """Draw how often categories were seen and are now; of many, those whose shares differ most.

    Parameters
    ----------
    names : sequence of str
        The categories.
    fitted, now : ndarray of int, shape (categories,)
        How often each was seen.
    title : str
        Above the picture.
    """
    if not len(names) == len(fitted) == len(now):
        raise ValueError(f"each category needs two counts, got {len(names)}, {len(fitted)} and {len(now)}.")
    shares = np.stack([counts / max(1, counts.sum()) for counts in (fitted, now)])
    chosen = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:MOST_CATEGORIES]
    chosen = chosen[np.argsort(-shares[:, chosen].max(0), kind="stable")]
    with style():
        figure = Figure(figsize=(7.0, 0.9 + 0.34 * len(chosen)), layout="constrained")
        axes: Axes = figure.subplots()
        rows = np.arange(len(chosen))
        for share, colour, label, up in zip(shares, (FITTED, NOW), ("fitted", "now"), (-0.2, 0.2), strict=True):
            axes.barh(rows + up, share[chosen], 0.38, color=colour, label=label)
        axes.set_yticks(rows, [short(names[i]) for i in chosen])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("share of rows")
        axes.tick_params(axis="y", length=0)
        axes.legend()
        if len(names) > len(chosen):
            axes.annotate(f"{len(names) - len(chosen)} more", (1, 0), (0, 4), "axes fraction",
                          "offset points", ha="right", color=INK, fontsize=8)  # fmt: skip
        head(figure, title)
    return figure


def _curves(
    points: np.ndarray, fitted: np.ndarray, now: np.ndarray, reach: tuple[float, float]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return places in ascending order, and the cumulative shares there, of both."""
    spread = points[-1] - points[0] or abs(float(points[0])) or 1.0
    low = min(reach[0], points[0]) - 1e-6 * spread
    high = max(reach[1], points[-1]) + 1e-6 * spread
    # At the lowest point the curve leaps: below it nothing was fitted. So it does at each of a few values.
    leaps = points if len(points) <= FEW else points[:1]
    places = np.concatenate([[low], leaps - 5e-7 * spread, points, [high]])
    order = np.argsort(places, kind="stable")
    found = []
    for counts in (fitted, now):
        curve = counts.cumsum() / counts.sum()
        found.append(np.concatenate([[0.0], curve[: len(leaps)], curve[1:-1], [1.0]])[order])
    return places[order], (found[0], found[1])


def _between(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return edges half-way between a few values."""
    edges = (points[1:] + points[:-1]) / 2
    side = edges[0] - points[0] if len(edges) else 0.5 * (abs(float(points[0])) or 1.0)
    ends = min(points[0] - side, places[0]), max(points[-1] + side, places[-1])
    return np.concatenate([[ends[0]], edges, [ends[1]]])


def _edges(places: np.ndarray, curves: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, bool]:
    """Return edges of bins that hold nearly all of both, and whether they are even on a logarithmic axis."""
    ends = [np.interp((TAIL, 1 - TAIL), *_rising(curve, places)) for curve in curves]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if not high > low:
        low, high = float(places[0]), float(places[-1])
    is_log = bool(low > 0 and high > 100 * low)
    return (np.geomspace if is_log else np.linspace)(low, high, BINS + 1), is_log


def _rising(curve: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a curve at which it rises, which its inverse is read from."""
    rises = np.append(True, np.diff(curve) > 0)
    return curve[rises], places[rises]
