"""What a user would take instead of a codec of one's own: JPEG, WebP and JPEG 2000, at their best."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from PIL import Image, features
from scipy.interpolate import PchipInterpolator
from sklearn.base import BaseEstimator

from isthmus.metrics import psnr

__all__ = ["FORMATS", "StandardCodec", "curve_of", "quality_at"]

FORMATS = {"JPEG": "jpg", "WebP": "webp", "JPEG 2000": "jpg_2000"}
QUALITIES = (2, 8, 18, 35, 55, 75, 90, 97)
# Of JPEG 2000, which is told how many times smaller.
RATIOS = (200, 110, 64, 36, 20, 11, 6, 3)


class StandardCodec(BaseEstimator):
    """A codec of Pillow, for comparison.

    Parameters
    ----------
    format : {'JPEG', 'WebP', 'JPEG 2000'}, default='JPEG'
        JPEG with optimised tables, progressive, 4:2:0; WebP by its slowest method, 6; JPEG 2000
        by OpenJPEG, irreversible and with its transform of colours. Without these options they
        are 15 to 25 % larger, and easily beaten.
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

    def compress(self, image: np.ndarray, step: int) -> bytes:
        """Return the file of an image ``(h, w)`` or ``(h, w, 3)`` at a step of the ladder, 0 to 7."""
        written = io.BytesIO()
        options: dict[str, dict[str, Any]] = {
            "JPEG": {"format": "JPEG", "quality": QUALITIES[step], "optimize": True, "progressive": True},
            "WebP": {"format": "WEBP", "quality": QUALITIES[step], "method": 6},
            "JPEG 2000": {
                "format": "JPEG2000",
                "irreversible": True,
                "mct": int(image.ndim == 3),
                "quality_mode": "rates",
                "quality_layers": [RATIOS[step]],
            },
        }
        Image.fromarray(image).save(written, **options[self.format])
        return written.getvalue()

    def decompress(self, data: bytes) -> np.ndarray:
        """Return the image of a file, with the channels it was written with (WebP: always colours)."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)

    @property
    def steps(self) -> range:
        """Steps of the ladder, from small files to good ones."""
        return range(len(QUALITIES))


def curve_of(
    images: Sequence[np.ndarray], compress: Callable[[Any, int], bytes], decompress: Callable[[bytes], Any], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return bits a pixel and PSNR at each step, averages over images."""
    points = np.empty((2, steps, len(images)))
    for place, image in enumerate(images):
        for step in range(steps):
            data = compress(image, step)
            restored = np.asarray(decompress(data))
            if restored.ndim > image.ndim:
                restored = restored.mean(axis=2)
            points[:, step, place] = 8 * len(data) / (image.shape[0] * image.shape[1]), min(psnr(image, restored), 99.0)
    rates, qualities = points.mean(axis=2)
    return rates, qualities


def quality_at(curve: tuple[np.ndarray, np.ndarray], rate: float) -> float | None:
    """Return the quality of a curve at a rate, None beyond its ends."""
    rates, first = np.unique(curve[0], return_index=True)
    if len(rates) < 2 or not rates[0] <= rate <= rates[-1]:
        return None
    return float(PchipInterpolator(np.log(rates), curve[1][first])(math.log(rate)))
