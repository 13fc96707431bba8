"""Coding of floating-point arrays within a bound, or bit by bit."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

from isthmus.coding.compact import unzipped
from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.fields import code_field, decode_field, encode_field

__all__ = ["decode_exact", "decode_near", "encode_exact", "encode_near", "nearness"]

# Bits below a step, in which predictions are made.
FRACTION = 12
# A magnitude in these units must leave room for sums of eighteen of them in 64 bits.
MOST_UNITS = 2.0**58
NEAR_HEAD = struct.Struct("<dIII")
# More values than this share that miss the bound, and the block is coded bit by bit.
MOST_MISSED = 1 / 8
MARGIN = 1 - 2.0**-20
# Share of the plain bytes from which on zlib is tried too.
LITTLE_GAIN = 0.8


def encode_near(values: np.ndarray, bound: float, *, prediction: np.ndarray | None = None) -> bytes | None:
    """Return the stream of a float array with no error above ``bound``; None if only :func:`encode_exact` can do that.

    Parameters
    ----------
    values : ndarray of float16, float32 or float64
        Not empty. What is not finite, and -0.0, is kept bit by bit.
    bound : float
        Above 0: the largest error of a finite value, as ``abs(x - y)`` in double precision.
    prediction : ndarray of float64, optional
        Of each value, finite; what is coded are steps from there.

    Notes
    -----
    Values become whole numbers, 4096 to a step of ``2 * bound``, from which
    :func:`~isthmus.coding.fields.encode_field` loses at most half a step; all arithmetic of the
    decoder is on whole numbers but for one product and the rounding to the array's type, both of
    which IEEE 754 fixes. Here the same is done and compared, value by value: what misses the
    bound, by rounding to the array's type or by size, is sent bit by bit.
    """
    plain = np.where(np.isfinite(values), values, values.dtype.type(0)).astype(np.float64)
    unit = _unit(values, plain, bound)
    if not unit > 0:
        return None
    base = np.zeros(1) if prediction is None else prediction
    with np.errstate(over="ignore", invalid="ignore"):
        units = (plain - base) / unit
        fits = np.isfinite(values) & (np.abs(units) < MOST_UNITS)
    whole = np.rint(np.where(fits, units, 0)).astype(np.int64)
    field, near = code_field(_filled(whole, fits), FRACTION)
    restored = _restored(near, unit, prediction, values.dtype)
    missed = ~nearness(values, restored, bound)
    if missed.sum() > MOST_MISSED * values.size + 8 and np.isfinite(values[missed]).any():
        return None
    places, kept = _pack_raw(values, missed)
    head = NEAR_HEAD.pack(unit, int(missed.sum()), len(places), len(kept))
    return head + places + kept + field


def decode_near(
    data: bytes | memoryview, shape: tuple[int, ...], dtype: np.dtype, *, prediction: np.ndarray | None = None
) -> np.ndarray:
    """Return the array of a stream of :func:`encode_near`, or raise CorruptStreamError."""
    if len(data) < NEAR_HEAD.size:
        raise CorruptStreamError(f"a block of values cannot have {len(data)} bytes.")
    unit, n_raw, places, kept = NEAR_HEAD.unpack_from(data)
    rest = memoryview(data)[NEAR_HEAD.size :]
    if not (math.isfinite(unit) and unit > 0) or places + kept > len(rest) or n_raw > math.prod(shape):
        raise CorruptStreamError("a block of values is damaged: its header does not fit.")
    values = _restored(decode_field(rest[places + kept :], shape, FRACTION), unit, prediction, dtype)
    _unpack_raw(values, n_raw, rest[:places], rest[places : places + kept])
    return values


def encode_exact(values: np.ndarray) -> bytes:
    """Return the stream of a float array, not empty, bit by bit: NaN with its payload, -0.0, all.

    The bits of floats, read as whole numbers, ascend with the values: neighbours that are alike
    leave small differences (Lindstrom and Isenburg, 2006). Where that gains little, zlib packs
    the values' bytes, the first of all, the second of all, and so on.

    Stream: 0 and a field, or 1 and what zlib packed.
    """
    field = encode_field(_ordered(_as_integers(values)).astype(np.int64))
    if len(field) < LITTLE_GAIN * values.nbytes:
        return b"\0" + field
    bits = _as_integers(values).ravel()
    return min(b"\0" + field, b"\1" + _packed(bits.astype(bits.dtype.newbyteorder("<"))), key=len)


def decode_exact(data: bytes | memoryview, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the array of a stream of :func:`encode_exact`, or raise CorruptStreamError."""
    if not len(data) or data[0] > 1:
        raise CorruptStreamError("a block of exact values is of a kind that is not known.")
    rest = memoryview(data)[1:]
    if data[0] == 0:
        return _ordered(decode_field(rest, shape).astype(f"i{dtype.itemsize}")).view(dtype)
    bits = _unpacked(rest, math.prod(shape), np.dtype(f"<i{dtype.itemsize}"))
    return bits.astype(f"i{dtype.itemsize}").view(dtype).reshape(shape)


def nearness(values: np.ndarray, restored: np.ndarray, bound: float) -> np.ndarray:
    """Return where a restored array keeps its promise: within the bound, or equal bit by bit where that is promised."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(values.astype(np.float64) - restored.astype(np.float64)) <= bound
    special = ~np.isfinite(values) | ((values == 0) & np.signbit(values))
    return np.where(special, _as_integers(values) == _as_integers(restored), near)


def _unit(values: np.ndarray, plain: np.ndarray, bound: float) -> float:
    """Return what one whole number stands for; 0 if rounding to the type alone may use up the bound."""
    sizes = np.abs(plain)
    largest = sizes.max()
    # One value far out must not spoil the steps of all others: it is sent as it is.
    for size in (largest, np.quantile(sizes.ravel()[:: max(1, sizes.size >> 12)], 0.99)):
        with np.errstate(over="ignore"):  # the largest float16 has no next one
            rounding = float(np.spacing(np.asarray(size).astype(values.dtype))) / 2
        left = bound * MARGIN - rounding
        if left > bound / 2:
            return 2 * left / (2.0**FRACTION + 1)
    return 0.0


def _restored(whole: np.ndarray, unit: float, prediction: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = whole * unit
        if prediction is not None:
            values += prediction
        return values.astype(dtype)


def _filled(whole: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """Return values with gaps filled by the last one before: gaps are then cheap to predict."""
    if fits.all():
        return whole
    flat = fits.ravel()
    last = np.maximum.accumulate(np.where(flat, np.arange(flat.size), 0))
    return whole.ravel()[last].reshape(whole.shape)


def _pack_raw(values: np.ndarray, chosen: np.ndarray) -> tuple[bytes, bytes]:
    """Return places of values and their bits, both packed by zlib, byte after byte of all of them."""
    places = np.flatnonzero(chosen)
    bits = _as_integers(values).ravel()[places]
    return _packed(np.diff(places, prepend=0).astype("<u4")), _packed(bits.astype(bits.dtype.newbyteorder("<")))


def _unpack_raw(values: np.ndarray, n: int, places: memoryview, kept: memoryview) -> None:
    """Put values back, in place."""
    steps = _unpacked(places, n, np.dtype("<u4"))
    where = np.cumsum(steps, dtype=np.int64)
    if n and where[-1] >= values.size:
        raise CorruptStreamError("a block of values is damaged: a place is beyond its end.")
    bits = _unpacked(kept, n, np.dtype(f"<i{values.dtype.itemsize}"))
    _as_integers(values).reshape(-1)[where] = bits


def _packed(array: np.ndarray) -> bytes:
    if not len(array):
        return b""
    return zlib.compress(array.view(np.uint8).reshape(len(array), -1).T.tobytes(), 9)


def _unpacked(data: memoryview, n: int, dtype: np.dtype) -> np.ndarray:
    if not n and not len(data):
        return np.zeros(0, dtype)
    plain = unzipped(data, n * dtype.itemsize)
    if len(plain) != n * dtype.itemsize:
        raise CorruptStreamError("a block of values is damaged: some of its values are not there.")
    return np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, n).T.copy().view(dtype).reshape(-1)


def _as_integers(values: np.ndarray) -> np.ndarray:
    """Return a view of the bits as signed integers."""
    return values.view(f"i{values.dtype.itemsize}")


def _ordered(bits: np.ndarray) -> np.ndarray:
    """Return integers that ascend with the floats of these bits; the same again undoes it."""
    return bits ^ ((bits >> (8 * bits.dtype.itemsize - 1)) & np.iinfo(bits.dtype).max)
