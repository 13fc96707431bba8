"""The reference entropy coder: interleaved rANS in whole numbers."""

from __future__ import annotations

import numpy as np

from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.tables import BITS, Tables

__all__ = ["Decoder", "Encoder", "lanes_for"]

LOW = np.uint32(1 << BITS)
MASK = np.uint32((1 << BITS) - 1)
SHIFT = np.uint32(BITS)


def lanes_for(n_symbols: int, least: int = 4) -> int:
    """Return how many coders run side by side for so many symbols: part of the format, so not stored.

    A power of two: one lane for each 2048 symbols, at least ``least`` and at most 64; of more than
    half a million symbols one for each 8192, at most 512. A lane costs four bytes, and each numpy
    call is shared by all lanes.

    Examples
    --------
    >>> [lanes_for(n) for n in (1, 2**15, 2**20, 2**30)]
    [4, 16, 128, 512]
    """
    few, many = min(max(n_symbols >> 11, least), 64), min(n_symbols >> 13, 512)
    return 1 << (max(few, many).bit_length() - 1)


class Encoder:
    r"""Writes symbols and raw bits, step by step, as one stream.

    A state ``x`` of 32 bits takes up a symbol of frequency ``f`` that begins at ``c``:

    .. math:: x \leftarrow 2^{16} \lfloor x / f \rfloor + (x \bmod f) + c

    after a word of 16 bits has left it if it would grow beyond 32 bits. Symbol ``i`` of a step
    goes to lane ``i mod lanes``, and lanes share one sequence of words (Giesen, "Interleaved
    entropy coders", 2014, https://arxiv.org/abs/1402.3392).

    Notes
    -----
    Encoding runs backwards through all that was given, so that decoding runs forwards: nothing
    is coded before :meth:`finish`. Every lane begins at ``2**16``, where the decoder must
    arrive at the end: that, and that no word is left, is checked.

    Stream: the states of all lanes (u32), then the words (u16), little endian.

    Examples
    --------
    >>> tables = Tables.from_counts([[8, 1, 1]])
    >>> encoder = Encoder()
    >>> encoder.symbols(tables, np.array([0, 0, 2, 1]), np.zeros(4, int))
    >>> encoder.bits(np.array([5]), np.array([3]))
    >>> data = encoder.finish(lanes=4)
    >>> decoder = Decoder(data, lanes=4)
    >>> decoder.symbols(tables, np.zeros(4, int)).tolist(), decoder.bits(np.array([3])).tolist()
    ([0, 0, 2, 1], [5])
    >>> decoder.end()
    """

    def __init__(self) -> None:
        self._steps: list[tuple[np.ndarray, np.ndarray]] = []

    def symbols(self, tables: Tables, symbols: np.ndarray, index: np.ndarray) -> None:
        """Add a step: symbols ``(n,)``, each coded by the table of its ``index`` ``(n,)``."""
        at = np.asarray(index, np.intp) * tables.n_symbols + symbols
        self._steps.append((tables.edges[at] & MASK, tables.flat[at]))

    def bits(self, values: np.ndarray, widths: np.ndarray) -> None:
        """Add the lowest ``widths`` (0 to 64 each) bits of values, as they are."""
        values, widths = np.asarray(values).astype(np.uint64), np.asarray(widths)
        for done in range(0, int(widths.max(initial=0)), BITS):
            chosen = np.flatnonzero(widths > done)
            taken = np.minimum(widths[chosen] - done, BITS).astype(np.uint32)
            part = (values[chosen] >> np.uint64(done)).astype(np.uint32) & ((np.uint32(1) << taken) - np.uint32(1))
            free = SHIFT - taken
            self._steps.append((part << free, np.uint32(1) << free))

    def ideal_bits(self) -> float:
        """Return the length of all steps by their frequencies, which the stream exceeds by little."""
        return float(sum(np.sum(BITS - np.log2(frequencies)) for _, frequencies in self._steps))

    def finish(self, lanes: int) -> bytes:
        """Return the stream of all steps."""
        states = np.full(lanes, LOW)
        words = np.empty(sum(len(starts) for starts, _ in self._steps), np.uint16)
        place = len(words)
        for starts, frequencies in reversed(self._steps):
            limits, gains = frequencies << SHIFT, LOW - frequencies
            for begin in reversed(range(0, len(starts), lanes)):
                row = slice(begin, begin + lanes)
                x, f = states[: len(starts) - begin], frequencies[row]
                full = (x >= limits[row]).nonzero()[0]
                if len(full):
                    place -= len(full)
                    leaving = x[full]
                    words[place : place + len(full)] = leaving & MASK
                    x[full] = leaving >> SHIFT
                # 2^16 (x // f) + x % f, with one division.
                x += (x // f) * gains[row]
                x += starts[row]
        return states.astype("<u4").tobytes() + words[place:].astype("<u2").tobytes()


class Decoder:
    """Reads what :class:`Encoder` wrote, in the same steps.

    The tables of a step may depend on all symbols of the steps before.

    Parameters
    ----------
    data : bytes
        The stream.
    lanes : int
        As it was written.

    Raises
    ------
    CorruptStreamError
        If the stream is too short, here or in a later step.
    """

    def __init__(self, data: bytes | memoryview, lanes: int):
        head = 4 * lanes
        if len(data) < head or (len(data) - head) % 2:
            raise CorruptStreamError(f"an entropy-coded stream of {lanes} lanes cannot have {len(data)} bytes.")
        self._states = np.frombuffer(data, "<u4", lanes).copy()
        self._words = np.frombuffer(data, "<u2", offset=head).astype(np.uint32)
        self._place = 0

    @property
    def read(self) -> int:
        """How many bytes of the stream were read until now."""
        return 4 * len(self._states) + 2 * self._place

    def symbols(self, tables: Tables, index: np.ndarray) -> np.ndarray:
        """Return the next ``n`` symbols, intp, each coded by the table of its ``index`` ``(n,)``."""
        n, lanes = len(index), len(self._states)
        above = np.asarray(index).astype(np.uint32) << SHIFT
        found = np.empty(n, np.intp)
        # As quick as a table of all positions, which takes 128 KiB or more for each of the tables.
        search, both_of = tables.edges[1:].searchsorted, tables.both.take
        x = self._states
        low, high = x.view("<u2")[::2], x.view("<u2")[1::2]
        for begin in range(0, n, lanes):
            if begin + lanes > n:
                x, low, high = x[: n - begin], low[: n - begin], high[: n - begin]
            row = slice(begin, begin + lanes)
            position = np.bitwise_or(above[row], low)
            at = search(position, "right")
            found[row] = at
            both = both_of(at, axis=0)
            position -= both[:, 0]
            np.multiply(high, both[:, 1], out=x)
            x += position
            self._fill(x)
        found -= np.asarray(index, np.intp) * tables.n_symbols
        return found

    def bits(self, widths: np.ndarray) -> np.ndarray:
        """Return the next values of these widths, uint64."""
        widths, lanes = np.asarray(widths), len(self._states)
        values = np.zeros(len(widths), np.uint64)
        for done in range(0, int(widths.max(initial=0)), BITS):
            chosen = np.flatnonzero(widths > done)
            free = SHIFT - np.minimum(widths[chosen] - done, BITS).astype(np.uint32)
            frequencies = np.uint32(1) << free
            part = np.empty(len(chosen), np.uint64)
            for begin in range(0, len(chosen), lanes):
                row = slice(begin, begin + lanes)
                x, f = self._states[: len(chosen) - begin], frequencies[row]
                position = x & MASK
                part[row] = position >> free[row]
                position &= f - np.uint32(1)
                x >>= SHIFT
                x *= f
                x += position
                self._fill(x)
            values[chosen] |= part << np.uint64(done)
        return values

    def end(self) -> None:
        """Check that this is where the encoder began.

        Raises
        ------
        CorruptStreamError
            If words are left over, or a state is not the first one.
        """
        if self._place != len(self._words) or (self._states != LOW).any():
            raise CorruptStreamError("an entropy-coded stream does not end where it should: it is damaged.")

    def _fill(self, x: np.ndarray) -> None:
        """Fill up states that a symbol each was taken out of, in place."""
        low = (x < LOW).nonzero()[0]
        if len(low):
            end = self._place + len(low)
            words = self._words[self._place : end]
            if len(words) < len(low):
                raise CorruptStreamError("an entropy-coded stream ends too early: it is damaged or cut short.")
            x[low] = (x[low] << SHIFT) | words
            self._place = end
