"""Compressed vectors as bytes: symbols in blocks, and what is believed of what a file says."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from isthmus.coding import VECTORS, Chunk, CorruptStreamError, Decoder, Encoder, Tables, container, lanes_for

__all__ = ["VectorFacts", "open_vectors", "symbols_of", "vector_facts", "write_vectors"]

# Vectors, dimensions, bytes of a vector, type of the numbers.
HEAD = struct.Struct("<QIHB")
TYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))
BLOCK = b"SYMB"
VECTORS_A_BLOCK = 1 << 16
PLAIN, CODED = 0, 1


class VectorFacts(NamedTuple):
    """What a file of compressed vectors says of itself.

    Attributes
    ----------
    n, width : int
        How many vectors, of how many numbers.
    depth : int
        Bytes of a vector, before they are packed.
    dtype : numpy.dtype
        Of the numbers that were compressed.
    model : int
        First eight bytes of the identity of the model that it needs.
    """

    n: int
    width: int
    depth: int
    dtype: np.dtype
    model: int

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors as they were."""
        return self.n * self.width * self.dtype.itemsize


def write_vectors(symbols: np.ndarray, width: int, dtype: np.dtype, tables: Tables, model: int) -> bytes:
    """Return symbols ``(n, q)``, ``uint8``, as the bytes of a file.

    Header of the container, little endian: vectors (u64), numbers of a vector (u32), bytes of a
    vector (u16), type of the numbers (u8: 0 float16, 1 float32, 2 float64). Chunks ``SYMB``, of 65,536
    vectors each but the last: 0 and the symbols, vector by vector; or 1 and a stream of rANS, symbol ``k`` of a
    vector coded by table ``k`` of the model; whichever is shorter.
    """
    kind = TYPES.index(dtype) if dtype in TYPES else 1
    header = HEAD.pack(len(symbols), width, symbols.shape[1], kind)
    blocks = (symbols[begin : begin + VECTORS_A_BLOCK] for begin in range(0, len(symbols), VECTORS_A_BLOCK))
    return container.write(VECTORS, header, (Chunk(BLOCK, _packed(one, tables)) for one in blocks), model=model)


def vector_facts(data: bytes | memoryview) -> VectorFacts:
    """Return what a file of vectors says of itself, without unpacking it.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.
    """
    return open_vectors(data)[0]


def symbols_of(facts: VectorFacts, chunks: Sequence[Chunk], tables: Tables) -> np.ndarray:
    """Return the symbols ``(n, q)``, ``uint8``, of an opened file whose facts were found to be acceptable.

    Raises
    ------
    CorruptStreamError
        If it is damaged.
    """
    symbols = np.empty((facts.n, facts.depth), np.uint8)
    for number, chunk in enumerate(chunks):
        block = symbols[number * VECTORS_A_BLOCK : (number + 1) * VECTORS_A_BLOCK]
        try:
            block[:] = _unpacked(memoryview(chunk.payload), block.shape, tables)
        except CorruptStreamError as error:
            raise CorruptStreamError(f"block {number} of {len(chunks)}: {error}") from error
    return symbols


def open_vectors(data: bytes | memoryview) -> tuple[VectorFacts, list[Chunk]]:
    """Return what a file of vectors says of itself, and its blocks, not unpacked.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.
    """
    contents = container.read(data, known=(BLOCK,))
    if contents.kind != VECTORS:
        raise CorruptStreamError(f"the file holds {container.KINDS[contents.kind]}, no vectors.")
    if len(contents.header) != HEAD.size:
        raise CorruptStreamError("the header of the vectors is damaged.")
    n, width, depth, kind = HEAD.unpack(contents.header)
    if not (width and depth) or kind >= len(TYPES):
        raise CorruptStreamError("the header of the vectors is damaged: a value is not known.")
    # Before anything is as large as the header says: each block is there.
    if -(-n // VECTORS_A_BLOCK) != len(contents.chunks):
        raise CorruptStreamError(
            f"{n} vectors have {-(-n // VECTORS_A_BLOCK)} blocks, {len(contents.chunks)} are there."
        )
    return VectorFacts(n, width, depth, TYPES[kind], contents.model), contents.chunks


def _packed(symbols: np.ndarray, tables: Tables) -> bytes:
    encoder = Encoder()
    encoder.symbols(tables, symbols.ravel(), _index(symbols.shape))
    coded = encoder.finish(lanes_for(symbols.size))
    return bytes([CODED]) + coded if len(coded) < symbols.size else bytes([PLAIN]) + symbols.tobytes()


def _unpacked(data: memoryview, shape: tuple[int, ...], tables: Tables) -> np.ndarray:
    size = shape[0] * shape[1]
    if len(data) == size + 1 and data[0] == PLAIN:
        return np.frombuffer(data, np.uint8, offset=1).reshape(shape)
    if not len(data) or data[0] != CODED:
        raise CorruptStreamError("it is of a kind that is not known, or not as long as it should be.")
    decoder = Decoder(data[1:], lanes_for(size))
    symbols = decoder.symbols(tables, _index(shape))
    decoder.end()
    return symbols.astype(np.uint8).reshape(shape)


def _index(shape: tuple[int, ...]) -> np.ndarray:
    return np.tile(np.arange(shape[1]), shape[0])
