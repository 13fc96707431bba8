"""What all pictures share: colours, sizes, headings, and the way to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from isthmus.files import atomic

__all__ = ["ACROSS", "INK", "PALETTE", "TITLE_ACROSS", "at_least", "head", "save", "short", "style"]

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
# Letters of a label, and of a title, to an inch.
ACROSS = 13
TITLE_ACROSS = 10
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


def head(figure: Figure, title: str) -> None:
    """Write a title above a whole figure, if there is one."""
    if title:
        figure.suptitle(title, fontweight="bold", fontsize=10)


def at_least(wide: float, title: str) -> float:
    """Return the width, or that of the title where it is longer."""
    return max(wide, len(title) / TITLE_ACROSS)


def short(name: Any) -> str:
    """Return a name in at most 24 letters."""
    # The middle goes: names that begin alike differ at their end.
    text = str(name)
    return text if len(text) <= 24 else f"{text[:11]}…{text[-12:]}"
