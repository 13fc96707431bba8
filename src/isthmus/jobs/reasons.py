"""Why a row is an anomaly: the cells of a table, or the regions of an image, that carry its score."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from isthmus.jobs.cells import Cells
from isthmus.jobs.scoring import Score
from isthmus.modalities import Tables
from isthmus.modalities.columns import NEVER_SEEN, decode, decode_numbers
from isthmus.rows import Rows

__all__ = ["cell_reasons", "region_reasons"]

LIKELY = 3


def cell_reasons(score: Score, modality: Tables, rows: Rows, cells: Cells, n_reasons: int) -> list[dict[str, Any]]:
    """Return for each row of a table its reasons and its missing cells.

    A reason has ``feature``, ``value`` (as given), ``share``, the part of the row's cost that goes away
    if this cell alone is not known (of what all such parts come to), and ``error``: of a number,
    the difference from ``expected`` in multiples of that column's typical (root mean square)
    held-out error; of a boolean or category, its surprise in multiples of the typical one, beside
    its ``probability`` and the ``likely`` values. What is expected of a cell is read from the
    other cells of its row: one far out would pull its own expectation, and theirs, along.
    """
    told = score.cell_by_cell(cells)
    given = _given(rows, modality, slice(cells.start, cells.start + len(told.share)))
    explained = []
    for row in range(len(told.share)):
        reasons = []
        for column in np.lexsort((-told.error[row], -told.share[row]))[:n_reasons]:
            if not told.error[row, column] > 0:
                continue
            facts = modality.columns[column]
            chances = told.probabilities[column][row].tolist() if column in told.probabilities else None
            reason = {"feature": facts["name"], "value": _plain(given[column][row])}
            reason |= _expectation(facts, float(cells.batch.x[row, column]), float(told.expected[row, column]), chances)
            multiple = float(told.error[row, column])
            reason["error"] = multiple if facts["kind"] in ("category", "boolean") else multiple**0.5
            reasons.append(reason | {"share": float(told.share[row, column])})
        missing = [modality.names[column] for column in np.flatnonzero(~cells.observed[row])]
        explained.append({"reasons": reasons, "missing": missing})
    return explained


def region_reasons(heat: np.ndarray, n_reasons: int) -> list[dict[str, Any]]:
    """Return for each image the squares, a quarter of its shorter side wide, that are oddest.

    Parameters
    ----------
    heat : ndarray of shape (n, h, w)
        How odd each pixel is; 1 is typical.
    n_reasons : int
        At most so many of each image.

    Returns
    -------
    list of dict
        A reason has ``feature`` (a square's place in words), ``top``, ``left``, ``height`` and
        ``width`` in pixels, ``error`` (the root of its mean heat), and ``share`` of the image's heat.
    """
    side = max(1, min(heat.shape[1:]) // 4)
    explained = []
    for image in heat:
        left_over, total, reasons = image.copy(), max(float(image.sum()), 1e-300), []
        for _ in range(n_reasons):
            sums = _window_sums(left_over, side)
            top, left = (int(i) for i in np.unravel_index(int(sums.argmax()), sums.shape))
            square = left_over[top : top + side, left : left + side]
            if not square.sum() > 0:
                break
            reasons.append(
                {
                    "feature": f"rows {top}-{top + side - 1}, columns {left}-{left + side - 1}",
                    "top": top,
                    "left": left,
                    "height": side,
                    "width": side,
                    "error": float(square.mean() ** 0.5),
                    "share": float(square.sum() / total),
                }
            )
            square[...] = 0
        explained.append({"reasons": reasons, "missing": []})
    return explained


def _expectation(facts: dict[str, Any], cell: float, expected: float, chances: list[float] | None) -> dict[str, Any]:
    """Return what a cell was expected to hold."""
    if chances is not None:
        order = sorted(range(1, len(chances)), key=lambda symbol: -chances[symbol])[:LIKELY]
        likely = [{"value": facts["values"][symbol - 1], "probability": chances[symbol]} for symbol in order]
        note = {"note": "never seen while fitting"} if int(cell) == 0 else {}
        return {"probability": chances[int(cell)], "likely": likely} | note
    if facts["kind"] == "boolean" and cell == NEVER_SEEN:
        return {"expected": expected >= 0.5, "probability": 0.0, "note": "never seen while fitting"}
    if facts["kind"] == "boolean":
        return {"expected": expected >= 0.5, "probability": expected if cell >= 0.5 else 1 - expected}
    if facts["kind"] in ("date", "datetime"):
        return {"expected": _plain(decode(np.array([expected]), facts)[0])}
    # Not rounded, for an integer column: 0.4 children are expected, not none.
    return {"expected": float(decode_numbers(np.array([expected]), facts)[0])}


def _given(rows: Rows, modality: Tables, piece: slice) -> list[Any]:
    """Return the columns the modality uses, as the caller gave them."""
    given = rows.take(piece)
    if isinstance(given, pl.DataFrame):
        by_name = all(name in given.columns for name in modality.names)
        return [given[name] if by_name else given[:, i] for i, name in enumerate(modality.names)]
    # An array's columns are called x0, x1, ...; some may have been left out.
    return [given[:, int(name[1:])] for name in modality.names]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.isoformat() if hasattr(value, "isoformat") else value


def _window_sums(values: np.ndarray, side: int) -> np.ndarray:
    """Return the sum of every square of this side that lies within ``values``."""
    return np.lib.stride_tricks.sliding_window_view(values, (side, side)).sum((2, 3))
