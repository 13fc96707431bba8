"""Crops of images: rows of one size from a folder of images of any sizes."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isthmus.reading.image_files import (
    SUFFIXES,
    Header,
    counted,
    decoded,
    each,
    find,
    quiet,
    read_header,
    why_broken,
)
from isthmus.rows import SetAside

__all__ = ["ImageCrops"]


class ImageCrops:
    """Rows that are square crops of image files, each a function of the seed and its place alone.

    Parameters
    ----------
    path : str or Path
        A folder, looked through with all folders in it, in the order of names; or one image.
    n : int, default=4_000
        Crops in all. Those of one image are beside each other.
    size : int, default=160
        Height and width of a crop, in pixels.
    scale : tuple of two float, default=(0.6, 1.0)
        Least and greatest factor by which an image is made smaller before it is cropped.
        Below 0.75, photographs lose the blocks that JPEG left in them.
    flips : bool, default=True
        Mirror half of the crops, and turn them by none to three quarters.
    seed : int, default=0
        Of places, scales and turns.

    Attributes
    ----------
    files : list of Path
        The images, in order.
    shape : tuple of int
        Height, width, channels of each crop.
    set_aside : list of SetAside
        Files that cannot be used, and why.
    notes : list of str
        What else is worth knowing of the folder.

    Raises
    ------
    ValueError
        If there is no image that can be used, or an argument is out of its range.

    Notes
    -----
    Images with a side below ``size / scale`` are made smaller by less, or not at all; what a side
    lacks even so is filled by its border repeated.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.new("L", (60, 40), 128).save(folder / "grey.png")
    >>> ImageCrops(folder, 10, size=32).take([0, 7]).shape
    (2, 32, 32, 1)
    """

    def __init__(
        self,
        path: str | Path,
        n: int = 4_000,
        *,
        size: int = 160,
        scale: tuple[float, float] = (0.6, 1.0),
        flips: bool = True,
        seed: int = 0,
    ):
        for name, value, least in (("n", n, 1), ("size", size, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale must be two factors above 0 and at most 1, in order, got {scale!r}.")
        self.path = Path(path)
        self.n, self.size, self.scale, self.flips, self.seed = n, size, scale, flips, seed
        self.set_aside: list[SetAside] = []
        self.notes: list[str] = []
        with quiet():
            self._headers = self._usable()
        self.files = [header.path for header in self._headers]
        # Transparency is nothing that a crop of a photograph has.
        self.shape = (size, size, 1 if all(header.grey for header in self._headers) else 3)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        images = counted(len(self.files), "image")
        return f"ImageCrops({str(self.path)!r}: {self.n} crops of {images}, {' x '.join(map(str, self.shape))})"

    def take(self, index: Any) -> np.ndarray:
        """Return the crops at these positions, ``uint8``, ``(n, size, size, channels)``.

        Raises
        ------
        ValueError
            If a file has gone or was changed since the folder was looked through.
        """
        chosen = np.atleast_1d(np.arange(self.n)[index]).tolist()
        crops = np.empty((len(chosen), *self.shape), np.uint8)
        # An image is decoded once for all of its crops that are asked for.
        order = sorted(range(len(chosen)), key=lambda place: chosen[place])
        by_image = [(image, list(places)) for image, places in groupby(order, lambda place: self._image(chosen[place]))]

        def fill(one: tuple[int, list[int]]) -> None:
            image = decoded(self._headers[one[0]], self.shape[2])
            for place in one[1]:
                crops[place] = self._crop(image, chosen[place])

        with quiet():
            for _ in each(fill, by_image):
                pass
        return crops

    def _image(self, row: int) -> int:
        return row * len(self._headers) // self.n

    def _crop(self, image: Image.Image, row: int) -> np.ndarray:
        """Return the crop of a row ``(size, size, channels)``."""
        random = np.random.default_rng([self.seed, row])
        factor, across, down = random.random(3)
        turns, flip = random.integers(4), random.integers(2)
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * factor
        factor = min(1.0, max(factor, self.size / min(image.size)))
        width, height = (min(self.size, math.floor(side * factor + 1e-9)) for side in image.size)
        # What the crop shows, in pixels of the image.
        wide, high = width / factor, height / factor
        left, top = across * (image.width - wide), down * (image.height - high)
        if factor == 1.0:  # nothing to interpolate: whole pixels stay sharp
            left, top = math.floor(left), math.floor(top)
        crop = image.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + wide, top + high))
        pixels = np.asarray(crop).reshape(height, width, self.shape[2])
        pixels = np.pad(pixels, ((0, self.size - height), (0, self.size - width), (0, 0)), mode="edge")
        if self.flips:
            pixels = np.rot90(pixels[:, ::-1] if flip else pixels, int(turns))
        return pixels

    def _usable(self) -> list[Header]:
        """Return the headers of images that decode to their end."""
        paths, others = find(self.path) if self.path.is_dir() else ([self.path], 0)
        if others:
            self.notes.append(f"{counted(others, 'file')} of another kind not read")
        headers = [read_header(path) for path in paths]
        broken = each(lambda one: why_broken(one.path) if isinstance(one, Header) else one, headers)
        usable = []
        for path, header, why in zip(paths, headers, broken, strict=True):
            if isinstance(header, Header) and why is None:
                usable.append(header)
            else:
                where = path.name if path == self.path else path.relative_to(self.path).as_posix()
                self.set_aside.append(SetAside(where, str(why)))
        if not usable:
            first = f"the first: {self.set_aside[0].where}: {self.set_aside[0].why}" if self.set_aside else ""
            first = first or f"it holds no image ({', '.join(sorted(SUFFIXES))})"
            raise ValueError(f"{self.path} has no image that can be used; {first}.")
        return usable
