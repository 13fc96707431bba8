"""What is asked of a codec for images: to be fitted on some, and a quality, a size or a PSNR of a file."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from isthmus.reading.pictures import Picture, picture_of
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows

__all__ = ["Coding", "check_images", "check_one", "picture_for", "step_of", "written"]

# What a sum of squares may be off by.
NEAR = 1e-9


class Coding(Protocol):
    """One image on its way into a file.

    Attributes
    ----------
    finest : int
        The step of the best quality; the coarsest is 0.
    advice : str
        What to do where not even that is good enough; may be empty.
    """

    finest: int
    advice: str

    def file(self, step: int) -> bytes:
        """Return the file at a quality."""

    def psnr(self, step: int) -> float:
        """Return how good the image is at a quality, in dB."""


def check_images(rows: Rows, who: str) -> None:
    """Refuse what is no image of 8 bits, before anything is fitted."""
    what = "a table" if isinstance(rows, FrameRows) or (isinstance(rows, ArrayRows) and rows.array.ndim < 3) else None
    what = "series" if isinstance(rows, SequenceRows) else what
    first = None if what else np.asarray(rows.take(slice(0, 1)))
    if first is not None and (
        first.dtype != np.uint8 or first.ndim not in (3, 4) or first.shape[3:] not in ((), (1,), (3,))
    ):
        what = f"{first.dtype} of shape {first.shape[1:]} each"
    if what:
        raise ValueError(
            f"a {who} is fitted on images: uint8 (n, h, w) or (n, h, w, c) with 1 or 3 channels; got {what}. "
            "Transparency is kept without loss: leave it out here. Arrays: isthmus.jobs.arrays."
        )


def check_one(quality: float | None, target_size: int | None, target_psnr: float | None) -> None:
    """Raise ValueError where more than one of these is asked for."""
    if sum(one is not None for one in (quality, target_size, target_psnr)) > 1:
        raise ValueError("ask for one of quality, target_size and target_psnr.")


def picture_for(image: Any, colours: int) -> Picture:
    """Return an image as a picture that a model of so many colours can write."""
    picture = picture_of(image)
    if picture.pixels.shape[2] > colours:
        raise ValueError("the model was fitted on grey images and this one has colours: make it grey, or fit another.")
    return picture


def step_of(coding: Coding, quality: float) -> int:
    """Return a quality from 0 to 100 as the file has it."""
    if not 0 <= quality <= 100:
        raise ValueError(f"quality must be from 0 to 100, got {quality!r}.")
    return round(quality / 100 * coding.finest)


def written(coding: Coding, quality: float, target_size: int | None, target_psnr: float | None) -> bytes:
    """Return the file of a size or a PSNR where one is asked for, else of a quality.

    Raises
    ------
    ValueError
        If it cannot be made so small or so good; says what can be.
    """
    if target_size is not None:
        return _within(coding, target_size)
    if target_psnr is not None:
        return _reaching(coding, target_psnr)
    return coding.file(step_of(coding, quality))


def _within(coding: Coding, size: int) -> bytes:
    """Return the best file of at most this size."""
    best = coding.file(0)
    if len(best) > size:
        raise ValueError(
            f"the smallest file has {len(best)} bytes, more than the {size} asked for; make it smaller first."
        )
    low, high = 0, coding.finest + 1
    while high - low > 1:
        middle = (low + high) // 2
        tried = coding.file(middle)
        low, high, best = (middle, high, tried) if len(tried) <= size else (low, middle, best)
    return best


def _reaching(coding: Coding, wanted: float) -> bytes:
    """Return the file of the least quality that reaches a PSNR."""
    low, high = -1, coding.finest
    reached = coding.psnr(high)
    if reached < wanted - NEAR:
        raise ValueError(
            f"this model reaches {reached:.2f} dB on this image, less than the {wanted:g} asked for{coding.advice}."
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if coding.psnr(middle) >= wanted - NEAR else (middle, high)
    return coding.file(high)
