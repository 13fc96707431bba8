"""Pictures of series: the given ones, and on top of them what came back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isthmus.pictures.style import PALETTE, at_least, head, short, style

__all__ = ["series_pairs"]

GIVEN = "#A6A6A6"
# Of more channels the lines could not be told apart.
MOST_CHANNELS = 3
MARKED_STEPS = 12


def series_pairs(
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    titles: Sequence[str],
    what: str = "reconstructed",
    title: str = "",
    across: int = 4,
) -> Figure:
    """Draw series, each with what became of it, in a panel of its own.

    Parameters
    ----------
    before, after : sequence of ndarray
        Series ``(t,)`` or ``(t, channels)``, in pairs of one shape; NaN is not drawn. Of many
        channels the first three are drawn.
    titles : sequence of str
        A name for each pair.
    what : str
        What became of them.
    title : str
        Above the picture.
    across : int
        Panels in a line.
    """
    pairs = [(_steps(one), _steps(other)) for one, other in zip(before, after, strict=True)]
    if not pairs or len(titles) != len(pairs) or any(one.shape != other.shape for one, other in pairs):
        raise ValueError(
            f"series_pairs needs pairs of series of one shape, at least one, and a name for each; got {len(titles)} "
            f"names and shapes {[(one.shape, other.shape) for one, other in pairs][:3]}."
        )
    across = min(across, len(pairs))
    down = -(-len(pairs) // across)
    with style():
        wide, tall = at_least(max(4.0, 2.3 * across), title), 1.35 * down + 0.45 + (0.3 if title else 0)
        figure = Figure(figsize=(wide, tall), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes, pair, name in zip(grid.flat, pairs, titles, strict=False):
            _draw(axes, *pair)
            axes.set_title(short(name), loc="left", fontweight="normal", fontsize=8)
        for axes in grid.flat[len(pairs) :]:
            axes.set_axis_off()
        _say(figure, min(MOST_CHANNELS, max(one.shape[1] for one, _ in pairs)), what)
        head(figure, title)
    return figure


def _draw(axes: Axes, before: np.ndarray, after: np.ndarray) -> None:
    for channel in range(min(MOST_CHANNELS, before.shape[1])):
        # A step between two missing ones has no line: a point shows it.
        marker = "." if len(before) <= MARKED_STEPS or np.isnan(before[:, channel]).any() else ""
        axes.plot(before[:, channel], color=GIVEN, linewidth=2.2, marker=marker, markersize=4)
        axes.plot(after[:, channel], color=PALETTE[channel], linewidth=1.0)
    axes.margins(x=0.02)
    axes.locator_params(axis="both", nbins=4)


def _say(figure: Figure, channels: int, what: str) -> None:
    """Name the lines once, under all panels."""
    lines = [Line2D([], [], color=GIVEN, linewidth=2.2)]
    lines += [Line2D([], [], color=PALETTE[channel], linewidth=1.0) for channel in range(channels)]
    names = [f"{what}, channel {channel}" for channel in range(channels)] if channels > 1 else [what]
    figure.legend(lines, ["given", *names], loc="outside lower center", ncols=len(lines))


def _steps(series: np.ndarray) -> np.ndarray:
    array = np.asarray(series, np.float64)
    if array.ndim not in (1, 2) or not len(array):
        raise ValueError(f"a series is (t,) or (t, channels), with a step at least, got {array.shape}.")
    return array.reshape(len(array), -1)
