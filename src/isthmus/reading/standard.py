"""Pixels as files of the standard codecs of Pillow, told a quality; read back within bounds."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from isthmus.coding import CorruptStreamError
from isthmus.reading.image_files import quiet, said

__all__ = ["CODECS", "read_pixels", "write_pixels"]

# Pillow's names, and the most pixels a side that the format allows.
NAMES = {"jpeg": ("JPEG", 65_500), "webp": ("WEBP", 16_383), "jpeg2000": ("JPEG2000", 1 << 24)}
# Files number them in this order.
CODECS = ("jpeg", "webp", "jpeg2000")
# PSNR in dB that JPEG 2000 is asked for at quality 0, and more for each step of quality.
LEAST_PSNR, PSNR_A_STEP = 18.0, 0.3


def write_pixels(pixels: np.ndarray, codec: str, quality: float, *, haste: bool = False) -> bytes:
    """Return pixels ``(h, w, 1)`` or ``(h, w, 3)`` of uint8 as a file, as small as its encoder makes it.

    Parameters
    ----------
    pixels : ndarray of uint8
        Grey or colours.
    codec : {'jpeg', 'webp', 'jpeg2000'}
        JPEG with optimised tables, progressive, 4:2:0; WebP by its slowest method, 6; JPEG 2000 by
        OpenJPEG, irreversible and with its transform of colours, as a bare code stream.
    quality : float
        From 0 to 100; of JPEG and WebP their own number, of JPEG 2000 a PSNR of 18 to 48 dB.
    haste : bool, default=False
        Sooner, and some per cent larger: the same pixels for JPEG, nearly the same for WebP.

    Raises
    ------
    ValueError
        If a side is longer than the format allows.
    """
    name, most = NAMES[codec]
    if max(pixels.shape[:2]) > most:
        raise ValueError(f"{name} has at most {most:,} pixels a side, got {pixels.shape[0]} x {pixels.shape[1]}.")
    colours = pixels.shape[2] == 3
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": round(quality), "optimize": not haste, "progressive": not haste},
        "webp": {"quality": quality, "method": 2 if haste else 6},
        "jpeg2000": {
            "irreversible": True,
            "no_jp2": True,
            "mct": int(colours),
            "quality_mode": "dB",
            "quality_layers": [LEAST_PSNR + PSNR_A_STEP * quality],
            # It halves an image five times, if it has a pixel left then.
            "num_resolutions": 1 + min(5, min(pixels.shape[:2]).bit_length() - 1),
        },
    }
    written = io.BytesIO()
    Image.fromarray(pixels if colours else pixels[..., 0]).save(written, name, **options[codec])
    return written.getvalue()


def read_pixels(data: bytes | memoryview, codec: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels ``(h, w, c)`` of a file that :func:`write_pixels` wrote.

    Nothing is decoded before format, size and colours are known to be those that are expected.

    Raises
    ------
    CorruptStreamError
        If the file is damaged, or of another format, size or number of channels.

    Examples
    --------
    >>> data = write_pixels(np.full((6, 4, 3), 99, np.uint8), "jpeg", 90)
    >>> read_pixels(data, "jpeg", (6, 4, 3)).shape
    (6, 4, 3)
    """
    height, width, channels = shape
    name = NAMES[codec][0]
    try:
        with quiet(), Image.open(io.BytesIO(data), formats=(name,)) as image:
            # WebP has no grey.
            modes = ("L",) if channels == 1 and codec != "webp" else ("RGB",)
            if image.size != (width, height) or image.mode not in modes or getattr(image, "n_frames", 1) != 1:
                found = f"{image.size[1]} x {image.size[0]} {image.mode}"
                raise ValueError(f"it has {found}, and should have {height} x {width} {modes[0]}")
            pixels = np.asarray(image)
    except Exception as error:  # decoders of foreign bytes raise what they like
        raise CorruptStreamError(f"the {name} file within cannot be read: {said(error)}.") from error
    if pixels.ndim == 2:
        return pixels[..., None]
    return pixels[..., 1:2] if channels == 1 else pixels
