"""Whole numbers of any size on top of tables of a few symbols: escapes, Exp-Golomb codes."""

from __future__ import annotations

import numpy as np

from isthmus.coding.rans import Decoder, Encoder
from isthmus.coding.tables import Tables

__all__ = ["bit_length", "decode_values", "encode_values", "reach_of", "symbols_of"]

# Widths of Exp-Golomb codes: each has half the positions of the one before, as its unary
# prefix of one bit more would say; the last ones one position each.
_WIDTHS = np.maximum(1 << 15 >> np.arange(64), 1)
_WIDTHS[0] -= _WIDTHS.sum() - (1 << 16)
WIDTHS = Tables(_WIDTHS[None])


def reach_of(tables: Tables) -> int:
    """Return ``m``: the symbols of these tables are the values -m to m, and an escape."""
    if tables.n_symbols % 2:
        raise ValueError(f"tables of values have an even number of symbols (-m to m, escape), got {tables.n_symbols}.")
    return tables.n_symbols // 2 - 1


def symbols_of(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the symbol of each value, int64: ``value + m``, or the escape ``2 m + 1``."""
    return np.where((values >= -reach) & (values <= reach), values + reach, 2 * reach + 1)


def encode_values(encoder: Encoder, tables: Tables, values: np.ndarray, index: np.ndarray) -> None:
    """Add a step: signed values ``(n,)``, int64, each coded by the table of its ``index``.

    A value out of the table's reach is its escape symbol, and after the step what it exceeds
    the reach by as an Exp-Golomb code (Teuhola, 1978): the width of ``excess + 1`` by a fixed
    table, then its bits below the leading one as they are.
    """
    reach = reach_of(tables)
    symbols = symbols_of(values, reach)
    encoder.symbols(tables, symbols, index)
    far = values[symbols == 2 * reach + 1]
    # All in 64 bits without sign, so that the lowest int64 has an excess too.
    below = far < 0
    size = np.where(below, -far.view(np.uint64), far.view(np.uint64)) - np.uint64(reach + 1)
    excess = 2 * size + below.astype(np.uint64) + np.uint64(1)
    widths = bit_length(excess) - 1
    encoder.symbols(WIDTHS, widths, np.zeros(len(far), np.intp))
    encoder.bits(excess, widths)


def decode_values(decoder: Decoder, tables: Tables, index: np.ndarray) -> np.ndarray:
    """Return the next values, int64, as :func:`encode_values` added them."""
    reach = reach_of(tables)
    symbols = decoder.symbols(tables, index)
    values = symbols.astype(np.int64) - reach
    far = np.flatnonzero(symbols == 2 * reach + 1)
    widths = decoder.symbols(WIDTHS, np.zeros(len(far), np.intp))
    excess = (decoder.bits(widths) | np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1)
    size = (excess >> np.uint64(1)) + np.uint64(reach + 1)
    values[far] = np.where(excess & np.uint64(1), -size, size).view(np.int64)
    return values


def bit_length(values: np.ndarray) -> np.ndarray:
    """Return how many bits whole numbers take, uint64 to int64; 0 for 0.

    Examples
    --------
    >>> bit_length(np.array([0, 1, 7, 8, 2**64 - 1], np.uint64)).tolist()
    [0, 1, 3, 4, 64]
    """
    high = values >> np.uint64(32)
    # Exact: halves of 32 bits are whole in double precision.
    low_length = np.frexp((values & np.uint64(0xFFFFFFFF)).astype(np.float64))[1]
    return np.where(high > 0, np.frexp(high.astype(np.float64))[1] + 32, low_length).astype(np.int64)
