"""Tables stored beside the stream they are for, in few bytes."""

from __future__ import annotations

import functools
import zlib

import numpy as np

from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.tables import BITS, Tables, frequencies_of

__all__ = ["REACH", "SYMBOLS", "pack_tables", "unpack_tables", "unzipped"]

REACH = 47
SYMBOLS = 2 * REACH + 2
FAMILY = 64
EXPLICIT = 255
LEVELS = 127
# round(2^(i/8) * 256): an eighth of a power of two up each, as whole numbers.
EIGHTHS = np.array([256, 279, 304, 332, 362, 395, 431, 470], np.int64)


def pack_tables(counts: np.ndarray) -> tuple[bytes, Tables, np.ndarray]:
    """Return the bytes of tables that suit counts ``(contexts, 96)``, and what :func:`unpack_tables` makes of them.

    Each context takes a two-sided geometric table of a family of 64, one byte, or, where it
    pays, its own: for each symbol between the lowest and the highest seen one byte, its
    share to an eighth of a power of two (at most 4.4 % off: less than a thousandth of a bit).
    """
    family = BITS - np.log2(_family())
    spent = counts @ family.T
    codes = spent.argmin(axis=1)
    bodies = []
    for context in np.flatnonzero(counts.any(axis=1)):
        body = _body(counts[context])
        own = BITS - np.log2(_from_body(body)[0])
        # A byte of a body takes some six bits when packed.
        if counts[context] @ own + 6 * len(body) < spent[context].min():
            codes[context] = EXPLICIT
            bodies.append(body)
    codes[~counts.any(axis=1)] = 0
    data = zlib.compress(codes.astype(np.uint8).tobytes() + b"".join(bodies), 9)
    return data, *unpack_tables(data, len(counts))


def unpack_tables(data: bytes | memoryview, n_contexts: int) -> tuple[Tables, np.ndarray]:
    """Return tables, and which of them each context takes.

    Raises
    ------
    CorruptStreamError
        If these bytes are none of :func:`pack_tables`.
    """
    plain = unzipped(data, n_contexts * (SYMBOLS + 3))
    if len(plain) < n_contexts:
        raise CorruptStreamError("stored frequency tables end too early.")
    row_of = np.frombuffer(plain, np.uint8, n_contexts).astype(np.intp)
    own = np.flatnonzero(row_of == EXPLICIT)
    if (np.delete(row_of, own) >= FAMILY).any():
        raise CorruptStreamError("stored frequency tables are of an unknown kind.")
    rows, place = [_family()], n_contexts
    for number, context in enumerate(own):
        row, length = _from_body(plain[place:])
        rows.append(row[None])
        row_of[context] = FAMILY + number
        place += length
    if place != len(plain):
        raise CorruptStreamError("stored frequency tables do not end where they should.")
    return Tables(np.concatenate(rows)), row_of


def unzipped(data: bytes | memoryview, most: int) -> bytes:
    """Return what zlib packed, at most so many bytes, or raise CorruptStreamError."""
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(data, most + 1)
    except zlib.error as error:
        raise CorruptStreamError(f"a packed part of the stream is damaged: {error}.") from error
    if len(plain) > most or not opened.eof or opened.unused_data:
        raise CorruptStreamError("a packed part of the stream does not have the length it should.")
    return plain


def _body(counts: np.ndarray) -> bytes:
    """Return the lowest symbol seen, how many follow, and the level of each; 0 for none."""
    seen = np.flatnonzero(counts)
    first, last = int(seen[0]), int(seen[-1])
    found = counts[first : last + 1]
    levels = LEVELS + np.rint(8 * np.log2(np.maximum(found, 1) / found.max())).astype(int)
    levels = np.where(found > 0, np.maximum(levels, 1), 0)
    return bytes([first, last - first]) + levels.astype(np.uint8).tobytes()


def _from_body(data: bytes) -> tuple[np.ndarray, int]:
    """Return the frequencies that a body stands for, and its length."""
    if len(data) < 2 or data[0] + data[1] >= SYMBOLS or len(data) < 3 + data[1]:
        raise CorruptStreamError("a stored frequency table is damaged.")
    length = 3 + data[1]
    levels = np.frombuffer(data, np.uint8, length - 2, 2).astype(np.int64)
    if levels.max() > LEVELS:
        raise CorruptStreamError("a stored frequency table is damaged.")
    weights = np.zeros(SYMBOLS, np.int64)
    weights[data[0] : data[0] + len(levels)] = np.where(levels > 0, EIGHTHS[levels % 8] << (levels // 8), 0)
    return frequencies_of(weights[None], smoothing=16)[0], length


@functools.cache
def _family() -> np.ndarray:
    """Return 64 two-sided geometric tables, from nearly nothing but zeros to nearly even ones, in whole numbers.

    Frequencies fall by ``o / (1 + o)`` from one size to the next, o from 2^-9 to 2^6.75 in
    steps of a quarter of a power of two; one part in 64 falls a quarter as steeply, for tails
    are longer than geometric ones. What lies beyond the reach is the escape's.
    """
    weights = np.zeros((FAMILY, SYMBOLS), np.int64)
    for number in range(FAMILY):
        for odds, parts in ((number, 63), (min(number + 8, FAMILY - 1), 1)):
            o = int(EIGHTHS[2 * (odds % 4)]) << (odds // 4)  # times 2^17
            ratio = (o << 16) // (o + (1 << 17))
            sizes = [1 << 24]
            for _ in range(REACH):
                sizes.append(sizes[-1] * ratio >> 16)
            beyond = 2 * (sizes[-1] * ratio >> 16) * (1 << 16) // ((1 << 16) - ratio)
            row = np.array([*sizes[:0:-1], *sizes, beyond], np.int64)
            weights[number] += parts * (row << 10) // row.sum() * 64
    return frequencies_of(weights, smoothing=16)
