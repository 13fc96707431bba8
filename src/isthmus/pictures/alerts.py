"""Pictures of alerts: where they lie among scores and among rows, and how many of them are right."""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from isthmus.pictures.style import INK, PALETTE, style

__all__ = ["alert_map", "precision_recall", "score_distribution"]

GREY = "#B8B8B8"
BINS = 60
# As far as the axis is linear, in units of the distance from the middle row to the threshold.
LINEAR = 2.0
NUMBERED = 10
# Numbers nearer to each other than this share of the map would hide one another.
APART = 0.05


def score_distribution(
    held_out: np.ndarray, severity: np.ndarray, anomalous: np.ndarray | None = None, cut: float = 1.0, title: str = ""
) -> Figure:
    """Draw how far from the middle held-out row scores lie, and from where on rows are alerts.

    Parameters
    ----------
    held_out, severity : ndarray of shape (m,) and (n,)
        Distances of held-out rows and of the rows judged, in units of the threshold's:
        0 is the middle held-out row, 1 the threshold of the false-alarm rate.
    anomalous : ndarray of bool, shape (n,), optional
        Which of the rows are known to be anomalies.
    cut : float, default=1
        Where the alerts begin. The axis is linear up to 2, and logarithmic beyond.
    title : str
        Above the picture.
    """
    held_out, severity = np.asarray(held_out, np.float64), np.asarray(severity, np.float64)
    if not len(held_out) or not len(severity) or not (np.isfinite(held_out).all() and np.isfinite(severity).all()):
        raise ValueError(f"distances must be finite, of a row at least, got {held_out.shape} and {severity.shape}.")
    kinds = {"held out": held_out, "rows judged": severity}
    if anomalous is not None:
        if np.shape(anomalous) != severity.shape:
            raise ValueError(
                f"anomalous must have a value for each of {len(severity)} rows, got {np.shape(anomalous)}."
            )
        kinds = {"held out": held_out, "normal rows": severity[~anomalous], "anomalies": severity[anomalous]}
    both = np.concatenate([held_out, severity])
    edges = _bent_back(np.linspace(_bent(both.min()), _bent(max(both.max(), 1.2 * cut)) + 1e-9, BINS + 1))
    with style():
        figure = Figure(figsize=(7.0, 2.9), layout="constrained")
        axes = figure.subplots()
        colours = (GREY, PALETTE[0], PALETTE[1])
        for (name, values), colour in zip(kinds.items(), colours, strict=False):
            if not len(values):
                continue
            share = np.histogram(values, edges)[0] / len(values)
            filled = name == "held out"
            axes.stairs(
                share,
                edges,
                color=colour,
                fill=filled,
                alpha=0.6 if filled else 1.0,
                lw=1.4,
                label=_counted(name, values),
            )
        axes.axvline(cut, color=INK, lw=1.2, ls="--", label="alerts begin")
        axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.0)
        axes.set_yscale("log")
        axes.set_xlim(edges[0], edges[-1])
        # Whole numbers where the axis is linear, and 1, 2, 5 of each power of ten beyond.
        axes.xaxis.set_major_locator(FixedLocator(_ticks(edges[0], edges[-1])))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.set_xlabel("severity: 0 is the middle held-out row, 1 the threshold of the false-alarm rate")
        axes.set_ylabel("share of the rows")
        figure.legend(loc="outside upper center", ncols=4)
        if title:
            axes.set_title(title, loc="left")
    return figure


def precision_recall(
    scores: np.ndarray, anomalous: np.ndarray, alert: np.ndarray | None = None, title: str = ""
) -> Figure:
    """Draw which share of the alerts is right against which share of the anomalies is found.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Higher is more normal.
    anomalous : ndarray of bool, shape (n,)
        Which rows are anomalies; some, and not all.
    alert : ndarray of bool, shape (n,), optional
        Which are alerts by the rule in use: marked as a point.
    title : str
        Above the picture.
    """
    scores, anomalous = np.asarray(scores), np.asarray(anomalous, bool)
    if scores.shape != anomalous.shape or anomalous.all() or not anomalous.any():
        raise ValueError(
            f"precision and recall need scores and truth of the same rows, of both kinds; got {scores.shape}, "
            f"{anomalous.shape} with {anomalous.sum()} anomalies."
        )
    order = np.argsort(scores, kind="stable")
    # A curve has a point for each score, not for each row: equal scores are alerts together.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(anomalous[order])[ends]
    precision, recall = true / (ends + 1), true / anomalous.sum()
    with style():
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.step(np.append(0, recall), np.append(precision[0], precision), where="post", color=PALETTE[0], lw=1.6)
        share = float(anomalous.mean())
        axes.axhline(share, color=GREY, lw=1.0, ls=":", label=f"by chance ({100 * share:.2g} %)")
        if alert is not None and alert.any():
            right = float((alert & anomalous).sum())
            point = (right / anomalous.sum(), right / alert.sum())
            axes.plot(*point, "o", color=PALETTE[1], ms=7, label=f"the {int(alert.sum()):,} alerts", zorder=3)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
        axes.set_xlabel("anomalies found")
        axes.set_ylabel("alerts that are right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        figure.legend(loc="outside upper center", ncols=2)
        if title:
            axes.set_title(title, loc="left")
    return figure


def alert_map(points: np.ndarray, alert: np.ndarray, order: np.ndarray, title: str = "", subtitle: str = "") -> Figure:
    """Draw rows on a map of two dimensions, the alerts marked and the first ten numbered.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Places.
    alert : ndarray of bool, shape (n,)
        Which rows are alerts.
    order : ndarray of int
        Positions of the alerts, the least normal first: the numbers.
    title, subtitle : str
        Above and beneath.

    Notes
    -----
    The frame is set by the rows that are no alerts; alerts beyond it are triangles at its edge.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or np.shape(alert) != (len(points),):
        raise ValueError(f"a map needs places (n, 2) and which are alerts, got {points.shape} and {np.shape(alert)}.")
    low, high = _frame(points, points if alert.all() else points[~alert])
    inside = np.clip(points, low, high)
    beyond = alert & (inside != points).any(1)
    with style():
        figure = Figure(figsize=(5.6, 4.4), layout="constrained")
        axes = figure.subplots()
        for chosen, mark, name, colour, size in (
            (~alert, "o", "other rows", GREY, 8),
            (alert & ~beyond, "o", "alerts", PALETTE[1], 20),
            (beyond, "^", "alerts beyond the frame", PALETTE[1], 34),
        ):
            if chosen.any():
                axes.scatter(
                    inside[chosen, 0],
                    inside[chosen, 1],
                    s=size,
                    marker=mark,
                    color=colour,
                    linewidths=0,
                    label=name,
                    alpha=0.8,
                )
        _number(axes, inside, order[:NUMBERED], high - low)
        margin = 0.04 * (high - low)
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
        axes.set(xticks=[], yticks=[], xlabel=subtitle)
        axes.spines[["left", "bottom"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=3)
        if title:
            axes.set_title(title, loc="left")
    return figure


def _number(axes: Axes, points: np.ndarray, order: np.ndarray, size: np.ndarray) -> None:
    """Write at points their place in the order; at those that lie together, all their places at once."""
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    groups: list[tuple[np.ndarray, list[int]]] = []
    for rank, row in enumerate(order.tolist(), 1):
        near = [ranks for place, ranks in groups if (np.abs(points[row] - place) / size).max() < APART]
        if near:
            near[0].append(rank)
        else:
            groups.append((points[row], [rank]))
    for place, ranks in groups:
        said = str(ranks[0]) if len(ranks) == 1 else ", ".join(_runs(ranks))
        where = {"xytext": (5, 4), "textcoords": "offset points"}
        axes.annotate(said, (place[0], place[1]), color=INK, fontsize=8, path_effects=halo, **where)


def _runs(ranks: list[int]) -> list[str]:
    """Return ascending numbers in words: [1, 2, 3, 7] as 1-3 and 7."""
    begins = [rank for rank in ranks if rank - 1 not in ranks]
    ends = [rank for rank in ranks if rank + 1 not in ranks]
    return [str(one) if one == other else f"{one}-{other}" for one, other in zip(begins, ends, strict=True)]


def _frame(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return corners that hold nearly all of the others with room around them, and no more than all points."""
    low, high = np.quantile(others, [0.005, 0.995], axis=0)
    room = 0.35 * np.where(high > low, high - low, 1.0)
    low, high = np.maximum(low - room, points.min(0)), np.minimum(high + room, points.max(0))
    return low, np.where(high > low, high, low + 1.0)


def _bent(values: np.ndarray) -> np.ndarray:
    """Return values on the axis: linear up to LINEAR, logarithmic beyond."""
    far = np.maximum(np.abs(values), LINEAR)
    return np.sign(values) * np.where(np.abs(values) <= LINEAR, np.abs(values), LINEAR * (1 + np.log(far / LINEAR)))


def _bent_back(values: np.ndarray) -> np.ndarray:
    beyond = np.maximum(np.abs(values), LINEAR)
    return np.sign(values) * np.where(np.abs(values) <= LINEAR, np.abs(values), LINEAR * np.exp(beyond / LINEAR - 1))


def _ticks(low: float, high: float) -> list[float]:
    """Return where the axis has numbers: at whole ones up to LINEAR, then at 5, 10, 20, 50, or powers of ten alone."""
    reach = max(abs(low), abs(high))
    steps = (1, 2, 5) if reach < 1e3 else (1,)
    far = [step * 10.0**power for power in range(int(np.log10(max(reach, 1))) + 1) for step in steps]
    beyond = [tick for tick in far if tick > LINEAR]
    near = np.arange(-LINEAR, LINEAR + 1)
    return [tick for tick in (*(-np.array(beyond[::-1])), *near, *beyond) if low <= tick <= high]


def _counted(name: str, values: np.ndarray) -> str:
    return f"{name} ({len(values):,})"
