"""What a user would take instead of a codec of one's own: JPEG, WebP, JPEG 2000 and AVIF, at their best."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image, features
from scipy.interpolate import PchipInterpolator
from sklearn.base import BaseEstimator

from isthmus.metrics import psnr

__all__ = ["FORMATS", "Curve", "Shown", "StandardCodec", "curve_of", "quality_at", "shown"]

FORMATS = {"JPEG": "jpg", "WebP": "webp", "JPEG 2000": "jpg_2000", "AVIF": "avif"}
# Settings that are compared, from small files to good ones: qualities, and of JPEG 2000 how many times smaller.
LADDERS: dict[str, tuple[float, ...]] = {
    "JPEG": (2, 5, 9, 15, 25, 38, 54, 70, 82, 91, 97),
    "WebP": (0, 5, 15, 30, 45, 60, 74, 84, 92, 97),
    "JPEG 2000": (200, 120, 75, 48, 32, 21, 14, 9, 6, 3),
    "AVIF": (5, 15, 25, 35, 45, 55, 65, 75, 85, 94),
}
EVERY: dict[str, Sequence[float]] = {
    "JPEG": range(1, 101),
    "WebP": range(101),
    "JPEG 2000": np.geomspace(500, 1.2, 400).tolist(),
    "AVIF": range(101),
}
# OpenJPEG halves an image five times, if it has a pixel left then.
HALVINGS = 5
# Equal images have no PSNR that could be averaged.
MOST_DB = 99.0

# Bits a pixel, and dB.
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shown:
    """An image as it comes back from a file.

    Attributes
    ----------
    method : str
        What wrote the file.
    pixels : ndarray of uint8
        The image.
    size : int
        Bytes of the file.
    psnr : float
        dB.
    """

    method: str
    pixels: np.ndarray
    size: int
    psnr: float


class StandardCodec(BaseEstimator):
    """A codec of Pillow, for comparison.

    Parameters
    ----------
    format : {'JPEG', 'WebP', 'JPEG 2000', 'AVIF'}, default='JPEG'
        JPEG with optimised tables, progressive, 4:2:0; WebP by its slowest method, 6; JPEG 2000
        by OpenJPEG, irreversible and with its transform of colours; AVIF at speed 6, 4:2:0. Without these
        options the first three are 15 to 25 % larger, and easily beaten.
    """

    def __init__(self, format: str = "JPEG"):
        self.format = format

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing: they have learned all they ever will."""
        return self

    @property
    def is_there(self) -> bool:
        """Whether this Pillow was built with it."""
        return bool(features.check(FORMATS[self.format]))

    @property
    def steps(self) -> range:
        """Steps of the ladder, from small files to good ones."""
        return range(len(LADDERS[self.format]))

    def compress(self, image: np.ndarray, step: int) -> bytes:
        """Return the file of an image ``(h, w)`` or ``(h, w, 3)`` at a step of the ladder."""
        return self._written(image, LADDERS[self.format][step])

    def filling(self, image: np.ndarray, size: int) -> bytes:
        """Return the smallest file of at least so many bytes; the largest, where none has as many."""
        settings = EVERY[self.format]
        place = bisect.bisect_left(settings, size, key=lambda setting: len(self._written(image, setting)))
        return self._written(image, settings[min(place, len(settings) - 1)])

    def decompress(self, data: bytes) -> np.ndarray:
        """Return the image of a file, with the channels it was written with (WebP and AVIF: always colours)."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)

    def _written(self, image: np.ndarray, setting: float) -> bytes:
        options: dict[str, dict[str, Any]] = {
            "JPEG": {"format": "JPEG", "quality": setting, "optimize": True, "progressive": True},
            "WebP": {"format": "WEBP", "quality": setting, "method": 6},
            "JPEG 2000": {
                "format": "JPEG2000",
                "irreversible": True,
                "mct": int(image.ndim == 3),
                "quality_mode": "rates",
                "quality_layers": [setting],
                "num_resolutions": 1 + min(HALVINGS, int(math.log2(min(image.shape[:2])))),
            },
            "AVIF": {
                "format": "AVIF",
                "quality": setting,
                "speed": 6,
                "subsampling": "4:2:0" if image.ndim == 3 else "4:0:0",
                "max_threads": 1,
            },
        }
        written = io.BytesIO()
        Image.fromarray(image).save(written, **options[self.format])
        return written.getvalue()


def curve_of(
    images: Sequence[np.ndarray], compress: Callable[[Any, int], bytes], decompress: Callable[[bytes], Any], steps: int
) -> Curve:
    """Return bits a pixel and PSNR at each step, averages over images."""
    points = np.empty((2, steps, len(images)))
    for place, image in enumerate(images):
        for step in range(steps):
            found = shown("", image, compress(image, step), decompress)
            points[:, step, place] = 8 * found.size / (image.shape[0] * image.shape[1]), min(found.psnr, MOST_DB)
    rates, qualities = points.mean(axis=2)
    return rates, qualities


def shown(method: str, image: np.ndarray, data: bytes, decompress: Callable[[bytes], Any]) -> Shown:
    """Return an image as it comes back from a file; grey, where the image is."""
    restored = np.asarray(decompress(data))
    if restored.ndim > image.ndim:
        restored = np.rint(restored.mean(axis=2)).astype(np.uint8)
    return Shown(method, restored, len(data), psnr(image, restored))


def quality_at(curve: Curve, rate: float) -> float | None:
    """Return the quality of a curve at a rate, None beyond its ends."""
    rates, first = np.unique(curve[0], return_index=True)
    if len(rates) < 2 or not rates[0] <= rate <= rates[-1]:
        return None
    return float(PchipInterpolator(np.log(rates), curve[1][first])(math.log(rate)))
