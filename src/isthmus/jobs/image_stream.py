"""Compressed images as bytes: what their header and chunks say, and which of it is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from isthmus.coding import IMAGE, Chunk, CorruptStreamError, container
from isthmus.jobs.image_parts import (
    MAX_PIXELS,
    MAX_SIDE,
    METADATA,
    PARTS,
    as_bits,
    check_pixels,
    chunks_of,
    from_bits,
    metadata_of,
    unpacked_alpha,
)

__all__ = [
    "MAX_TILE",
    "ImageFacts",
    "Stream",
    "Tile",
    "image_facts",
    "read_stream",
    "write_small",
    "write_stream",
]

# Side of a tile in pixels, and of an image in a small file.
MAX_TILE = 4096
# Width, height; colours, bits, levels, stride, halo, parts; quality in 256ths of a level, positions of a tile.
HEAD = struct.Struct("<IIBBBBBBHH")
# From the lowest bit: width less one, height less one (12 bits each), levels (7), colour (1); stride; quality.
SMALL_HEAD = struct.Struct("<IBH")
NUMBER = struct.Struct("<I")
# Of a tile's number: the rest of its stream is in a chunk of its own.
IN_TWO = 1 << 31
TILE, REST = b"TILE", b"REST"
KNOWN = (TILE, REST, *PARTS.values())
FINE = 256


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
    small : bool
        Whether the file is a small one: one tile, whose stream is a short one, and nothing besides.
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
    small: bool = False

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
    model : str
        How the identity of the model that it needs begins: 16 hexadecimal digits, 8 of a small file.
    tiles : dict of int to bytes-like
        The stream of each tile; those that are lost are not there.
    begun : set of int
        Tiles of whose stream the second piece is lost.
    alpha : ndarray of uint8 or None
        Transparency, ``(h, w)``.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, where they are there.
    lost : list of str
        Parts that should be there and are not.
    """

    facts: ImageFacts
    model: str
    tiles: dict[int, bytes | memoryview]
    begun: set[int]
    alpha: np.ndarray | None
    metadata: dict[str, bytes]
    lost: list[str]


def write_stream(
    facts: ImageFacts,
    model: int,
    tiles: Sequence[tuple[bytes, bytes]],
    alpha: np.ndarray | None,
    metadata: dict[str, bytes],
) -> bytes:
    """Return an image as bytes; its parts as the facts say.

    Header of the container, little endian: width, height (u32), channels, bits, levels, stride,
    halo (u8), parts (u8: 1 alpha, 2 ICC, 4 EXIF, 8 XMP), quality in 256ths of a level, positions
    of a tile's side (u16). Chunks: ``ICCP``,
    ``EXIF``, ``XMP `` verbatim; ``TILE``: its number (u32), its stream; where bit 31 of the number
    is set, the first piece of its stream, the other being in ``REST``: its number (u32), the piece;
    ``ALPH``, transparency, packed by zlib. First pieces of all tiles come first, so that a file
    that is cut off still holds a preview of the whole image.

    Parameters
    ----------
    facts : ImageFacts
        What the file says of itself.
    model : int
        First eight bytes of the identity of the model.
    tiles : sequence of (bytes, bytes)
        The stream of each tile in two pieces, of which the second may be empty; in the order of their numbers.
    alpha : ndarray of uint8, optional
        Transparency, ``(h, w)``.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, where they are there.
    """
    shape = (facts.width, facts.height, facts.channels, 8, facts.levels, facts.stride, facts.halo)
    header = HEAD.pack(*shape, as_bits(facts.parts), facts.step, facts.edge)
    chunks, transparency = chunks_of(alpha, metadata)
    for number, (first, rest) in enumerate(tiles):
        chunks.append(Chunk(TILE, NUMBER.pack(number | IN_TWO if rest else number) + first))
    chunks += transparency + [Chunk(REST, NUMBER.pack(number) + rest) for number, (_, rest) in enumerate(tiles) if rest]
    return container.write(IMAGE, header, chunks, model=model)


def write_small(facts: ImageFacts, model: int, tile: bytes) -> bytes | None:
    """Return an image of one tile as a small file, 20 bytes longer than the tile's short stream.

    Body of a small container, little endian: width less one, height less one, levels, whether it
    has colours (12, 12, 7 and 1 bits of a u32, from the lowest), stride (u8), quality in 256ths of
    a level (u16), the stream. None where the facts do not fit in there.
    """
    if facts.parts or facts.tiles != (1, 1) or max(facts.width, facts.height) > MAX_TILE or facts.levels > 127:
        return None
    sides = facts.width - 1 | facts.height - 1 << 12
    head = SMALL_HEAD.pack(sides | facts.levels << 24 | (facts.channels == 3) << 31, facts.stride, facts.step)
    return container.write_small(IMAGE, head + tile, model=model)


def image_facts(data: bytes | memoryview) -> tuple[ImageFacts, dict[str, Any]]:
    """Return what a compressed image says of itself, and what else there is to tell; nothing is decoded.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.
    """
    if container.is_small(data):
        stream = _small_stream(data)
        return stream.facts, {"model": stream.model, "alpha": False}
    contents = container.read(data, known=KNOWN)
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
    if container.is_small(data):
        small = _small_stream(data)
        check_pixels(small.facts.width, small.facts.height, max_pixels)
        return small
    contents = container.salvage(data, known=KNOWN) if conceal else container.read(data, known=KNOWN)
    facts = _facts(contents)
    check_pixels(facts.width, facts.height, max_pixels)
    tiles, begun = _tiles(contents, facts.tiles[0] * facts.tiles[1], conceal)
    found = {name: one for name, code in PARTS.items() if (one := _only(contents, code)) is not None}
    lost = [name for name in facts.parts if name not in found]
    if (lost and not conceal) or not found.keys() <= set(facts.parts):
        raise CorruptStreamError("what the image carries besides its tiles is not what its header says.")
    alpha = unpacked_alpha(found.pop("alpha"), facts.height, facts.width) if "alpha" in found else None
    return Stream(facts, f"{contents.model:016x}", tiles, begun, alpha, metadata_of(found), lost)


def _tiles(contents: container.Contents, count: int, conceal: bool) -> tuple[dict[int, bytes | memoryview], set[int]]:
    """Return the streams of tiles, and which of them lack their second piece."""
    tiles: dict[int, bytes | memoryview] = {}
    begun: set[int] = set()
    for number, first in _numbered(contents, TILE):
        place = number & ~IN_TWO
        if place >= count or place in tiles or (not conceal and place != len(tiles)):
            raise CorruptStreamError(f"tile {place} does not belong where it is, among {count} tiles.")
        tiles[place] = first
        if number & IN_TWO:
            begun.add(place)
    for number, rest in _numbered(contents, REST):
        if number in begun:
            tiles[number] = b"".join((tiles[number], rest))
            begun.remove(number)
        elif not conceal or number in tiles:
            raise CorruptStreamError(f"tile {number} of {count} has a rest of a stream that was whole.")
    if not tiles or ((len(tiles) != count or begun) and not conceal):
        raise CorruptStreamError(f"an image of {count} tiles has {len(tiles) - len(begun)} of them.")
    return tiles, begun


def _numbered(contents: container.Contents, name: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each chunk of a name."""
    for payload in (memoryview(chunk.payload) for chunk in contents.chunks if chunk.name == name):
        if len(payload) < NUMBER.size:
            raise CorruptStreamError(f"a chunk {name.decode()!r} of {len(payload)} bytes has no number.")
        yield NUMBER.unpack_from(payload)[0], payload[NUMBER.size :]


def _small_stream(data: bytes | memoryview) -> Stream:
    """Return what is in a small file; it is whole, or refused."""
    small = container.read_small(data)
    if small.kind != IMAGE:
        raise CorruptStreamError(f"the file holds {container.KINDS[small.kind]}, no image.")
    if len(small.body) < SMALL_HEAD.size:
        raise CorruptStreamError("the header of the image is damaged.")
    sides, stride, step = SMALL_HEAD.unpack_from(small.body)
    width, height, levels = (sides & 4095) + 1, (sides >> 12 & 4095) + 1, sides >> 24 & 127
    if not (levels and stride) or step > FINE * (levels - 1):
        raise CorruptStreamError("the header of the image is damaged: a value is out of its range.")
    channels = 3 if sides >> 31 else 1
    facts = ImageFacts(width, height, channels, levels, stride, 0, step, MAX_TILE, small=True)
    return Stream(facts, f"{small.model:08x}", {0: small.body[SMALL_HEAD.size :]}, set(), None, {}, [])


def _facts(contents: container.Contents) -> ImageFacts:
    if contents.kind != IMAGE:
        raise CorruptStreamError(f"the file holds {container.KINDS[contents.kind]}, no image.")
    if len(contents.header) != HEAD.size:
        raise CorruptStreamError("the header of the image is damaged.")
    width, height, channels, bits, levels, stride, halo, parts, step, edge = HEAD.unpack(contents.header)
    if (
        not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and channels in (1, 3) and bits == 8)
        or not (levels and stride and halo <= edge and 0 < edge * stride <= MAX_TILE)
        or step > FINE * (levels - 1)
    ):
        raise CorruptStreamError("the header of the image is damaged: a value is out of its range.")
    return ImageFacts(width, height, channels, levels, stride, halo, step, edge, from_bits(parts))


def _only(contents: container.Contents, name: bytes) -> memoryview | None:
    """Return the payload of the chunk of this name, if there is one."""
    found = [memoryview(chunk.payload) for chunk in contents.chunks if chunk.name == name]
    if len(found) > 1:
        raise CorruptStreamError(f"the image has {len(found)} chunks {name.decode()!r}, at most one is read.")
    return found[0] if found else None
