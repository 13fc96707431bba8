"""Large images without a second copy: read where Pillow keeps them, written as PNG row by row."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["LARGE", "StoredPixels", "write_png"]

# Pixels of an image from which on a copy of it counts.
LARGE = 1 << 25
STRIP = 64
# What the header of a PNG calls 1 to 4 channels.
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
ABOVE = 2


class StoredPixels:
    """Pixels ``(h, w, c)`` of an image that stays in Pillow's memory; arrays are made of regions of it.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded.
    mode : str
        ``L`` or ``RGB``: what the regions are converted to.

    Examples
    --------
    >>> pixels = StoredPixels(Image.new("RGB", (60, 40), "red"), "RGB")
    >>> pixels.shape, pixels[30:99, :20].shape, np.asarray(pixels).shape
    ((40, 60, 3), (10, 20, 3), (40, 60, 3))
    """

    def __init__(self, image: Image.Image, mode: str):
        self._image, self._mode = image, mode
        self.shape = (image.height, image.width, len(mode))
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        (top, bottom, _), (left, right, _) = (
            one.indices(size) for one, size in zip(place, self.shape[:2], strict=True)
        )
        region = np.asarray(self._image.crop((left, top, right, bottom)).convert(self._mode))
        return region.reshape(bottom - top, right - left, -1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = np.empty(self.shape, np.uint8)
        for top in range(0, self.shape[0], STRIP):
            found[top : top + STRIP] = self[top : top + STRIP, :]
        return found if dtype is None else found.astype(dtype, copy=False)


def write_png(path: Path, pixels: np.ndarray, alpha: np.ndarray | None, metadata: dict[str, bytes]) -> None:
    """Write a picture as PNG (ISO/IEC 15948); Pillow, to do so, would copy it first.

    Parameters
    ----------
    path : Path
        The file.
    pixels : ndarray of uint8, shape (h, w, 1) or (h, w, 3)
        The picture.
    alpha : ndarray of uint8, shape (h, w), optional
        Its transparency.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, where they are there.
    """
    height, width, channels = pixels.shape
    kind = KINDS[channels + (alpha is not None)]
    with path.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        out.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)))
        if "icc" in metadata:
            out.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata["icc"])))
        if "exif" in metadata:
            out.write(_chunk(b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0")))
        if "xmp" in metadata:
            out.write(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata["xmp"]))
        packer = zlib.compressobj()
        for rows in _filtered(pixels, alpha):
            if packed := packer.compress(rows):
                out.write(_chunk(b"IDAT", packed))
        out.write(_chunk(b"IDAT", packer.flush()))
        out.write(_chunk(b"IEND", b""))


def _filtered(pixels: np.ndarray, alpha: np.ndarray | None) -> Iterator[bytes]:
    """Yield strips of rows, each less the one above."""
    last: Any = 0
    for top in range(0, len(pixels), STRIP):
        strip = pixels[top : top + STRIP]
        if alpha is not None:
            strip = np.concatenate([strip, alpha[top : top + STRIP, :, None]], axis=2)
        rows = strip.reshape(len(strip), -1)
        filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = ABOVE
        filtered[0, 1:] = rows[0] - last
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        last = rows[-1]
        yield filtered.tobytes()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
