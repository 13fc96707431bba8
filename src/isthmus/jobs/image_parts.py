"""What files of images have in common, however their pixels are coded: metadata, transparency, limits, their model."""

from __future__ import annotations

import zlib

import numpy as np

from isthmus.coding import Chunk, CorruptStreamError
from isthmus.coding.compact import unzipped

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "METADATA",
    "PARTS",
    "as_bits",
    "check_model",
    "check_pixels",
    "chunks_of",
    "from_bits",
    "metadata_of",
    "parts_of",
    "unpacked_alpha",
]

MAX_PIXELS = 1 << 28
MAX_SIDE = 1 << 24
MAX_METADATA = 1 << 24
ALPHA = b"ALPH"
METADATA = {"icc": b"ICCP", "exif": b"EXIF", "xmp": b"XMP "}
# What there may be besides the pixels; the first is bit 0.
PARTS = {"alpha": ALPHA} | METADATA
PLAIN, DIFFERENCES = 0, 1


def parts_of(alpha: np.ndarray | None, metadata: dict[str, bytes]) -> tuple[str, ...]:
    """Return the names of what there is besides pixels."""
    return (*(["alpha"] if alpha is not None else []), *metadata)


def as_bits(parts: tuple[str, ...]) -> int:
    """Return the names of parts as a byte of the header."""
    return sum(1 << bit for bit, name in enumerate(PARTS) if name in parts)


def from_bits(bits: int) -> tuple[str, ...]:
    """Return what :func:`as_bits` was given, or raise CorruptStreamError."""
    if bits >> len(PARTS):
        raise CorruptStreamError("the header of the image is damaged: a value is out of its range.")
    return tuple(name for bit, name in enumerate(PARTS) if bits >> bit & 1)


def chunks_of(alpha: np.ndarray | None, metadata: dict[str, bytes]) -> tuple[list[Chunk], list[Chunk]]:
    """Return chunks of metadata, verbatim, and of transparency: packed by zlib, as it is or as differences of rows."""
    carried = [Chunk(METADATA[name], data) for name, data in metadata.items()]
    if alpha is None:
        return carried, []
    below = np.diff(alpha, axis=0, prepend=np.zeros_like(alpha[:1]))
    ways = ((PLAIN, alpha), (DIFFERENCES, below))
    packed = min((bytes([way]) + zlib.compress(values.tobytes(), 9) for way, values in ways), key=len)
    return carried, [Chunk(ALPHA, packed)]


def unpacked_alpha(data: memoryview, height: int, width: int) -> np.ndarray:
    """Return transparency ``(h, w)``, or raise CorruptStreamError."""
    plain = unzipped(data[1:], height * width)
    if not data or data[0] > DIFFERENCES or len(plain) != height * width:
        raise CorruptStreamError("the transparency of the image is damaged.")
    values = np.frombuffer(plain, np.uint8).reshape(height, width)
    return np.cumsum(values, axis=0, dtype=np.uint8) if data[0] == DIFFERENCES else values


def metadata_of(found: dict[str, memoryview]) -> dict[str, bytes]:
    """Return metadata as bytes, or raise CorruptStreamError where it is more than it may be."""
    if sum(map(len, found.values())) > MAX_METADATA:
        raise CorruptStreamError(f"the image carries more than the {MAX_METADATA:,} bytes of metadata that it may.")
    return {name: bytes(one) for name, one in found.items()}


def check_pixels(width: int, height: int, most: int) -> None:
    """Raise ValueError where an image has more pixels than allowed."""
    if width * height > most:
        raise ValueError(
            f"the image has {width} x {height} pixels, more than the limit of {most:,}; "
            "if you trust the file, raise max_pixels."
        )


def check_model(needed: str, model: int) -> None:
    """Raise ValueError unless the identity of a model begins as the file that needs it says."""
    if not f"{model:016x}".startswith(needed):
        raise ValueError(
            f"the file needs the model {needed}; this one is {model:016x}. Give the model it was compressed with."
        )
