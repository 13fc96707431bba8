"""Lossless coding of whole-number arrays of any number of axes: predicted, then coded by contexts."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from isthmus.coding import predictors
from isthmus.coding.compact import REACH, SYMBOLS, pack_tables, unpack_tables
from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.integers import bit_length, decode_values, encode_values, symbols_of
from isthmus.coding.rans import Decoder, Encoder, lanes_for

__all__ = ["code_field", "decode_field", "encode_field"]

HEAD = struct.Struct("<BBI")
BINS = 128
# Where a float32 of 1 stands when its exponent and the first bit of its mantissa are read as a number.
FIRST = (0x3F800000 >> 22) - 1
MANY = 1 << 14
TRIED = 3
NARROW, WIDE = 26, 58


def encode_field(values: np.ndarray, fraction: int = 0) -> bytes:
    """Return the stream of an int64 array of any shape, not empty.

    With ``fraction`` bits, what is decoded is within ``2**(fraction - 1)`` of each value;
    by default it is equal.

    The best of some predictors (:func:`~isthmus.coding.predictors.predict`) leaves small
    numbers. These are coded from a coarse grid to fine ones, so that each value has neighbours
    on both sides whose magnitudes are known: their sum, in half powers of two, chooses the
    table. Where it says that values are large, their lowest bits are sent as they are.

    Stream: predictor (u8), bits of the largest magnitude (u8), length of the tables (u32),
    tables, rANS. Nothing follows the first six bytes where all values were predicted.

    Examples
    --------
    >>> values = np.arange(1000).reshape(10, 100)
    >>> data = encode_field(values)
    >>> len(data) < 100, bool((decode_field(data, (10, 100)) == values).all())
    (True, True)
    """
    return code_field(values, fraction)[0]


def code_field(values: np.ndarray, fraction: int = 0) -> tuple[bytes, np.ndarray]:
    """Return the stream of :func:`encode_field`, and the array it stands for, found without decoding it."""
    folded = np.ascontiguousarray(values.reshape(_folded(values.shape)))
    sample = np.ascontiguousarray(predictors.middle_of(folded))
    tried = predictors.candidates(sample, fraction)[:TRIED]
    # Contexts gain more on some than on others: that shows only when they are coded.
    coded = {predictor: _coded(sample, predictor, fraction) for predictor in tried}
    best = min(tried, key=lambda predictor: coded[predictor].size)
    whole = coded[best] if sample.size == folded.size else _coded(folded, best, fraction)
    stream = whole.head + (whole.encoder.finish(lanes_for(folded.size)) if whole.encoder else b"")
    return stream, predictors.restore(whole.left, best, fraction).reshape(values.shape)


def decode_field(data: bytes | memoryview, shape: tuple[int, ...], fraction: int = 0) -> np.ndarray:
    """Return the int64 array of a stream; the caller bounds the shape, and gives the fraction as it was.

    Raises
    ------
    CorruptStreamError
        If the stream is damaged.
    """
    if len(data) < HEAD.size:
        raise CorruptStreamError(f"a coded array cannot have {len(data)} bytes.")
    predictor, widest, length = HEAD.unpack_from(data)
    left = np.zeros(_folded(shape), np.int64)
    rest = memoryview(data)[HEAD.size :]
    if widest:
        if widest > 64 or length > len(rest):
            raise CorruptStreamError("a coded array is damaged: its header does not fit.")
        _fill(left, rest, length, widest)
    elif len(rest):
        raise CorruptStreamError("a coded array does not end where it should.")
    return predictors.restore(left, predictor, fraction).reshape(shape)


class _Coded(NamedTuple):
    """An array on the way to its stream: what prediction left, the bytes in front, what is still to be coded."""

    left: np.ndarray
    head: bytes
    encoder: Encoder | None = None

    @property
    def size(self) -> float:
        return 8 * len(self.head) + (self.encoder.ideal_bits() if self.encoder else 0)


def _coded(values: np.ndarray, predictor: int, fraction: int) -> _Coded:
    """Return an array as it is with this predictor."""
    left = predictors.predict(values, predictor, fraction)
    widest = int(bit_length(_sizes(left).max(keepdims=True)).max())
    if not widest:
        return _Coded(left, HEAD.pack(predictor, 0, 0))
    plan = _Plan(left.shape, widest)
    known = plan.magnitudes(left)
    steps = [(left[where], plan.context(known, where, *about)) for where, about in plan.steps()]
    counts = np.zeros((plan.n_contexts, SYMBOLS), np.int64)
    for found, context in steps:
        symbols = symbols_of(found.ravel() >> plan.shifts[context], REACH)
        seen = np.bincount(context * SYMBOLS + symbols, minlength=counts.size)
        counts += seen.reshape(counts.shape)
    packed, tables, row_of = pack_tables(counts)
    encoder = Encoder()
    for found, context in steps:
        flat, shift = found.ravel(), plan.shifts[context]
        encode_values(encoder, tables, flat >> shift, row_of[context])
        encoder.bits(flat, shift)
    return _Coded(left, HEAD.pack(predictor, widest, len(packed)) + packed, encoder)


def _fill(left: np.ndarray, rest: memoryview, length: int, widest: int) -> None:
    """Decode what prediction left, in place."""
    plan = _Plan(left.shape, widest)
    tables, row_of = unpack_tables(rest[:length], plan.n_contexts)
    decoder = Decoder(rest[length:], lanes_for(left.size))
    known = plan.magnitudes(left)
    for where, about in plan.steps():
        context = plan.context(known, where, *about)
        shift = plan.shifts[context]
        found = decode_values(decoder, tables, row_of[context]) << shift
        found |= decoder.bits(shift).view(np.int64)
        left[where] = found.reshape(left[where].shape)
        known[where] = plan.magnitudes(left[where])
    decoder.end()


class _Plan:
    """The order in which an array is coded, and the context of each value."""

    def __init__(self, shape: tuple[int, ...], widest: int):
        self.shape = shape
        axes = len(shape)
        # Sums of up to 20 magnitudes stay exact in their type.
        self.dtype, self.most = np.dtype(np.int32 if widest <= NARROW else np.int64), min(widest, WIDE)
        # By the axis of the finest grid, for the next grid, for all others; few values share one.
        self.classes = axes + 2 if prod(shape) >= MANY else 1
        self.n_contexts = self.classes * BINS
        octave = np.maximum(np.arange(BINS) - 1, 0) // 2
        # The sum has 4 + 4 axes parts; three bits of a typical value are left to the table.
        typical = octave - (4 + 4 * axes).bit_length() + 1
        self.shifts = np.tile(np.maximum(typical - 2, 0), self.classes)

    def steps(self) -> Iterator[tuple[tuple[slice, ...], tuple]]:
        """Yield the cells of each step, and what :meth:`context` needs to know of them."""
        yield tuple(slice(0, 1) for _ in self.shape), ((), 0, 0)
        for view, axis, stride in predictors.passes(self.shape):
            step = view[axis].step
            odd = tuple(slice(step, None, 2 * step) if a == axis else one for a, one in enumerate(view))
            level = stride.bit_length() - 1
            kind = axis if level == 0 else len(self.shape) + min(level, 2) - 1
            yield odd, (view, axis, kind)

    def magnitudes(self, values: np.ndarray) -> np.ndarray:
        """Return magnitudes, clipped, in the type that sums of them fit."""
        return np.minimum(_sizes(values), np.uint64(1 << self.most)).astype(self.dtype)

    def context(self, known: np.ndarray, where: tuple[slice, ...], view: tuple, axis: int, kind: int) -> np.ndarray:
        """Return the context of each cell of ``where``, flat: from the known cells on both sides."""
        if not view:
            return np.zeros(1, np.intp)
        even = tuple(slice(None, None, 2 * one.step) if a == axis else one for a, one in enumerate(view))
        sides = _with_neighbours(known[even])
        n = known[where].shape[axis]
        sides = np.moveaxis(sides, axis, 0)
        total = sides[:n].copy()
        total[: len(sides) - 1] += sides[1 : n + 1]
        total[len(sides) - 1 :] += sides[-1:]
        bins = (np.moveaxis(total, 0, axis).astype(np.float32).view(np.int32) >> 22) - FIRST
        first = BINS * (kind if self.classes > 1 else 0)
        return np.maximum(bins, 0).astype(np.intp).ravel() + first


def _with_neighbours(known: np.ndarray) -> np.ndarray:
    """Return twice each magnitude, and those next to it along each axis."""
    total = 2 * known
    for axis in range(known.ndim):
        source, into = np.moveaxis(known, axis, 0), np.moveaxis(total, axis, 0)
        into[1:] += source[:-1]
        into[:-1] += source[1:]
    return total


def _sizes(values: np.ndarray) -> np.ndarray:
    """Return magnitudes without sign, so that the lowest int64 has one."""
    return np.abs(values).view(np.uint64)


def _folded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without axes of one cell, the first ones run together where there are more than four."""
    long = [size for size in shape if size > 1] or [1]
    cut = max(len(long) - predictors.MAX_AXES + 1, 1)
    return (prod(long[:cut]), *long[cut:])
