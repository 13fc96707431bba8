"""Prediction of whole-number arrays from their neighbours, exactly undone: all arithmetic is modulo 2^64."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.integers import bit_length

__all__ = ["MAX_AXES", "candidates", "middle_of", "passes", "predict", "restore"]

MAX_AXES = 4
SAMPLE = 1 << 16
# What the byte of a predictor says: part of the format.
NONE, LORENZO, TWICE = 0, 1, 2
ALONG, TWICE_ALONG = 4, 8  # plus the axis
LINEAR, CUBIC = 12, 14  # plus 1: the last axis first
PREDICTORS = (*range(3), *range(4, 16))


def predict(values: np.ndarray, predictor: int, fraction: int = 0) -> np.ndarray:
    r"""Return what is left of an array of at most four axes when each value is predicted.

    With ``fraction`` bits, what is left are whole steps of ``2**fraction``, and :func:`restore`
    comes within half a step of each value.

    ======  =====================================================================================
    byte    a value is predicted by
    ======  =====================================================================================
    0       nothing
    1       Lorenzo: its neighbours on the corner of the cube behind it, which is the difference
            along each axis in turn (Ibarria et al., 2003)
    2       the same twice
    4 + a   the value before it along axis a
    8 + a   the straight line through the two values before it along axis a
    12      level by level, each grid twice as fine as the last, the mean of its two neighbours
            along one axis; the first axis first
    13      the same, the last axis first
    14, 15  the same by cubics, (-a + 9 b + 9 c - d) / 16 (Zhao et al., "Optimizing
            error-bounded lossy compression for scientific data by dynamic spline
            interpolation", ICDE 2021: SZ3)
    ======  =====================================================================================

    Up to 11, values are rounded to whole steps first, and the differences are of these. From
    12 on each prediction is made of restored values, which are finer than a step: where a
    prediction is good to half a step, nothing is left to send.

    Examples
    --------
    >>> values = np.arange(12).reshape(3, 4) ** 2
    >>> predict(values, 1).tolist()
    [[0, 1, 3, 5], [16, 8, 8, 8], [48, 8, 8, 8]]
    >>> bool((restore(predict(values, 15), 15) == values).all())
    True
    """
    if predictor >= LINEAR:
        return _closed_loop(values, predictor, fraction)
    values = _rounded(values, fraction)
    for axis in _differences(predictor, values.ndim):
        values = np.diff(values, axis=axis, prepend=np.zeros_like(values.take([0], axis)))
    return values


def restore(left: np.ndarray, predictor: int, fraction: int = 0) -> np.ndarray:
    """Return the values of which :func:`predict` left this; CorruptStreamError for an unknown predictor."""
    if predictor not in PREDICTORS:
        raise CorruptStreamError(f"predictor {predictor} is not known to this version, or the stream is damaged.")
    if predictor >= LINEAR:
        values = left << fraction
        for view, axis, _ in passes(values.shape, last_first=bool(predictor % 2)):
            along = np.moveaxis(values[view], axis, 0)
            along[1::2] += _middle(along[::2], len(along) // 2, predictor)
        return values
    for axis in _differences(predictor, left.ndim):
        left = np.cumsum(left, axis=axis)
    return left << fraction


def candidates(values: np.ndarray, fraction: int = 0) -> list[int]:
    """Return all predictors for an array, the most promising first by an estimate of their bits."""
    axes = range(values.ndim)
    asked = [NONE, LORENZO, TWICE, *(TWICE_ALONG + a for a in axes), LINEAR, CUBIC]
    if values.ndim > 1:
        asked += [*(ALONG + a for a in axes), LINEAR + 1, CUBIC + 1]
    return sorted(asked, key=lambda predictor: (_bits(predict(values, predictor, fraction), predictor), predictor))


def middle_of(values: np.ndarray) -> np.ndarray:
    """Return a piece from the middle of an array, of some 65,000 values at most."""
    shape = list(values.shape)
    while prod(shape) > SAMPLE:
        axis = shape.index(max(shape))
        shape[axis] = (shape[axis] + 1) // 2
    starts = [(size - taken) // 2 for size, taken in zip(values.shape, shape, strict=True)]
    return values[tuple(slice(start, start + taken) for start, taken in zip(starts, shape, strict=True))]


def passes(shape: tuple[int, ...], last_first: bool = False) -> Iterator[tuple[tuple[slice, ...], int, int]]:
    """Yield ``(view, axis, stride)`` from the coarsest grid to the finest.

    Of the cells of ``view``, those with an even place along ``axis`` came in earlier passes
    (the very first has the cell at the origin alone, with which all begins), those with an odd
    one come now.

    Examples
    --------
    >>> a = np.zeros((4, 4), int)
    >>> for turn, (view, axis, _) in enumerate(passes(a.shape), start=1):
    ...     np.moveaxis(a[view], axis, 0)[1::2] = turn
    >>> a.tolist()
    [[0, 4, 2, 4], [3, 4, 3, 4], [1, 4, 2, 4], [3, 4, 3, 4]]
    """
    axes = range(len(shape))
    order = list(reversed(axes) if last_first else axes)
    stride = 1 << max(max(shape) - 1, 0).bit_length()
    while stride > 1:
        half = stride // 2
        for turn, axis in enumerate(order):
            if shape[axis] > half:
                fine = order[: turn + 1]
                yield tuple(slice(None, None, half if a in fine else stride) for a in axes), axis, half
        stride = half


def _differences(predictor: int, n_axes: int) -> list[int]:
    """Return the axes to take differences along, one after the other."""
    if predictor in (NONE, LORENZO, TWICE):
        return list(range(n_axes)) * predictor
    axis = predictor % 4
    if axis >= n_axes:
        raise CorruptStreamError(f"an array of {n_axes} axes has no axis {axis}: the stream is damaged.")
    return [axis] * (predictor // 4)


def _closed_loop(values: np.ndarray, predictor: int, fraction: int) -> np.ndarray:
    """Return what is left when each pass predicts from what the decoder will have by then."""
    left = _rounded(values, fraction)  # all but the origin is written over
    restored = left << fraction
    for view, axis, _ in passes(values.shape, last_first=bool(predictor % 2)):
        wanted, known, sent = (np.moveaxis(one[view], axis, 0) for one in (values, restored, left))
        predicted = _middle(known[::2], len(known) // 2, predictor)
        sent[1::2] = _rounded(wanted[1::2] - predicted, fraction)
        known[1::2] = predicted + (sent[1::2] << fraction)
    return left


def _rounded(values: np.ndarray, fraction: int) -> np.ndarray:
    """Return whole steps of ``2**fraction``, the nearest."""
    return (values + (1 << fraction >> 1)) >> fraction


def _middle(known: np.ndarray, n: int, predictor: int) -> np.ndarray:
    """Return the prediction of ``n`` cells, each between one known cell and the next; beyond the ends by a parabola."""
    before, after = _beyond(known), _beyond(known[::-1])
    padded = np.concatenate([before, known, after, after])
    near = padded[1 : n + 1] + padded[2 : n + 2]
    if predictor < CUBIC:
        return (near + 1) >> 1
    return (9 * near - padded[:n] - padded[3 : n + 3] + 8) >> 4


def _beyond(known: np.ndarray) -> np.ndarray:
    """Return what would come before the first cell."""
    if len(known) < 3:
        return known[:1]
    return 3 * (known[:1] - known[1:2]) + known[2:3]


def _bits(left: np.ndarray, predictor: int) -> float:
    """Estimate the bits of what is left: the entropy of sizes, and what a size leaves open."""
    if predictor < LINEAR:
        return _entropy(left)
    # Coarse grids leave more than fine ones.
    last_first = bool(predictor % 2)
    return sum(_entropy(np.moveaxis(left[view], axis, 0)[1::2]) for view, axis, _ in passes(left.shape, last_first))


def _entropy(left: np.ndarray) -> float:
    sizes = bit_length(np.abs(left).view(np.uint64))
    seen = np.bincount(sizes.ravel(), minlength=65)
    share = seen[seen > 0] / max(seen.sum(), 1)
    return float(-np.dot(seen[seen > 0], np.log2(share)) + np.dot(seen, np.arange(65)))
