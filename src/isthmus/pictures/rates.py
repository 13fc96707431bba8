"""Pictures of codecs: what quality costs, and what is left of an image in files of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isthmus.pictures.style import INK, PALETTE, TITLE_ACROSS, head, style

__all__ = ["crops", "detail", "rate_distortion"]

# How far the axes go beyond the first curve: of the rate by a factor, of the quality by a share of its range.
BEYOND = 1.25
ROOM = 0.06
MARKS = "osD^vP*X"
# A crop's pixels are drawn as squares of whole pixels; all in inches at the style's resolution.
RESOLUTION = 150
WIDE, MOST_ENLARGED = 300, 8
GAP, UNDER, ABOVE = 0.06, 0.36, 0.24


def rate_distortion(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str = "",
    rate: str = "bits per pixel",
    quality: str = "PSNR, dB",
) -> Figure:
    """Draw the quality of several methods against their rate, on a logarithmic axis.

    Equal distances from left to right are equal shares of the bits: what a BD-rate averages.

    Parameters
    ----------
    curves : mapping of str to (rates, qualities)
        Of each method, in any order; the first is set off, and the axes reach a little farther than it does.
    title : str
        Above the picture.
    rate, quality : str
        Names of the axes.
    """
    sorted_by_rate = {name: _in_order(name, *curve) for name, curve in curves.items()}
    if not sorted_by_rate:
        raise ValueError("a picture of rates needs the curve of a method at least.")
    ours = next(iter(sorted_by_rate.values()))
    with style():
        figure = Figure(figsize=(5.6, 3.9), layout="constrained")
        axes = figure.subplots()
        for place, (name, (rates, qualities)) in enumerate(sorted_by_rate.items()):
            first = place == 0
            axes.plot(
                rates,
                qualities,
                color=PALETTE[place % len(PALETTE)],
                marker=MARKS[place % len(MARKS)],
                lw=2.0 if first else 1.2,
                ms=4.5 if first else 3.5,
                zorder=3 if first else 2,
                label=name,
            )
        axes.set_xscale("log")
        low, high = ours[1].min(), ours[1].max()
        margin = ROOM * (high - low) or 1.0
        axes.set_xlim(ours[0].min() / BEYOND, ours[0].max() * BEYOND)
        axes.set_ylim(low - margin, high + margin)
        _number(axes)
        axes.set_xlabel(rate)
        axes.set_ylabel(quality)
        axes.grid(which="major", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower right")
        head(figure, title)
    return figure


def detail(image: np.ndarray, side: int) -> tuple[slice, slice]:
    """Return the square of an image with most detail everywhere: where roots of gradients are largest on average.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, c)
        Nothing else is looked at, so that no codec is favoured.
    side : int
        In pixels; of smaller images all is taken.
    """
    grey = np.asarray(image, np.float64).reshape(*image.shape[:2], -1).mean(axis=2)
    high, wide = min(side, grey.shape[0]), min(side, grey.shape[1])
    down, across = (np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else 0 * grey for axis in (0, 1))
    # The root: one hard edge is less to see than texture all over.
    found = np.pad(np.hypot(down, across) ** 0.5, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = found[high:, wide:] - found[:-high, wide:] - found[high:, :-wide] + found[:-high, :-wide]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return slice(int(top), int(top) + high), slice(int(left), int(left) + wide)


def crops(
    rows: Sequence[Sequence[np.ndarray]],
    methods: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str = "",
    side: int = 128,
) -> Figure:
    """Draw the same crop of an image as several methods give it back, a row for each image.

    Parameters
    ----------
    rows : sequence of sequence of ndarray of uint8
        For each image, the original and what each method made of it: ``(h, w)`` or ``(h, w, 3)``.
    methods : sequence of str
        Names above the columns, the original's too.
    captions : sequence of sequence of str
        What stands under each crop.
    title : str
        Above the picture.
    side : int, default=128
        Of the crops, in pixels, where :func:`detail` finds most of it. Each pixel is drawn as a square.
    """
    _check_crops(rows, methods, captions)
    cut = [[image[place] for image in row] for row in rows for place in [detail(row[0], side)]]
    shapes = np.array([row[0].shape[:2] for row in cut])
    each = min(MOST_ENLARGED, max(1, WIDE // int(shapes.max())))
    tall, wide = shapes[:, 0] * each / RESOLUTION, float(shapes[:, 1].max()) * each / RESOLUTION
    above = ABOVE + (0.3 if title else 0)
    across = max(len(methods) * (wide + GAP) + GAP, len(title) / TITLE_ACROSS)
    down = above + float(tall.sum()) + len(cut) * UNDER - GAP
    with style():
        figure = Figure(figsize=(across, down), dpi=RESOLUTION)
        top = above
        for row, said, height, (_, columns) in zip(cut, captions, tall, shapes, strict=True):
            for place, (image, caption) in enumerate(zip(row, said, strict=True)):
                left, width = GAP + place * (wide + GAP), columns * each / RESOLUTION
                box = (left / across, 1 - (top + height) / down, width / across, height / down)
                _draw(figure, box, image, caption)
            top += height + UNDER
        for place, name in enumerate(methods):
            middle = (GAP + place * (wide + GAP) + wide / 2) / across
            figure.text(middle, 1 - (above - 0.06) / down, name, ha="center", va="bottom", fontweight="bold")
        if title:
            figure.text(0.5, 1 - 0.08 / down, title, ha="center", va="top", fontweight="bold", fontsize=10)
    return figure


def _draw(figure: Figure, box: tuple[float, float, float, float], image: np.ndarray, caption: str) -> None:
    axes = figure.add_axes(box)
    axes.imshow(image if image.ndim == 3 else np.dstack([image] * 3), interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(caption, fontsize=8, labelpad=3, color=INK)


def _in_order(name: str, rates: np.ndarray, qualities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rates, qualities = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    if rates.shape != qualities.shape or rates.ndim != 1 or not len(rates) or not (rates > 0).all():
        raise ValueError(f"{name}: rates must be positive, with a quality each; got {rates.shape}, {qualities.shape}.")
    order = np.argsort(rates)
    return rates[order], qualities[order]


def _number(axes: Axes) -> None:
    """Write numbers at 1, 2, 3 and 5 of each power of ten; at every digit, where the axis is short."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high > 5 * low else tuple(range(1, 10))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(range(1, 10))))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _check_crops(
    rows: Sequence[Sequence[np.ndarray]], methods: Sequence[str], captions: Sequence[Sequence[str]]
) -> None:
    wanted = len(methods)
    if not rows or not wanted or any(len(row) != wanted for row in (*rows, *captions)) or len(captions) != len(rows):
        raise ValueError(
            f"each row needs an image and a caption for each of {wanted} methods, got rows of "
            f"{[len(row) for row in rows]} and captions of {[len(row) for row in captions]}."
        )
    for row in rows:
        shapes = {image.shape for image in row}
        if len(shapes) > 1 or any(image.dtype != np.uint8 for image in row) or not _is_image(row[0]):
            raise ValueError(f"a row holds one image several times, uint8 (h, w) or (h, w, 3); got {sorted(shapes)}.")


def _is_image(image: np.ndarray) -> bool:
    return image.size > 0 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
