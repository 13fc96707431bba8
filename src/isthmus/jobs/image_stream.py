"""Compressed images as bytes: what their header and chunks say, and which of it is believed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from isthmus.coding import IMAGE, Chunk, CorruptStreamError, container
from isthmus.coding.compact import unzipped

__all__ = ["MAX_PIXELS", "ImageFacts", "Stream", "Tile", "image_facts", "read_stream", "write_stream"]

MAX_PIXELS = 1 << 28
MAX_SIDE = 1 << 24
MAX_METADATA = 1 << 24
# Width, height; colours, bits, levels, stride, halo, parts; quality in 256ths of a level, positions of a tile.
HEAD = struct.Struct("<IIBBBBBBHH")
NUMBER = struct.Struct("<I")
TILE, ALPHA = b"TILE", b"ALPH"
METADATA = {"icc": b"ICCP", "exif": b"EXIF", "xmp": b"XMP "}
# What there may be besides tiles; the first is bit 0.
PARTS = {"alpha": ALPHA} | METADATA
FINE = 256
PLAIN, DIFFERENCES = 0, 1


class Tile(NamedTuple):
    """Where a tile is: its number, and its rows and columns of positions."""

    number: int
    rows: slice
    columns: slice


@dataclass(frozen=True)
class ImageFacts:
    """What a compressed image says of itself.

    Attributes
    ----------
    width, height : int
        In pixels.
    channels : int
        1: grey, 3: colour.
    levels : int
        Levels of quality of the model.
    stride : int
        Pixels between positions of the code, in rows and in columns.
    halo : int
        Positions around a tile that its pixels are decoded from besides its own.
    step : int
        The quality, in 256ths of a level.
    edge : int
        Rows and columns of positions of a tile.
    parts : tuple of str
        What there is besides: ``alpha``, ``icc``, ``exif``, ``xmp``.
    """

    width: int
    height: int
    channels: int
    levels: int
    stride: int
    halo: int
    step: int
    edge: int
    parts: tuple[str, ...] = ()

    @property
    def quality(self) -> float:
        """The quality from 0 to 100."""
        return 100 * self.step / (FINE * max(self.levels - 1, 1))

    @property
    def level(self) -> float:
        """The quality as the bottleneck counts it."""
        return self.step / FINE

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of the code."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = self.positions
        return -(-rows // self.edge), -(-columns // self.edge)

    def tiles_of_row(self, row: int) -> Iterator[Tile]:
        """Yield the tiles of a row of tiles, from left to right."""
        rows, columns = self.positions
        below = slice(row * self.edge, min(rows, (row + 1) * self.edge))
        for column in range(self.tiles[1]):
            beside = slice(column * self.edge, min(columns, (column + 1) * self.edge))
            yield Tile(row * self.tiles[1] + column, below, beside)

    def every_tile(self) -> Iterator[Tile]:
        """Yield all tiles, row by row."""
        for row in range(self.tiles[0]):
            yield from self.tiles_of_row(row)


@dataclass(frozen=True)
class Stream:
    """A compressed image, taken apart.

    Attributes
    ----------
    facts : ImageFacts
        Of the header.
    model : int
        First eight bytes of the identity of the model that it needs.
    tiles : dict of int to memoryview
        The stream of each tile; those that are lost are not there.
    alpha : ndarray of uint8 or None
        Transparency, ``(h, w)``.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, where they are there.
    lost : list of str
        Parts that should be there and are not.
    """

    facts: ImageFacts
    model: int
    tiles: dict[int, memoryview]
    alpha: np.ndarray | None
    metadata: dict[str, bytes]
    lost: list[str]


def write_stream(
    facts: ImageFacts, model: int, tiles: Sequence[bytes], alpha: np.ndarray | None, metadata: dict[str, bytes]
) -> bytes:
    """Return an image as bytes; tiles in the order of their numbers, and its parts as the facts say.

    Header of the container, little endian: width, height (u32), channels, bits, levels, stride,
    halo (u8), parts (u8: 1 alpha, 2 ICC,
    4 EXIF, 8 XMP), quality in 256ths of a level, positions of a tile's side (u16). Chunks: ``ICCP``,
    ``EXIF``, ``XMP `` verbatim; ``ALPH``, transparency, packed by zlib; ``TILE``: its number (u32),
    its stream.
    """
    parts = sum(1 << bit for bit, name in enumerate(PARTS) if name in facts.parts)
    shape = (facts.width, facts.height, facts.channels, 8, facts.levels, facts.stride, facts.halo)
    header = HEAD.pack(*shape, parts, facts.step, facts.edge)
    chunks = [Chunk(METADATA[name], data) for name, data in metadata.items()]
    if alpha is not None:
        chunks.append(Chunk(ALPHA, _packed(alpha)))
    chunks += [Chunk(TILE, NUMBER.pack(number) + data) for number, data in enumerate(tiles)]
    return container.write(IMAGE, header, chunks, model=model)


def image_facts(data: bytes | memoryview) -> tuple[ImageFacts, dict[str, Any]]:
    """Return what a compressed image says of itself, and what else there is to tell; nothing is decoded.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.
    """
    contents = container.read(data, known=(TILE, ALPHA, *METADATA.values()))
    facts = _facts(contents)
    sizes = {
        name: len(chunk.payload) for name, code in METADATA.items() for chunk in contents.chunks if chunk[0] == code
    }
    return facts, {"model": f"{contents.model:016x}", "alpha": "alpha" in facts.parts} | sizes


def read_stream(data: bytes | memoryview, max_pixels: int = MAX_PIXELS, conceal: bool = False) -> Stream:
    """Return a compressed image, taken apart.

    Parameters
    ----------
    data : bytes-like
        The whole file.
    max_pixels : int
        The most that the image may have.
    conceal : bool
        Go on without tiles that are damaged or cut off; the header must be whole.

    Raises
    ------
    CorruptStreamError
        If it is damaged, or no image.
    ValueError
        If it has more pixels than allowed.
    """
    known = (TILE, ALPHA, *METADATA.values())
    contents = container.salvage(data, known=known) if conceal else container.read(data, known=known)
    facts = _facts(contents)
    if facts.width * facts.height > max_pixels:
        raise ValueError(
            f"the image has {facts.width} x {facts.height} pixels, more than the limit of {max_pixels:,}; "
            "if you trust the file, raise max_pixels."
        )
    count = facts.tiles[0] * facts.tiles[1]
    tiles: dict[int, memoryview] = {}
    for payload in (memoryview(chunk.payload) for chunk in contents.chunks if chunk.name == TILE):
        number = NUMBER.unpack_from(payload)[0] if len(payload) >= NUMBER.size else count
        if number >= count or number in tiles or (not conceal and number != len(tiles)):
            raise CorruptStreamError(f"tile {number} does not belong where it is, among {count} tiles.")
        tiles[number] = payload[NUMBER.size :]
    if not tiles or (len(tiles) != count and not conceal):
        raise CorruptStreamError(f"an image of {count} tiles has {len(tiles)} of them.")
    found = {name: one for name, code in PARTS.items() if (one := _only(contents, code)) is not None}
    lost = [name for name in facts.parts if name not in found]
    if (lost and not conceal) or not found.keys() <= set(facts.parts):
        raise CorruptStreamError("what the image carries besides its tiles is not what its header says.")
    alpha = _unpacked(found.pop("alpha"), facts) if "alpha" in found else None
    if sum(map(len, found.values())) > MAX_METADATA:
        raise CorruptStreamError(f"the image carries more than the {MAX_METADATA:,} bytes of metadata that it may.")
    return Stream(facts, contents.model, tiles, alpha, {name: bytes(one) for name, one in found.items()}, lost)


def _facts(contents: container.Contents) -> ImageFacts:
    if contents.kind != IMAGE:
        raise CorruptStreamError(f"the file holds {container.KINDS[contents.kind]}, no image.")
    if len(contents.header) != HEAD.size:
        raise CorruptStreamError("the header of the image is damaged.")
    width, height, channels, bits, levels, stride, halo, parts, step, edge = HEAD.unpack(contents.header)
    if (
        not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and channels in (1, 3) and bits == 8)
        or not (levels and stride and 0 <= halo <= edge and 0 < edge <= 4096)
        or step > FINE * (levels - 1)
        or parts >> len(PARTS)
    ):
        raise CorruptStreamError("the header of the image is damaged: a value is out of its range.")
    names = tuple(name for bit, name in enumerate(PARTS) if parts >> bit & 1)
    return ImageFacts(width, height, channels, levels, stride, halo, step, edge, names)


def _only(contents: container.Contents, name: bytes) -> memoryview | None:
    """Return the payload of the chunk of this name, if there is one."""
    found = [memoryview(chunk.payload) for chunk in contents.chunks if chunk.name == name]
    if len(found) > 1:
        raise CorruptStreamError(f"the image has {len(found)} chunks {name.decode()!r}, at most one is read.")
    return found[0] if found else None


def _packed(alpha: np.ndarray) -> bytes:
    """Return transparency as it is or as differences of rows, whichever is smaller packed."""
    below = np.diff(alpha, axis=0, prepend=np.zeros_like(alpha[:1]))
    ways = ((PLAIN, alpha), (DIFFERENCES, below))
    return min((bytes([way]) + zlib.compress(values.tobytes(), 9) for way, values in ways), key=len)


def _unpacked(data: memoryview, facts: ImageFacts) -> np.ndarray:
    pixels = facts.width * facts.height
    plain = unzipped(data[1:], pixels)
    if not data or data[0] > DIFFERENCES or len(plain) != pixels:
        raise CorruptStreamError("the transparency of the image is damaged.")
    values = np.frombuffer(plain, np.uint8).reshape(facts.height, facts.width)
    return np.cumsum(values, axis=0, dtype=np.uint8) if data[0] == DIFFERENCES else values
