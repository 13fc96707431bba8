"""Frequency tables of symbols, in integers: the same on every machine."""

from __future__ import annotations

import hashlib
import struct
from typing import Self

import numpy as np

from isthmus.coding.errors import CorruptStreamError

__all__ = ["BITS", "TOTAL", "Tables", "frequencies_of"]

BITS = 16
TOTAL = 1 << BITS
# A table's number is carried above its 16 bits of position, in 32 bits.
MAX_TABLES = TOTAL - 1
MAX_SYMBOLS = 1 << 12
# Beyond this a count times the total leaves 64 bits.
MAX_COUNT = 1 << 40


class Tables:
    """Tables of frequencies, each of which sums to 65536; the coder and the file format rest on them.

    Parameters
    ----------
    frequencies : array-like of int, shape (t, s)
        How many of the 65536 positions each of ``s`` symbols has in each of ``t`` tables, at
        least one.

    Attributes
    ----------
    frequencies : ndarray of uint32, shape (t, s)
        As given.
    n_tables, n_symbols : int
        ``t`` and ``s``.
    flat : ndarray of uint32, shape (t * s,)
        The frequencies, table after table.
    edges : ndarray of uint32, shape (t * s,)
        Where each symbol begins, ``65536 * table`` added: ascending over all tables, so that
        one search finds symbols of many tables at once.
    both : ndarray of uint32, shape (t * s, 2)
        Edges and frequencies side by side.

    Raises
    ------
    ValueError
        If a table does not sum to 65536, a frequency is below 1, or there are more than 65535
        tables or 4096 symbols, or fewer than two symbols.

    Notes
    -----
    Tables are made once, of counts, in integer arithmetic (:meth:`from_counts`), and travel as
    bytes: made anew of floating-point numbers on the reading side they could differ in the
    last bit, and one bit is enough to lose the whole stream (facts of learned codecs: their
    hyper-decoders fail between machines for this reason).

    Examples
    --------
    >>> tables = Tables.from_counts([[90, 9, 1], [1, 1, 1]])
    >>> tables.frequencies.sum(axis=1).tolist()
    [65536, 65536]
    >>> Tables.from_bytes(tables.to_bytes()).digest() == tables.digest()
    True
    """

    def __init__(self, frequencies: np.ndarray):
        given = np.asarray(frequencies)
        if given.ndim != 2 or given.dtype.kind not in "iu":
            raise ValueError(
                f"frequencies must be integers of shape (tables, symbols), got {given.dtype} {given.shape}."
            )
        if not (1 <= given.shape[0] <= MAX_TABLES and 2 <= given.shape[1] <= MAX_SYMBOLS):
            raise ValueError(
                f"there must be 1 to {MAX_TABLES} tables of 2 to {MAX_SYMBOLS} symbols, got shape {given.shape}."
            )
        if given.min() < 1 or given.max() > TOTAL or (given.sum(axis=1, dtype=np.int64) != TOTAL).any():
            raise ValueError(f"each table must sum to {TOTAL} with frequencies of at least 1; use Tables.from_counts.")
        self.frequencies = given.astype(np.uint32)
        self.n_tables, self.n_symbols = given.shape
        starts = np.cumsum(self.frequencies, axis=1, dtype=np.uint32) - self.frequencies
        numbers = np.arange(self.n_tables, dtype=np.uint32)[:, None] << np.uint32(BITS)
        self.flat = self.frequencies.ravel()
        self.edges = (starts | numbers).ravel()
        self.both = np.stack([self.edges, self.flat], axis=1)

    @classmethod
    def from_counts(cls, counts: np.ndarray, smoothing: int = 1) -> Self:
        """Return tables of how often each symbol was seen, ``(t, s)``; see :func:`frequencies_of`."""
        return cls(frequencies_of(counts, smoothing))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the tables that :meth:`to_bytes` wrote.

        Raises
        ------
        CorruptStreamError
            If these bytes are no tables.
        """
        if len(data) < 8:
            raise CorruptStreamError(f"frequency tables end after {len(data)} bytes.")
        n_tables, n_symbols = struct.unpack_from("<II", data)
        if len(data) != 8 + 2 * n_tables * n_symbols:
            raise CorruptStreamError(
                f"{n_tables} tables of {n_symbols} symbols take {8 + 2 * n_tables * n_symbols} bytes, got {len(data)}."
            )
        try:
            return cls(np.frombuffer(data, "<u2", offset=8).reshape(n_tables, n_symbols))
        except ValueError as error:
            raise CorruptStreamError(f"frequency tables are damaged: {error}") from error

    def to_bytes(self) -> bytes:
        """Return the one canonical form: two sizes (u32), then the frequencies (u16), little endian."""
        return struct.pack("<II", self.n_tables, self.n_symbols) + self.frequencies.astype("<u2").tobytes()

    def digest(self) -> bytes:
        """Return the SHA-256 of :meth:`to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    def bits(self, symbols: np.ndarray, index: np.ndarray | int = 0) -> float:
        """Return the ideal length of symbols in bits, each coded by the table of its index."""
        position = np.asarray(index, np.int64) * self.n_symbols + symbols
        seen = np.bincount(position.ravel(), minlength=len(self.flat))
        return float(np.dot(seen, BITS - np.log2(self.flat)))


def frequencies_of(counts: np.ndarray, smoothing: int = 1) -> np.ndarray:
    """Return frequencies in proportion to counts, ``(t, s)``: integers of sum 65536, none below 1.

    Parameters
    ----------
    counts : array-like of int, shape (t, s)
        At least 0; a table without counts becomes uniform.
    smoothing : int, default=1
        What each symbol is credited with besides, in sixteenths of a count.

    Notes
    -----
    One position for each symbol, the rest by largest remainder, ties to the lowest symbol:
    whole numbers throughout.

    Raises
    ------
    ValueError
        If a count is negative, or the smoothing is.

    Examples
    --------
    >>> frequencies_of([[3, 1]], smoothing=0).tolist()
    [[49152, 16384]]
    """
    given = np.asarray(counts, dtype=np.int64)
    if given.ndim != 2 or given.min(initial=0) < 0 or smoothing < 0:
        raise ValueError(
            f"counts must be of shape (tables, symbols) and, as smoothing, not negative; got {given.shape}."
        )
    spare = TOTAL - given.shape[1]
    # Sums of a row stay below 2^40, their product with 2^16 within 63 bits.
    over = given.sum(axis=1, keepdims=True) // (MAX_COUNT >> 8) + 1
    weights = 16 * (given // over) + smoothing
    weights[weights.sum(axis=1) == 0] = 1
    total = weights.sum(axis=1, keepdims=True)
    shares, rest = np.divmod(weights * spare, total)
    left = spare - shares.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(-rest, axis=1, kind="stable"), axis=1, kind="stable")
    return (1 + shares + (rank < left)).astype(np.uint32)
