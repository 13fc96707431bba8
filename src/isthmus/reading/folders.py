"""Folders of images: looked through once, decoded as they are needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.reading.image_files import (
    MODES,
    SUFFIXES,
    TURNS,
    Header,
    channels_of,
    counted,
    decoded,
    each,
    find,
    quiet,
    read_header,
    times,
    why_broken,
)
from isthmus.rows import SetAside

__all__ = ["SUFFIXES", "ImageFolder"]


class ImageFolder:
    """Rows that are image files, decoded in :meth:`take`; ``uint8``, channels last.

    Parameters
    ----------
    path : str or Path
        A folder, looked through with all folders in it, in the order of names; or one image.
    size : tuple of int, optional
        Height and width to resize all images to, whatever their proportions.
    shape : tuple of int, optional
        Height, width and channels (1, 3 or 4) that images must have: what a model was
        fitted on. By default the most frequent size, and the channels that all need.

    Attributes
    ----------
    files : list of Path
        The images, in order.
    shape : tuple of int
        Height, width, channels of each.
    set_aside : list of SetAside
        Files that cannot be used, and why: empty, truncated, of another size, with more
        than one picture, with more than 8 bits a channel, or too large.
    notes : list of str
        What was done to images so that they are alike.

    Raises
    ------
    ValueError
        If there is no image that can be used, or ``size`` or ``shape`` are none.

    Notes
    -----
    Images are turned upright as their EXIF tag says. Palettes and CMYK become RGB. Grey
    stays grey unless some image has colour. Transparency is kept if every image has it, and
    otherwise laid on white. Every file is decoded once to begin with: only so is it known
    how many rows there are. An image may have ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.new("L", (6, 4), 128).save(folder / "grey.png")
    >>> images = ImageFolder(folder)
    >>> images.take([0]).shape
    (1, 4, 6, 1)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int] | None = None,
        shape: tuple[int, int, int] | None = None,
    ):
        self.path = Path(path)
        self.set_aside: list[SetAside] = []
        self.notes: list[str] = []
        _check_shape(size, shape)
        with quiet():
            usable = self._sized(self._readable(), size, shape)
            usable = self._whole(usable)
        if not usable:
            raise ValueError(self._nothing())
        channels = shape[2] if shape else channels_of(usable)
        self.shape = (*(size or (shape[:2] if shape else usable[0].size)), channels)
        self._headers = usable
        self.files = [header.path for header in usable]
        self.set_aside.sort(key=lambda aside: aside.where)
        self._describe()

    def __len__(self) -> int:
        return len(self._headers)

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r}: {len(self)} images of {' x '.join(map(str, self.shape))})"

    def take(self, index: Any) -> np.ndarray:
        """Return the images at these positions, ``uint8``, ``(n, height, width, channels)``.

        Raises
        ------
        ValueError
            If a file has gone or was changed since the folder was looked through.
        """
        chosen = [self._headers[i] for i in np.atleast_1d(np.arange(len(self))[index]).tolist()]
        images = np.empty((len(chosen), *self.shape), np.uint8)
        height, width, channels = self.shape

        def decode(place: int) -> None:
            images[place] = np.asarray(decoded(chosen[place], channels, (height, width))).reshape(self.shape)

        with quiet():
            for _ in each(decode, range(len(chosen))):
                pass
        return images

    def _readable(self) -> list[Header]:
        """Return the headers of files that have one."""
        headers = []
        for path in self._find():
            found = read_header(path)
            if isinstance(found, Header):
                headers.append(found)
            else:
                self._leave(path, found)
        return headers

    def _find(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found, others = find(self.path)
        if others:
            self.notes.append(f"{counted(others, 'file')} of another kind not read")
        return found

    def _sized(
        self, headers: list[Header], size: tuple[int, int] | None, shape: tuple[int, int, int] | None
    ) -> list[Header]:
        """Return the headers of images that have, or will be given, the one size."""
        if not headers:
            return []
        counts = Counter(header.size for header in headers)
        if size:
            resized = len(headers) - counts[tuple(size)]
            if resized:
                self.notes.append(f"{counted(resized, 'image')} resized to {times(size)}")
            return headers
        wanted = shape[:2] if shape else counts.most_common(1)[0][0]
        whose = "the model's are" if shape else "most are"
        for header in headers:
            if header.size != wanted:
                why = f"{times(header.size)} pixels while {whose} {times(wanted)}; give size={wanted} to resize all"
                self._leave(header.path, why)
        return [header for header in headers if header.size == wanted]

    def _whole(self, headers: list[Header]) -> list[Header]:
        """Return the headers of images that decode to their end."""
        whole = []
        for header, why in zip(headers, each(why_broken, [header.path for header in headers]), strict=True):
            if why is None:
                whole.append(header)
            else:
                self._leave(header.path, why)
        return whole

    def _leave(self, path: Path, why: str) -> None:
        where = path.name if path == self.path else path.relative_to(self.path).as_posix()
        self.set_aside.append(SetAside(where, why))

    def _nothing(self) -> str:
        if not self.set_aside:
            return f"{self.path} holds no image ({', '.join(sorted(SUFFIXES))}), nor do the folders in it."
        first = self.set_aside[0]
        return f"{self.path} has no image that can be used; the first: {first.where}: {first.why}."

    def _describe(self) -> None:
        """Note what will be done to images so that they are alike."""
        channels = self.shape[2]
        done = {
            "with a palette read as RGB": lambda h: h.mode in ("P", "PA") and channels > 1,
            "in CMYK read as RGB": lambda h: h.mode == "CMYK",
            "in grey read as colour": lambda h: h.grey and channels > 1,
            "in colour read as grey": lambda h: not h.grey and channels == 1,
            "with transparency laid on white": lambda h: h.alpha and channels != 4,
            "without transparency taken as opaque": lambda h: not h.alpha and channels == 4,
            "turned upright as their EXIF tag says": lambda h: h.turn in TURNS,
        }
        for what, test in done.items():
            count = sum(map(test, self._headers))
            if count:
                self.notes.append(f"{counted(count, 'image')} {what}")


def _check_shape(size: Any, shape: Any) -> None:
    for name, value, n in (("size", size, 2), ("shape", shape, 3)):
        if value is not None and (len(value) != n or not all(isinstance(v, int) and v > 0 for v in value)):
            raise ValueError(f"{name} must be {n} positive whole numbers, got {value!r:.60}.")
    if shape and shape[2] not in MODES:
        raise ValueError(f"images have 1, 3 or 4 channels, got {shape[2]}.")
    if size and shape and tuple(size) != tuple(shape[:2]):
        raise ValueError(f"size {tuple(size)} is not that of shape {tuple(shape)}; give one of them.")
