"""Coding of latent maps by contexts that are whole-number functions of what is already decoded."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.integers import decode_values, encode_values, reach_of, symbols_of
from isthmus.coding.rans import Decoder, Encoder, lanes_for
from isthmus.coding.tables import BITS, Tables

__all__ = ["LatentCoder", "channel_groups"]

PASSES, NEAR, AROUND = 2, 6, 8
CONTEXTS = PASSES * NEAR * AROUND
CAP = 15
LAST = struct.Struct("<H")
# Bins of the sum of the four neighbours' magnitudes, clipped at 15: 0, 1, 2, 3-4, 5-8, 9-15.
NEAR_BINS = np.repeat(np.arange(NEAR), (1, 1, 1, 2, 4, 7))


def channel_groups(n_channels: int) -> tuple[int, ...]:
    """Return sizes of groups that double (1, 1, 2, 4, ...), the last one what is left.

    Examples
    --------
    >>> channel_groups(192)
    (1, 1, 2, 4, 8, 16, 32, 64, 64)
    """
    sizes = [1]
    while (left := n_channels - sum(sizes)) > 0:
        sizes.append(min(left, sum(sizes)))
    return tuple(sizes)


class LatentCoder:
    """Codes integer maps ``(h, w, c)`` in two checkerboard passes a group of channels.

    The table of a value is chosen by its group, its pass, and magnitudes already decoded:

    - in the second pass, the sum of the four neighbours in its own channel, clipped at 15, in
      6 bins (0, 1, 2, 3-4, 5-8, 9-15);
    - in 8 bins, how much is going on around: ``2 E + nb8(E) // 2`` with ``E`` the sum over the
      channels of the two groups before and ``nb8`` that over the eight neighbours, and in the
      second pass what the group itself has at the four neighbours. The bins' edges are
      quantiles of the latents that were fitted on.

    All is whole numbers: wherever it runs, the decoder chooses the table that the encoder
    chose. Channels should be ordered by importance: the first groups alone give a preview.

    Parameters
    ----------
    groups : sequence of int
        How many channels each group has; see :func:`channel_groups`.
    edges : array-like of int, shape (groups, 2, 7)
        Edges of the 8 bins, ascending, for each pass.
    tables : Tables
        ``96 * groups`` tables; symbols are the values -m to m, and an escape.

    Raises
    ------
    ValueError
        If these do not fit together.

    Notes
    -----
    On linear 16 x 16 latents of photographs such contexts took 12 to 17 % off the size with a
    table a channel. Stream: a bit for each channel that is not all zero, then rANS; a short one,
    for maps of few positions: up to which channel there is anything (u16), then rANS with as
    few lanes as one.

    Examples
    --------
    >>> latents = np.random.default_rng(0).integers(-2, 3, (12, 10, 4))
    >>> coder = LatentCoder.fit([latents])
    >>> data = coder.encode(latents)
    >>> bool((coder.decode(data, (12, 10, 4)) == latents).all())
    True
    """

    def __init__(self, groups: Sequence[int], edges: np.ndarray, tables: Tables):
        self.groups = tuple(int(size) for size in groups)
        self.edges = np.asarray(edges, np.int64)
        self.tables = tables
        reach_of(tables)
        self._bits = BITS - np.log2(tables.frequencies, dtype=np.float32)
        if not self.groups or min(self.groups) < 1:
            raise ValueError(f"groups must be sizes of at least 1, got {self.groups}.")
        if self.edges.shape != (len(self.groups), PASSES, AROUND - 1) or (np.diff(self.edges, axis=2) < 0).any():
            raise ValueError(f"edges must ascend and have shape ({len(self.groups)}, 2, 7), got {self.edges.shape}.")
        if tables.n_tables != CONTEXTS * len(self.groups):
            raise ValueError(f"{len(self.groups)} groups need {CONTEXTS} tables each, got {tables.n_tables}.")

    @classmethod
    def fit(cls, latents: Sequence[np.ndarray], groups: Sequence[int] | None = None, reach: int = 31) -> Self:
        """Return a coder with edges and tables of these latents, each ``(h, w, c)`` of integers.

        ``groups`` are by default :func:`channel_groups`; values beyond ``reach`` are escapes.
        """
        sizes = channel_groups(latents[0].shape[2]) if groups is None else tuple(groups)
        maps = [np.asarray(one, np.int64) for one in latents]
        around: dict[tuple[int, int], list[np.ndarray]] = {}
        for one in maps:
            for step in _steps(one, sizes, one.any(axis=(0, 1))):
                around.setdefault((step.group, step.turn), []).append(step.around)
        edges = np.zeros((len(sizes), PASSES, AROUND - 1), np.int64)
        for (group, turn), found in around.items():
            values = np.sort(np.concatenate(found))
            # Quantiles of what is above zero, for most maps are mostly empty.
            busy = values[values > 0] if (values > 0).any() else values
            edges[group, turn] = busy[[len(busy) * i // AROUND for i in range(AROUND - 1)]] if len(busy) else 0
        counts = np.zeros((CONTEXTS * len(sizes), 2 * reach + 2), np.int64)
        for one in maps:
            for step in _steps(one, sizes, one.any(axis=(0, 1))):
                values = one[step.rows, step.columns][:, step.channels].ravel()
                np.add.at(counts, (step.index(edges), symbols_of(values, reach)), 1)
        return cls(sizes, edges, Tables.from_counts(counts))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the coder that :meth:`to_bytes` wrote, or raise CorruptStreamError."""
        try:
            (length,) = struct.unpack_from("<I", data)
            head = json.loads(data[4 : 4 + length])
            tables = Tables.from_bytes(data[4 + length :])
            return cls(head["groups"], np.array(head["edges"]), tables)
        except CorruptStreamError:
            raise
        except (ValueError, KeyError, TypeError, struct.error, OverflowError, RecursionError) as error:
            raise CorruptStreamError(f"the coder of latents is damaged: {str(error)[:80]}") from error

    def to_bytes(self) -> bytes:
        """Return groups, edges and tables in one canonical form."""
        tree: Mapping[str, Any] = {"edges": self.edges.tolist(), "groups": list(self.groups)}
        head = json.dumps(tree, separators=(",", ":")).encode()
        return struct.pack("<I", len(head)) + head + self.tables.to_bytes()

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
        for step in _steps(values, self.groups, used):
            if step.group >= wanted:
                return values, head + decoder.read
            found = decode_values(decoder, self.tables, step.index(self.edges))
            values[step.rows[:, None], step.columns[:, None], step.channels] = found.reshape(-1, len(step.channels))
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
        for step in _steps(values, self.groups, np.ones(values.shape[2], bool) if both else values.any(axis=(0, 1))):
            cells = step.rows[:, None], step.columns[:, None], step.channels
            found = values[cells].ravel()
            # What is zero stays, but where both ways are open; escapes stay.
            moving = np.flatnonzero((found > -reach) & (found < reach) & ((found != 0) | both))
            prices = slope[cells].ravel()[moving], bend[cells].ravel()[moving]
            found[moving] = self._moved(found[moving], step.index(self.edges)[moving], *prices, both)
            values[cells] = found.reshape(-1, len(step.channels))
        return values

    def _moved(
        self, values: np.ndarray, index: np.ndarray, slope: np.ndarray, bend: np.ndarray, both: bool
    ) -> np.ndarray:
        """Return what ``lighter`` makes of some values, each coded by the table of its index."""
        reach = reach_of(self.tables)
        least, best = self._bits[index, values + reach], values
        for move in (1, -1) if both else (-np.sign(values),):
            price = slope * move + bend + self._bits[index, symbols_of(values + move, reach)]
            best = np.where(price < least, values + move, best)
            least = np.minimum(price, least)
        return best

    def _encoder(self, values: np.ndarray, used: np.ndarray) -> Encoder:
        """Return an encoder that has been given a map."""
        encoder = Encoder()
        for step in _steps(values, self.groups, used):
            found = values[step.rows, step.columns][:, step.channels].ravel()
            encode_values(encoder, self.tables, found, step.index(self.edges))
        return encoder

    def _checked(self, latents: np.ndarray) -> np.ndarray:
        given = np.asarray(latents)
        if given.dtype.kind not in "iu":
            raise TypeError(f"latents must be integers, got {given.dtype}; round them first.")
        if given.ndim != 3 or given.shape[2] != sum(self.groups):
            raise ValueError(f"latents must have shape (h, w, {sum(self.groups)}), got {given.shape}.")
        return given.astype(np.int64)


class _Step:
    """One pass over one group: which cells, and what their contexts are made of."""

    def __init__(self, values: np.ndarray, group: int, turn: int, channels: np.ndarray, before: np.ndarray):
        self.group, self.turn, self.channels = group, turn, channels
        height, width = values.shape[:2]
        self.rows, self.columns = np.nonzero(np.indices((height, width)).sum(axis=0) % 2 == turn)
        around = 2 * before + _neighbours(before, eight=True) // 2
        self.near = np.zeros((len(self.rows), len(channels)), np.int64)
        if turn:
            near = _neighbours(_small(values[:, :, channels]))
            around = around + near.sum(axis=2)
            self.near = NEAR_BINS[np.minimum(near, CAP)][self.rows, self.columns]
        self.around = around[self.rows, self.columns]

    def index(self, edges: np.ndarray) -> np.ndarray:
        """Return the table of each value, cell by cell and channel by channel."""
        around = edges[self.group, self.turn].searchsorted(self.around, "right")
        first = CONTEXTS * self.group + NEAR * AROUND * self.turn
        return (first + AROUND * self.near + around[:, None]).ravel()


def _steps(values: np.ndarray, groups: Sequence[int], used: np.ndarray) -> Iterator[_Step]:
    """Yield the steps in order; ``values`` must be filled in up to each one as it is asked for."""
    sums: list[np.ndarray] = [np.zeros(values.shape[:2], np.int64)] * 2
    begin = 0
    for group, size in enumerate(groups):
        channels = np.arange(begin, begin + size)
        channels = channels[used[channels]]
        begin += size
        if len(channels):
            for turn in range(PASSES):
                yield _Step(values, group, turn, channels, sums[-1] + sums[-2])
        sums.append(_small(values[:, :, channels]).sum(axis=2))


def _neighbours(values: np.ndarray, eight: bool = False) -> np.ndarray:
    """Return the sum of the four (or eight) neighbours in the first two axes; nothing beyond the border."""
    padded = np.pad(values, [(1, 1), (1, 1)] + [(0, 0)] * (values.ndim - 2))
    if not eight:
        return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - values


def _small(values: np.ndarray) -> np.ndarray:
    """Return magnitudes, clipped; without sign on the way, so that the lowest int64 has one."""
    return np.minimum(np.abs(values).view(np.uint64), CAP).astype(np.int64)


def _first(last: int, channels: int) -> np.ndarray:
    """Return which channels a short stream has."""
    if last > channels:
        raise CorruptStreamError(f"a stream of latents has {last} channels of {channels}: it is damaged.")
    return np.arange(channels) < last


def _lanes(shape: tuple[int, ...], used: np.ndarray, short: bool) -> int:
    return lanes_for(shape[0] * shape[1] * int(used.sum()), least=1 if short else 4)
