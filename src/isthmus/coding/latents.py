"""Coding of latent maps by contexts that are whole-number functions of what is already decoded."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Sequence
from typing import Self

import numpy as np

from isthmus.coding.contexts import Contexts, MagnitudeContexts, channel_groups
from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.integers import decode_values, encode_values, reach_of, symbols_of
from isthmus.coding.linear_contexts import LinearContexts
from isthmus.coding.rans import Decoder, Encoder, lanes_for
from isthmus.coding.tables import BITS, Tables

__all__ = ["LatentCoder"]

LAST = struct.Struct("<H")
# What a value in all tables together counts in each, beside the thousand of one seen there.
POOLED = 20_000


class LatentCoder:
    """Codes integer maps ``(h, w, c)`` group by group of channels, each in some passes over the positions.

    Which table codes a value, and what is taken off it before, is chosen by what is already
    decoded (:class:`~isthmus.coding.Contexts`), in whole numbers: wherever it runs, the decoder
    chooses the table that the encoder chose. Channels should be ordered by importance: the
    first groups alone give a preview.

    Parameters
    ----------
    contexts : Contexts
        How tables are chosen.
    tables : Tables
        As many as the contexts choose from; symbols are the values -m to m, and an escape.

    Raises
    ------
    ValueError
        If these do not fit together.

    Notes
    -----
    Stream: a bit for each channel that is not all zero, then rANS; a short one, for maps of
    few positions: up to which channel there is anything (u16), then rANS with as few lanes as one.

    Examples
    --------
    >>> latents = np.random.default_rng(0).integers(-2, 3, (12, 10, 4))
    >>> coder = LatentCoder.fit([latents])
    >>> data = coder.encode(latents)
    >>> bool((coder.decode(data, (12, 10, 4)) == latents).all())
    True
    """

    def __init__(self, contexts: Contexts, tables: Tables):
        self.contexts = contexts
        self.groups = contexts.groups
        self.tables = tables
        reach_of(tables)
        self._bits = BITS - np.log2(tables.frequencies, dtype=np.float32)
        if tables.n_tables != contexts.n_tables:
            raise ValueError(f"these contexts choose from {contexts.n_tables} tables, got {tables.n_tables}.")

    @classmethod
    def fit(cls, latents: Sequence[np.ndarray], groups: Sequence[int] | None = None, reach: int = 31) -> Self:
        """Return a coder with contexts and tables of these latents, each ``(h, w, c)`` of integers.

        ``groups`` are by default :func:`channel_groups`; values beyond ``reach`` are escapes.
        """
        maps = [np.asarray(one, np.int64) for one in latents]
        contexts = MagnitudeContexts.fit(maps, groups or channel_groups(maps[0].shape[2]))
        return cls(contexts, Tables.from_counts(_counts([(contexts, one) for one in maps], reach)))

    @classmethod
    def counted(cls, maps: Sequence[tuple[Contexts, np.ndarray]], reach: int = 31) -> Self:
        """Return a coder of the first contexts, with tables of maps, each coded by the contexts beside it.

        These may be of several levels. What is rare in one table is as it is in all of them.
        """
        counts = _counts(maps, reach)
        whole = counts.sum(axis=0)
        return cls(maps[0][0], Tables.from_counts(1000 * counts + POOLED * whole // max(1, whole.sum())))

    def at(self, level: float) -> Self:
        """Return the coder of a level of quality, for contexts that know of several."""
        contexts = self.contexts.at(level)
        if contexts is self.contexts:
            return self
        other = copy.copy(self)
        other.contexts = contexts
        return other

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the coder that :meth:`to_bytes` wrote, or raise CorruptStreamError."""
        try:
            (length,) = struct.unpack_from("<I", data)
            head = json.loads(data[4 : 4 + length])
            kind = MagnitudeContexts if "edges" in head else LinearContexts
            contexts, rest = kind.read(head, memoryview(data)[4 + length :])
            return cls(contexts, Tables.from_bytes(bytes(rest)))
        except CorruptStreamError:
            raise
        except (ValueError, KeyError, TypeError, struct.error, OverflowError, RecursionError) as error:
            raise CorruptStreamError(f"the coder of latents is damaged: {str(error)[:80]}") from error

    def to_bytes(self) -> bytes:
        """Return contexts and tables in one canonical form."""
        head = json.dumps(self.contexts.head(), separators=(",", ":")).encode()
        return struct.pack("<I", len(head)) + head + self.contexts.data() + self.tables.to_bytes()

    def encode(self, latents: np.ndarray, short: bool = False) -> bytes:
        """Return the stream of a map ``(h, w, c)`` of integers; a short one if asked.

        Raises
        ------
        ValueError, TypeError
            If it is no such map, or has other channels than the coder.
        """
        values = self._checked(latents)
        used = values.any(axis=(0, 1))
        head = np.packbits(used).tobytes()
        if short:
            last = int(np.flatnonzero(used).max(initial=-1)) + 1
            used, head = _first(last, len(used)), LAST.pack(last)
        return head + self._encoder(values, used).finish(_lanes(values.shape, used, short))

    def decode(
        self, data: bytes | memoryview, shape: tuple[int, int, int], groups: int | None = None, short: bool = False
    ) -> np.ndarray:
        """Return the map of a stream, int64.

        Parameters
        ----------
        data : bytes
            From :meth:`encode`.
        shape : tuple of int
            Of the map; the caller bounds it.
        groups : int, optional
            Decode the first groups alone, for a preview; the other channels are zero.
        short : bool, default=False
            As it was encoded.

        Raises
        ------
        CorruptStreamError
            If the stream is damaged. Where it is decoded in part, not all of it is checked.
        """
        return self._decoded(data, shape, groups, short)[0]

    def length(self, data: bytes | memoryview, shape: tuple[int, int, int], groups: int) -> int:
        """Return how many bytes of a stream its first groups take: those after may be missing to decode so many."""
        return self._decoded(data, shape, groups, False)[1]

    def _decoded(
        self, data: bytes | memoryview, shape: tuple[int, int, int], groups: int | None, short: bool
    ) -> tuple[np.ndarray, int]:
        """Return the first groups of a map, or all, and how many bytes of the stream were read."""
        channels = sum(self.groups)
        if shape[2] != channels:
            raise ValueError(f"the coder has {channels} channels, shape {shape} has {shape[2]}.")
        head = LAST.size if short else (channels + 7) // 8
        if len(data) < head:
            raise CorruptStreamError(f"a stream of latents cannot have {len(data)} bytes.")
        if short:
            used = _first(LAST.unpack_from(data)[0], channels)
        else:
            used = np.unpackbits(np.frombuffer(data, np.uint8, head), count=channels).astype(bool)
        decoder = Decoder(memoryview(data)[head:], _lanes(shape, used, short))
        values = np.zeros(shape, np.int64)
        wanted = len(self.groups) if groups is None else groups
        for step in self.contexts.steps(values, used):
            if step.group >= wanted:
                return values, head + decoder.read
            found = decode_values(decoder, self.tables, step.index) + step.shift
            values[step.cells] = found.reshape(-1, len(step.channels))
        decoder.end()
        return values, head + decoder.read

    def bits(self, latents: np.ndarray) -> float:
        """Return the length of a map's stream in bits, but for its last ones: what symbols, escapes, lanes take."""
        values = self._checked(latents)
        used = values.any(axis=(0, 1))
        # A lane ends with 32 bits, 8 of which hold symbols on average: it began with 16, and is written at 16 to 32.
        return self._encoder(values, used).ideal_bits() + 24 * _lanes(values.shape, used, False) + len(used)

    def lighter(self, latents: np.ndarray, slope: np.ndarray, bend: np.ndarray, both: bool = False) -> np.ndarray:
        """Return a map some of whose values are nearer to zero by one: where that saves more than it costs.

        Values are settled in the order in which they are coded, each in the context of those before.

        Parameters
        ----------
        latents : ndarray of int, shape (h, w, c)
            The map to begin with.
        slope, bend : ndarray, shape (h, w, c)
            Besides the bits of its symbol, ``slope * d + bend * d**2`` is what it costs to move a
            value by ``d``, in bits.
        both : bool, default=False
            Values may move away from zero as well.
        """
        values, reach = self._checked(latents), reach_of(self.tables)
        used = np.ones(values.shape[2], bool) if both else values.any(axis=(0, 1))
        for step in self.contexts.steps(values, used):
            found = values[step.cells].ravel()
            coded = found - step.shift
            # What is zero stays, but where both ways are open; escapes stay.
            moving = np.flatnonzero((coded > -reach) & (coded < reach) & ((found != 0) | both))
            moves = ((1, -1) if both else (-np.sign(found[moving]),)) if len(moving) else ()
            prices = slope[step.cells].ravel()[moving], bend[step.cells].ravel()[moving]
            found[moving] += self._moves(coded[moving], step.index[moving], *prices, moves)
            values[step.cells] = found.reshape(-1, len(step.channels))
        return values

    def _moves(
        self,
        coded: np.ndarray,
        index: np.ndarray,
        slope: np.ndarray,
        bend: np.ndarray,
        moves: Sequence[np.ndarray | int],
    ) -> np.ndarray:
        """Return which of some moves, or none, is the cheapest for each value, coded by the table of its index."""
        reach = reach_of(self.tables)
        least, best = self._bits[index, coded + reach], np.zeros_like(coded)
        for move in moves:
            price = slope * move + bend + self._bits[index, symbols_of(coded + move, reach)]
            best = np.where(price < least, move, best)
            least = np.minimum(price, least)
        return best

    def _encoder(self, values: np.ndarray, used: np.ndarray) -> Encoder:
        """Return an encoder that has been given a map."""
        encoder = Encoder()
        for step in self.contexts.steps(values, used):
            encode_values(encoder, self.tables, values[step.cells].ravel() - step.shift, step.index)
        return encoder

    def _checked(self, latents: np.ndarray) -> np.ndarray:
        given = np.asarray(latents)
        if given.dtype.kind not in "iu":
            raise TypeError(f"latents must be integers, got {given.dtype}; round them first.")
        if given.ndim != 3 or given.shape[2] != sum(self.groups):
            raise ValueError(f"latents must have shape (h, w, {sum(self.groups)}), got {given.shape}.")
        return given.astype(np.int64)


def _counts(maps: Sequence[tuple[Contexts, np.ndarray]], reach: int) -> np.ndarray:
    """Return how often each symbol is coded by each table, ``(tables, 2 reach + 2)``."""
    n_symbols = 2 * reach + 2
    counts = np.zeros(maps[0][0].n_tables * n_symbols, np.int64)
    for contexts, one in maps:
        keys = [np.zeros(0, np.intp)]
        for step in contexts.steps(one, one.any(axis=(0, 1))):
            keys.append(step.index * n_symbols + symbols_of(one[step.cells].ravel() - step.shift, reach))
        counts += np.bincount(np.concatenate(keys), minlength=len(counts))
    return counts.reshape(-1, n_symbols)


def _first(last: int, channels: int) -> np.ndarray:
    """Return which channels a short stream has."""
    if last > channels:
        raise CorruptStreamError(f"a stream of latents has {last} channels of {channels}: it is damaged.")
    return np.arange(channels) < last


def _lanes(shape: tuple[int, ...], used: np.ndarray, short: bool) -> int:
    return lanes_for(shape[0] * shape[1] * int(used.sum()), least=1 if short else 4)
