"""Wrapped images as bytes: a standard codec's file, and what must be known beside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.coding import Chunk, CorruptStreamError, container
from isthmus.coding.container import WRAPPED
from isthmus.jobs.image_parts import (
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
from isthmus.reading.standard import CODECS

__all__ = ["WrapFacts", "Wrapped", "read_wrapped", "wrap_facts", "write_wrapped"]

# Width, height; colours, bits, codec, times smaller, quality, parts.
HEAD = struct.Struct("<IIBBBBBB")
FILE = b"FILE"


@dataclass(frozen=True)
class WrapFacts:
    """What a wrapped image says of itself.

    Attributes
    ----------
    width, height : int
        In pixels, of the whole image.
    channels : int
        1: grey, 3: colour.
    codec : str
        Whose file is within: one of ``CODECS``.
    scale : int
        How many times smaller the image within is.
    quality : int
        That codec's, 0 to 100.
    parts : tuple of str
        What there is besides: ``alpha``, ``icc``, ``exif``, ``xmp``.
    """

    width: int
    height: int
    channels: int
    codec: str
    scale: int
    quality: int
    parts: tuple[str, ...] = ()

    @property
    def small(self) -> tuple[int, int, int]:
        """Height, width and channels of the image within."""
        return -(-self.height // self.scale), -(-self.width // self.scale), self.channels


@dataclass(frozen=True)
class Wrapped:
    """A wrapped image, taken apart.

    Attributes
    ----------
    facts : WrapFacts
        Of the header.
    model : str
        How the identity of the model that it needs begins: 16 hexadecimal digits, 8 of a small file.
    file : memoryview
        The standard codec's file.
    alpha : ndarray of uint8 or None
        Transparency, ``(h, w)``.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, where they are there.
    """

    facts: WrapFacts
    model: str
    file: memoryview
    alpha: np.ndarray | None
    metadata: dict[str, bytes]


def write_wrapped(
    facts: WrapFacts, model: int, file: bytes, alpha: np.ndarray | None, metadata: dict[str, bytes]
) -> bytes:
    """Return a wrapped image as bytes.

    Header of the container, little endian: width, height (u32), channels, bits, codec, times
    smaller, quality, parts (u8 each; parts: 1 alpha, 2 ICC, 4 EXIF, 8 XMP). Chunks: ``ICCP``,
    ``EXIF``, ``XMP `` verbatim; ``ALPH``, transparency, packed by zlib; ``FILE``, the standard
    codec's file, verbatim. Without parts it is a small container, whose body is header and file.
    """
    shape = (facts.width, facts.height, facts.channels, 8)
    header = HEAD.pack(*shape, CODECS.index(facts.codec), facts.scale, facts.quality, as_bits(facts.parts))
    if not facts.parts:
        return container.write_small(WRAPPED, header + file, model=model)
    carried, transparency = chunks_of(alpha, metadata)
    return container.write(WRAPPED, header, [*carried, *transparency, Chunk(FILE, file)], model=model)


def wrap_facts(data: bytes | memoryview) -> tuple[WrapFacts, dict[str, Any]]:
    """Return what a wrapped image says of itself, and what else there is to tell; nothing is decoded.

    Raises
    ------
    CorruptStreamError
        If it is none, or damaged.
    """
    model, facts, found = _taken_apart(data)
    sizes = {name: len(payload) for name, payload in found.items() if name in METADATA}
    return facts, {"model": model, "alpha": "alpha" in facts.parts} | sizes


def read_wrapped(data: bytes | memoryview, max_pixels: int) -> Wrapped:
    """Return a wrapped image, taken apart.

    Raises
    ------
    CorruptStreamError
        If it is damaged, or none.
    ValueError
        If it has more pixels than allowed.
    """
    model, facts, found = _taken_apart(data)
    check_pixels(facts.width, facts.height, max_pixels)
    file, alpha = found.pop("file"), None
    if "alpha" in found:
        alpha = unpacked_alpha(found.pop("alpha"), facts.height, facts.width)
    return Wrapped(facts, model, file, alpha, metadata_of(found))


def _taken_apart(data: bytes | memoryview) -> tuple[str, WrapFacts, dict[str, memoryview]]:
    """Return the model's identity, what the header says, and the payloads, which are those that it says."""
    if container.is_small(data):
        small = container.read_small(data)
        _check_kind(small.kind)
        facts = _facts(bytes(small.body[: HEAD.size]))
        if facts.parts:
            raise CorruptStreamError("a small file carries nothing besides the image, and its header says otherwise.")
        return f"{small.model:08x}", facts, {"file": small.body[HEAD.size :]}
    names = {code: name for name, code in PARTS.items()} | {FILE: "file"}
    contents = container.read(data, known=names)
    _check_kind(contents.kind)
    facts = _facts(contents.header)
    found = {names[chunk.name]: memoryview(chunk.payload) for chunk in contents.chunks}
    if len(found) != len(contents.chunks) or found.keys() != {"file", *facts.parts}:
        raise CorruptStreamError("what the image is made of is not what its header says.")
    return f"{contents.model:016x}", facts, found


def _check_kind(kind: int) -> None:
    if kind != WRAPPED:
        raise CorruptStreamError(f"the file holds {container.KINDS[kind]}, no wrapped image.")


def _facts(header: bytes) -> WrapFacts:
    if len(header) != HEAD.size:
        raise CorruptStreamError("the header of the image is damaged.")
    width, height, channels, bits, codec, scale, quality, parts = HEAD.unpack(header)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and channels in (1, 3) and bits == 8) or not (
        codec < len(CODECS) and scale and quality <= 100
    ):
        raise CorruptStreamError("the header of the image is damaged: a value is out of its range.")
    return WrapFacts(width, height, channels, CODECS[codec], scale, quality, from_bits(parts))
