"""One picture with all that belongs to it: pixels, transparency, colour profile, EXIF, XMP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from isthmus.reading import large
from isthmus.reading.image_files import ALPHA, DEEP, FORMATS, said

__all__ = ["Picture", "picture_of", "read_picture", "write_picture"]

TO_COLOUR = {"P": "a palette", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "LAB", "HSV": "HSV"}
GREY = ("1", "L", "LA", "La")
PNG_XMP = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Picture:
    """A picture of 8 bits a channel.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (h, w, 1) or (h, w, 3)
        As they are stored: an orientation that EXIF asks for is not applied.
    alpha : ndarray of uint8, shape (h, w), optional
        Transparency; 255: none.
    metadata : dict of str to bytes
        ``icc``, ``exif`` and ``xmp``, verbatim, where they are there.
    notes : list of str
        What was converted or left out on the way.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def array(self) -> np.ndarray:
        """The picture as one array: ``(h, w)``, or ``(h, w, c)`` of 2 (grey and alpha), 3 or 4 channels."""
        if self.alpha is not None:
            return np.concatenate([self.pixels, self.alpha[..., None]], axis=2)
        return self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels

    @property
    def shown(self) -> np.ndarray:
        """The pixels ``(h, w, c)``, of the mean colour where they are fully transparent: nobody sees what they were."""
        hidden = None if self.alpha is None else self.alpha == 0
        if hidden is None or not hidden.any() or hidden.all():
            return self.pixels
        mean = np.rint(self.pixels[~hidden].mean(axis=0)).astype(np.uint8)
        return np.where(hidden[..., None], mean, self.pixels)


def picture_of(given: Any) -> Picture:
    """Return an array or an image of Pillow as a picture; a picture stays itself.

    Parameters
    ----------
    given : array-like of uint8, PIL.Image.Image or Picture
        ``(h, w)``, or ``(h, w, c)`` with 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha) channels.

    Raises
    ------
    TypeError
        If it has another type than 8-bit whole numbers.
    ValueError
        If it has another shape.

    Examples
    --------
    >>> picture_of(np.zeros((4, 6, 4), np.uint8)).alpha.shape
    (4, 6)
    """
    if isinstance(given, Picture):
        return given
    if isinstance(given, Image.Image):
        return _from_pillow(given)
    array = np.asarray(given)
    if array.dtype != np.uint8:
        raise TypeError(
            f"images are compressed with 8 bits a channel (uint8), got {array.dtype}. Bring it to 0..255 and "
            "astype(np.uint8), or compress the numbers within an error: isthmus.jobs.arrays.ArrayCompressor."
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise ValueError(f"an image is (h, w) or (h, w, c) with 1 to 4 channels, got shape {np.shape(given)}.")
    colours = 1 if array.shape[2] < 3 else 3
    return Picture(array[..., :colours], array[..., colours] if array.shape[2] > colours else None)


def read_picture(path: Path, max_pixels: int = 1 << 28, stored: bool = False) -> Picture:
    """Return the picture of an image file.

    Parameters
    ----------
    path : Path
        The file.
    max_pixels : int, default=2**28
        The most that it may have; Pillow's own limit does not hold here.
    stored : bool, default=False
        The pixels of a large image may be :class:`~isthmus.reading.large.StoredPixels`.

    Raises
    ------
    ValueError
        If it cannot be read, has more than 8 bits a channel, several pictures, or more pixels than allowed.
    """
    with warnings.catch_warnings(), _limit_of_pillow(None):
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ValueError(f"it has {width} x {height} pixels, more than {max_pixels} (--max-pixels)")
                if getattr(image, "is_animated", False) and image.format != "MPO":
                    raise ValueError("it holds several pictures; save each as its own file")
                if image.mode in DEEP or ";16" in repr(getattr(image, "tile", "")):
                    raise ValueError(
                        "it has more than 8 bits a channel; save it with 8, or its numbers as .npy and give --error"
                    )
                return _from_pillow(image, stored and width * height > large.LARGE)
        except Exception as error:  # decoders of foreign bytes raise what they like
            raise ValueError(f"{path} cannot be compressed as an image: {said(error)}.") from error


def write_picture(picture: Picture, path: Path) -> None:
    """Write a picture, with all that belongs to it, as PNG."""
    if picture.pixels[..., 0].size > large.LARGE:
        return large.write_png(path, picture.pixels, picture.alpha, picture.metadata)
    more: dict[str, Any] = {}
    if "icc" in picture.metadata:
        more["icc_profile"] = picture.metadata["icc"]
    if "exif" in picture.metadata:
        more["exif"] = picture.metadata["exif"]
    if "xmp" in picture.metadata:
        more["pnginfo"] = PngImagePlugin.PngInfo()
        more["pnginfo"].add_itxt(PNG_XMP, picture.metadata["xmp"].decode("utf-8", "replace"))
    Image.fromarray(picture.array).save(path, format="PNG", **more)


@contextmanager
def _limit_of_pillow(pixels: int | None) -> Iterator[None]:
    """Within it Pillow opens images of so many pixels, None: of any size. It has one limit for all threads."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _from_pillow(image: Image.Image, stored: bool = False) -> Picture:
    if image.mode in DEEP:
        raise TypeError(
            f"images are compressed with 8 bits a channel, got mode {image.mode!r}: convert it, or its numbers."
        )
    notes = []
    metadata = _metadata(image)
    if image.mode in TO_COLOUR:
        notes.append(f"{TO_COLOUR[image.mode]} converted to colours (RGB)")
        if image.mode != "P" and metadata.pop("icc", None):
            notes.append(f"the colour profile, made for {image.mode}, left out")
    grey = image.mode in GREY
    transparent = image.mode in ALPHA or "transparency" in image.info
    if transparent:
        bands = np.asarray(image.convert("LA" if image.mode in ("LA", "La") else "RGBA"))
        pixels = np.asarray(image.convert("L"))[..., None] if grey else bands[..., :3]
        return Picture(pixels, np.ascontiguousarray(bands[..., -1]), metadata, notes)
    mode = "L" if grey else "RGB"
    if stored:
        image.load()
        kept: Any = large.StoredPixels(image, mode)
        return Picture(kept, None, metadata, notes)
    pixels = np.asarray(image.convert(mode))
    return Picture(pixels[..., None] if grey else pixels, None, metadata, notes)


def _metadata(image: Image.Image) -> dict[str, bytes]:
    """Return colour profile, EXIF and XMP as they are in the file; of TIFF's tags the orientation alone."""
    found = {"icc": image.info.get("icc_profile"), "exif": image.info.get("exif")}
    found["xmp"] = image.info.get("xmp") or image.info.get(PNG_XMP)
    if image.format == "TIFF" and (turn := image.getexif().get(ExifTags.Base.Orientation, 1)) != 1:
        only = Image.Exif()
        only[ExifTags.Base.Orientation] = turn
        found["exif"] = only.tobytes()
    return {name: data.encode() if isinstance(data, str) else bytes(data) for name, data in found.items() if data}
