"""A codec of one's own beside the standard ones: curves of rate and quality, and images from files of one size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from isthmus.jobs.job import choose
from isthmus.jobs.standard_codecs import Curve, Shown, StandardCodec, curve_of, quality_at, shown
from isthmus.metrics import bd_rate
from isthmus.reading.pictures import picture_of
from isthmus.rows import Rows

__all__ = ["MOST_COMPARED", "OURS", "at_equal_size", "beside_ours", "compared", "curves_of"]

OURS = "auto-encoder"
# Qualities that are compared, and images at most.
LADDER = (5.0, 20.0, 40.0, 60.0, 80.0, 95.0)
MOST_COMPARED = 24


class Codec(Protocol):
    """What is compared."""

    def compress(self, image: Any, quality: float) -> bytes:
        """Return the file of an image."""

    def decompress(self, data: bytes) -> np.ndarray:
        """Return the image of a file."""

    def baselines(self) -> dict[str, StandardCodec]:
        """Return what it is compared with."""


def compared(rows: Rows) -> list[np.ndarray]:
    """Return images of rows, evenly chosen, as many as are compared."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_COMPARED)).round().astype(np.int64))
    return [picture_of(np.asarray(one)).array for one in choose(rows, chosen).take(slice(None))]


def curves_of(codec: Codec, images: Sequence[np.ndarray]) -> dict[str, Curve]:
    """Return bits a pixel and PSNR, averages over images, of a codec at six qualities and of its baselines at theirs.

    Parameters
    ----------
    codec : Compressor
        Fitted. It comes first.
    images : sequence of ndarray of uint8
        ``(h, w)`` or ``(h, w, 3)``.
    """
    ours = curve_of(images, lambda image, step: codec.compress(image, LADDER[step]), codec.decompress, len(LADDER))
    others = codec.baselines().items()
    return {OURS: ours} | {name: curve_of(images, one.compress, one.decompress, len(one.steps)) for name, one in others}


def beside_ours(curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """Return a row for each method, at the rate of the first one's middle quality.

    Returns
    -------
    list of dict
        ``method``, ``bpp``, ``psnr`` at that rate, and ``bd_rate``: how many per cent more bits the
        first method takes than this one at equal PSNR. None where a method has no such files.
    """
    first, ours = next(iter(curves.items()))
    middle = len(ours[0]) // 2
    rate = float(ours[0][middle])
    table = [{"method": first, "bpp": rate, "psnr": float(ours[1][middle]), "bd_rate": 0.0}]
    for name, curve in curves.items():
        if name != first:
            saved = bd_rate(*ours, *curve)
            saved_or_none = saved if math.isfinite(saved) else None
            table.append({"method": name, "bpp": rate, "psnr": quality_at(curve, rate), "bd_rate": saved_or_none})
    return table


def at_equal_size(codec: Codec, image: np.ndarray, quality: float) -> list[Shown]:
    """Return an image as it comes back from a codec's file, and from the baselines' smallest files that are no smaller.

    Parameters
    ----------
    codec : Compressor
        Fitted. It comes first.
    image : ndarray of uint8
        ``(h, w)`` or ``(h, w, 3)``.
    quality : float
        Of the codec, 0 to 100.
    """
    data = codec.compress(image, quality)
    others = codec.baselines().items()
    theirs = [shown(name, image, one.filling(image, len(data)), one.decompress) for name, one in others]
    return [shown(OURS, image, data, codec.decompress), *theirs]
