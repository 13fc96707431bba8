"""Arrays of floating-point numbers, compressed with an error that is known before."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from isthmus.coding import (
    ARRAY,
    LOSSLESS,
    MODES,
    Bound,
    Chunk,
    Contents,
    CorruptStreamError,
    container,
    decode_exact,
    decode_near,
    encode_exact,
    encode_near,
    nearness,
)
from isthmus.jobs.array_model import ModelPredictor
from isthmus.reading.limits import memory

__all__ = ["ArrayCompressor", "ArrayFacts", "array_facts"]

TYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))
FORTRAN, BIG = 1, 2
HEAD = struct.Struct("<BBBBdd")
BLOCK = b"RESI"
EXACT, NEAR, MODEL = 0, 1, 2
# Values coded together: enough for tables and lanes to cost next to nothing.
BLOCK_VALUES = 1 << 21
PSNR_TRIES = 3


class ArrayFacts(NamedTuple):
    """What a compressed array says of itself.

    Attributes
    ----------
    shape, dtype, fortran
        Of the array: its shape, its type with byte order, whether its first axis runs fastest.
    error : Bound
        As it was asked for.
    bound : float
        Largest error of a finite value; 0: equal bit by bit.
    model : int
        First eight bytes of the identity of the model that it needs; 0 for none.
    blocks : int
        How many blocks it is coded in.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    error: Bound
    bound: float
    model: int
    blocks: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


class ArrayCompressor:
    """Compress float arrays so that no value is farther off than was said.

    Parameters
    ----------
    error : str, default='lossless'
        ``abs:1e-3``: no finite value is off by more. ``rel:1e-4``: the same as a share of the
        array's range. ``psnr:60``: at least so many dB over the whole array. ``lossless``: equal
        bit by bit.
    model : AutoEncoder or job, optional
        Fitted on rows such as ``array[i]``: its reconstruction is the prediction, block by block
        where that is smaller than without. The file can be read with this model alone.

    Raises
    ------
    ValueError
        If ``error`` is written otherwise.

    Notes
    -----
    Any shape (also 0-d and empty), float16, float32 or float64, either byte order; arrays in
    Fortran's order come back in it. **NaN (with their payload), infinities and -0.0 come back bit
    by bit**, whatever the error; a denormal number is a number, and may come back as 0 where
    the bound allows that. Blocks of at most two million values are coded one by one, each
    decoded at once and compared value by value, ``abs(x - y) <= bound`` in double precision;
    values that rounding to the array's type would put beyond it, or too large, are sent bit by bit.

    Without a model, decoding is arithmetic on whole numbers and one IEEE product a value: the same
    bits on every machine. With one, see :class:`~isthmus.jobs.array_model.ModelPredictor`.

    The order of work: whole numbers (steps of twice the bound), prediction (Lorenzo,
    differences, or level by level by cubics, whichever is smallest on a sample of the block),
    contexts of neighbours' magnitudes, interleaved rANS.

    References
    ----------
    Liang et al., "SZ3", IEEE Transactions on Big Data, 2023, https://arxiv.org/abs/2111.02925.
    Differs: contexts and arithmetic-like coding in place of Huffman and zstd, whole numbers
    throughout. Tao et al., IPDPS 2017, https://arxiv.org/abs/1706.03791 (Lorenzo within a bound).

    Examples
    --------
    >>> x = np.sin(np.linspace(0, 20, 10_000)).astype(np.float32)
    >>> data = ArrayCompressor("abs:1e-3").compress(x)
    >>> y = ArrayCompressor().decompress(data)
    >>> len(data) < x.nbytes / 30, bool(np.abs(x - y).max() <= 1e-3)
    (True, True)
    """

    def __init__(self, error: str = LOSSLESS, model: Any = None):
        self.error, self.model = error, model
        self._bound = Bound.parse(error)
        self._predictor = None if model is None else ModelPredictor(model)

    def compress(self, array: Any) -> bytes:
        """Return an array as the bytes of a file.

        Raises
        ------
        TypeError
            If it is no array of float16, float32 or float64.
        ValueError
            If its rows are not the model's, or there is a model and the error is 'lossless': its
            predictions are not the same bits on all machines.
        """
        return b"".join(self.pieces(array))

    def pieces(self, array: Any) -> Iterator[bytes]:
        """Yield the bytes of :meth:`compress` piece by piece: for arrays mapped from a file, in bounded memory."""
        given = _checked(array)
        if self._predictor is not None and self._bound.mode == LOSSLESS:
            raise ValueError(
                "lossless takes no model: its predictions are not the same bits on all machines. Give an error."
            )
        fortran = given.ndim > 1 and given.flags.f_contiguous and not given.flags.c_contiguous
        plain = given.T if fortran else given
        bound, blocks = self._blocks(plain if plain.ndim else plain.reshape(1))
        flags = FORTRAN * fortran + BIG * (given.dtype.newbyteorder("<") != given.dtype)
        kind = TYPES.index(given.dtype.newbyteorder("="))
        header = HEAD.pack(kind, flags, MODES.index(self._bound.mode), given.ndim, self._bound.value, bound)
        header += struct.pack(f"<{given.ndim}Q", *given.shape)
        model = 0 if self._predictor is None else self._predictor.id
        return container.pieces(ARRAY, header, (Chunk(BLOCK, block) for block in blocks), model=model)

    def decompress(
        self, data: bytes | memoryview, out: np.ndarray | None = None, limit: int | None = None
    ) -> np.ndarray:
        """Return the array of a file.

        Parameters
        ----------
        data : bytes-like
            From :meth:`compress`.
        out : ndarray, optional
            Where to write it, such as a mapped file: of its shape and type.
        limit : int, optional
            Most bytes of the array, by default half of the machine's memory; not for ``out``.

        Raises
        ------
        CorruptStreamError
            If the file is damaged, cut short, or none.
        ValueError
            If it needs another model, or is larger than the limit.
        """
        contents, facts = _read(data)
        self._check_model(facts.model)
        most = memory() // 2 if limit is None else limit
        if out is None and facts.nbytes > most:
            raise ValueError(
                f"the array has {facts.nbytes:,} bytes, more than the limit of {most:,}. Raise it, or give out."
            )
        if out is None:
            out = np.empty(facts.shape, facts.dtype, order="F" if facts.fortran else "C")
        if out.shape != facts.shape or out.dtype != facts.dtype:
            raise ValueError(f"out must be {facts.dtype} of shape {facts.shape}, got {out.dtype} of {out.shape}.")
        plain = out.T if facts.fortran else out
        plain = plain if plain.ndim else plain.reshape(1)
        dtype = facts.dtype.newbyteorder("=")
        for number, (tile, chunk) in enumerate(
            zip(_tiles(plain.shape, bool(facts.model)), contents.chunks, strict=True)
        ):
            shape = tuple(part.stop - part.start for part in tile)
            try:
                plain[tile] = self._decode(memoryview(chunk.payload), shape, dtype, facts)
            except CorruptStreamError as error:
                raise CorruptStreamError(f"block {number} of {facts.blocks}: {error}") from error
        return out

    def _blocks(self, plain: np.ndarray) -> tuple[float, Iterator[bytes]]:
        """Return the largest error, and the coded blocks, made as they are asked for."""
        tiles = list(_tiles(plain.shape, self._predictor is not None))
        bound = self._bound.absolute(*_range(plain, tiles)) if tiles else 0.0
        if self._bound.mode != "psnr" or not bound:
            return bound, (self._encode(_tile(plain, tile), bound)[0] for tile in tiles)
        # Errors are seldom as bad as the bound: first one that even errors would allow.
        tried, wanted = bound * math.sqrt(3), bound
        for _ in range(PSNR_TRIES):
            coded = [self._encode(_tile(plain, tile), tried) for tile in tiles]
            finite = sum(count for _, _, count in coded)
            reached = tried * math.sqrt(sum(squares for _, squares, _ in coded) / max(finite, 1))
            if reached <= wanted:
                return tried, iter([block for block, _, _ in coded])
            tried *= wanted / reached * 0.999
        return bound, (self._encode(_tile(plain, tile), bound)[0] for tile in tiles)

    def _encode(self, values: np.ndarray, bound: float) -> tuple[bytes, float, int]:
        """Return the smallest stream that keeps the bound; the sum of squared errors, in bounds; how many values."""
        streams = []
        if bound:
            near = encode_near(values, bound)
            streams += [] if near is None else [bytes([NEAR]) + near]
            if self._predictor is not None:
                left = self._predictor.encode(values, bound)
                streams += [] if left is None else [bytes([MODEL]) + left]
        best = min(streams, key=len) if streams else bytes([EXACT]) + encode_exact(values)
        restored = self._restored(memoryview(best), values.shape, values.dtype, bound)
        kept = nearness(values, restored, bound)
        if not kept.all():
            raise RuntimeError(f"{(~kept).sum()} values would be farther off than {bound:g}; nothing was written.")
        finite = np.isfinite(values)
        off = values[finite].astype(np.float64) - restored[finite]
        return best, float(np.square(off / (bound or 1)).sum()), off.size

    def _decode(self, data: memoryview, shape: tuple[int, ...], dtype: np.dtype, facts: ArrayFacts) -> np.ndarray:
        if not len(data) or data[0] > MODEL or (data[0] == MODEL and not facts.model):
            raise CorruptStreamError("it is of a kind that is not known.")
        return self._restored(data, shape, dtype, facts.bound)

    def _restored(self, data: memoryview, shape: tuple[int, ...], dtype: np.dtype, bound: float) -> np.ndarray:
        if data[0] == EXACT:
            return decode_exact(data[1:], shape, dtype)
        if data[0] == NEAR:
            return decode_near(data[1:], shape, dtype)
        assert self._predictor is not None
        return self._predictor.decode(data[1:], shape, dtype, bound)

    def _check_model(self, needed: int) -> None:
        mine = 0 if self._predictor is None else self._predictor.id
        if needed and needed != mine:
            given = f"the one given is {mine:016x}" if mine else "none was given"
            raise ValueError(f"the file needs the model {needed:016x}; {given}. Give the model it was compressed with.")


def array_facts(data: bytes | memoryview) -> ArrayFacts:
    """Return what a compressed array says of itself, without decoding it.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.

    Examples
    --------
    >>> array_facts(ArrayCompressor("abs:0.1").compress(np.ones((3, 4)))).shape
    (3, 4)
    """
    return _read(data)[1]


def _read(data: bytes | memoryview) -> tuple[Contents, ArrayFacts]:
    contents = container.read(data, known=(BLOCK,))
    if contents.kind != ARRAY:
        raise CorruptStreamError(f"the file holds {container.KINDS[contents.kind]}, no array.")
    header = contents.header
    if len(header) < HEAD.size or len(header) != HEAD.size + 8 * header[3]:
        raise CorruptStreamError("the header of the array is damaged.")
    kind, flags, mode, axes, value, bound = HEAD.unpack_from(header)
    if kind >= len(TYPES) or flags > 3 or mode >= len(MODES) or axes > 64 or not 0 <= bound < math.inf:
        raise CorruptStreamError("the header of the array is damaged: a value is not known.")
    shape = struct.unpack_from(f"<{axes}Q", header, HEAD.size)
    fortran = bool(flags & FORTRAN)
    dtype = TYPES[kind].newbyteorder(">" if flags & BIG else "<")
    blocks = _count((shape[::-1] if fortran else shape) or (1,), bool(contents.model))
    # Before anything is as large as the header says: each block is there.
    if blocks != len(contents.chunks):
        raise CorruptStreamError(f"an array of shape {shape} has {blocks} blocks, {len(contents.chunks)} are there.")
    return contents, ArrayFacts(shape, dtype, fortran, Bound(MODES[mode], value), bound, contents.model, blocks)


def _checked(array: Any) -> np.ndarray:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("masks are not kept; fill the array with NaN where it is masked: array.filled(np.nan).")
    given = np.asarray(array)
    if given.dtype.kind != "f" or given.dtype.newbyteorder("=") not in TYPES:
        raise TypeError(f"arrays must be float16, float32 or float64, got {given.dtype}; convert it with astype.")
    return given


def _edges(shape: tuple[int, ...], whole_rows: bool) -> list[int]:
    """Return the size of a block: the longest axis halved until values are few enough; rows stay whole if asked."""
    edges = list(shape)
    while prod(edges) > BLOCK_VALUES:
        axis = 0 if whole_rows else edges.index(max(edges))
        if edges[axis] == 1:
            break
        edges[axis] = (edges[axis] + 1) // 2
    return edges


def _count(shape: tuple[int, ...], whole_rows: bool) -> int:
    if not prod(shape):
        return 0
    return prod(-(-size // edge) for size, edge in zip(shape, _edges(shape, whole_rows), strict=True))


def _tiles(shape: tuple[int, ...], whole_rows: bool) -> Iterator[tuple[slice, ...]]:
    """Yield where each block is, the last axis fastest."""
    if not prod(shape):
        return
    cuts = [
        [slice(begin, min(begin + edge, size)) for begin in range(0, size, edge)]
        for size, edge in zip(shape, _edges(shape, whole_rows), strict=True)
    ]
    yield from itertools.product(*cuts)


def _tile(plain: np.ndarray, tile: tuple[slice, ...]) -> np.ndarray:
    """Return a block, in memory, in C's order and the machine's byte order."""
    return np.ascontiguousarray(plain[tile], dtype=plain.dtype.newbyteorder("="))


def _range(plain: np.ndarray, tiles: list[tuple[slice, ...]]) -> tuple[float, float]:
    """Return the least and the greatest finite value; zeros if there is none."""
    least, greatest = math.inf, -math.inf
    for tile in tiles:
        values = _tile(plain, tile)
        finite = values[np.isfinite(values)]
        if finite.size:
            least, greatest = min(least, float(finite.min())), max(greatest, float(finite.max()))
    return (least, greatest) if least <= greatest else (0.0, 0.0)
