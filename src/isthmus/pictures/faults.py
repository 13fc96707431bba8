"""Pictures of what is odd in images: the image, what was expected of it, and where they part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from isthmus.pictures.images import show, tight, value_range
from isthmus.pictures.style import at_least, head, short, style

__all__ = ["fault_strip"]

ROWS = ("given", "expected", "odd")


def fault_strip(
    images: np.ndarray,
    expected: np.ndarray,
    heat: np.ndarray,
    titles: Sequence[str] = (),
    title: str = "",
    most: float | None = None,
    ink: bool = False,
    scale: float = 0.95,
) -> Figure:
    """Draw images, beneath each what was expected of it, and beneath that where it is odd.

    Parameters
    ----------
    images, expected : ndarray of shape (n, h, w) or (n, h, w, c)
        The images, and what the network makes of them.
    heat : ndarray of shape (n, h, w)
        How odd each place is, 0 or more; the darker the odder.
    titles : sequence of n str, optional
        What stands above each image, such as its score.
    title : str
        Above the picture.
    most : float, optional
        The heat that is drawn darkest; by default the largest, so that images can be compared.
    ink : bool, default=False
        Whether large values are dark, as in scans of writing; in photographs they are bright.
    scale : float
        Inches per image.
    """
    images, expected, heat = np.asarray(images), np.asarray(expected), np.asarray(heat, np.float64)
    colour = images.ndim == 4 and images.shape[3] in (1, 3)
    if not (images.ndim == 3 or colour) or images.shape != expected.shape or heat.shape != images.shape[:3]:
        raise ValueError(
            "images and expected should be of one shape, (n, h, w) or (n, h, w, 1 or 3), and heat (n, h, w); got "
            f"{images.shape}, {expected.shape} and {heat.shape}."
        )
    n, side = len(images), scale * images.shape[1] / images.shape[2]
    with style():
        tall = 3 * side + (0.2 if len(titles) else 0.0) + (0.35 if title else 0.05)
        figure = Figure(figsize=(at_least(0.9 + n * scale, title), tall), layout=tight())
        grid = figure.subplots(3, n, squeeze=False)
        low, high = value_range(images)
        if not ink and images.shape[3:] != (3,):
            # Grey pictures are drawn as ink on paper; three equal channels are a photograph.
            images, expected = (np.repeat(one.reshape(*heat.shape, 1), 3, 3) for one in (images, expected))
        darkest = max(float(heat.max()) if most is None else most, 1e-12)
        for i in range(n):
            show(grid[0, i], images[i], low, high)
            show(grid[1, i], expected[i], low, high)
            show(grid[2, i], heat[i], 0, darkest)
            if len(titles):
                grid[0, i].set_title(short(titles[i]), fontsize=7, fontweight="normal")
        for axes, name in zip(grid[:, 0], ROWS, strict=True):
            axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
        head(figure, title)
    return figure
