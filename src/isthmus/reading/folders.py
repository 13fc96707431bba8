"""Folders of images: looked through once, decoded as they are needed."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from isthmus.rows import SetAside

__all__ = ["SUFFIXES", "ImageFolder"]

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"))
# Named, because Pillow would also start other programs (Ghostscript) for some formats.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
GREY = frozenset(("1", "L"))
ALPHA = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
DEEP = frozenset(("I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
THREADS = 4


@dataclass(frozen=True)
class _Header:
    """What an image file says of itself; ``size`` is height and width, upright."""

    path: Path
    size: tuple[int, int]
    mode: str
    turn: int
    alpha: bool

    @property
    def grey(self) -> bool:
        return self.mode in GREY or self.mode in ("LA", "La")


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
        with _quiet():
            usable = self._sized(self._readable(), size, shape)
            usable = self._whole(usable)
        if not usable:
            raise ValueError(self._nothing())
        channels = shape[2] if shape else _channels(usable)
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

        def decode(place: int) -> None:
            images[place] = self._decode(chosen[place])

        with _quiet():
            for _ in _each(decode, range(len(chosen))):
                pass
        return images

    def _decode(self, header: _Header) -> np.ndarray:
        height, width, channels = self.shape
        try:
            with Image.open(header.path, formats=FORMATS) as opened:
                image: Image.Image = opened
                if header.alpha and channels != 4:
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                image = image.convert(MODES[channels])
                image = image.transpose(TURNS[header.turn]) if header.turn in TURNS else image
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.LANCZOS)
                return np.asarray(image).reshape(self.shape)
        except Exception as error:  # decoders of foreign bytes raise what they like
            raise ValueError(
                f"{header.path} could be read a moment ago and cannot now ({_said(error)}); was it changed?"
            ) from error

    def _readable(self) -> list[_Header]:
        """Return the headers of files that have one."""
        headers = []
        for path in self._find():
            header = _header(path)
            if isinstance(header, _Header):
                headers.append(header)
            else:
                self._leave(path, header)
        return headers

    def _find(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found, others = [], 0
        for folder, folders, names in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                    found.append(path)
                else:
                    others += 1
        if others:
            self.notes.append(f"{_count(others, 'file')} of another kind not read")
        return sorted(found)

    def _sized(
        self, headers: list[_Header], size: tuple[int, int] | None, shape: tuple[int, int, int] | None
    ) -> list[_Header]:
        """Return the headers of images that have, or will be given, the one size."""
        if not headers:
            return []
        counts = Counter(header.size for header in headers)
        if size:
            resized = len(headers) - counts[tuple(size)]
            if resized:
                self.notes.append(f"{_count(resized, 'image')} resized to {_times(size)}")
            return headers
        wanted = shape[:2] if shape else counts.most_common(1)[0][0]
        whose = "the model's are" if shape else "most are"
        for header in headers:
            if header.size != wanted:
                why = f"{_times(header.size)} pixels while {whose} {_times(wanted)}; give size={wanted} to resize all"
                self._leave(header.path, why)
        return [header for header in headers if header.size == wanted]

    def _whole(self, headers: list[_Header]) -> list[_Header]:
        """Return the headers of images that decode to their end."""
        whole = []
        for header, why in zip(headers, _each(_why_broken, [header.path for header in headers]), strict=True):
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
                self.notes.append(f"{_count(count, 'image')} {what}")


def _header(path: Path) -> _Header | str:
    """Return what an image file says of itself, or why it cannot be used."""
    try:
        if path.stat().st_size == 0:
            return "the file is empty (0 bytes); replace it"
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and width * height > most:
                return f"{height} x {width} pixels, more than the {most} that are allowed; make it smaller"
            if image.mode in DEEP or ";16" in repr(getattr(image, "tile", "")):
                return (
                    f"more than 8 bits a channel ({image.mode}); save it with 8 bits, or all images as one .npy array"
                )
            # MPO is how some cameras write a photograph: its further pictures are previews.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                return f"{getattr(image, 'n_frames', 'several')} pictures in one file; save each as its own file"
            turn = image.getexif().get(ExifTags.Base.Orientation, 1)
            size = (width, height) if turn in (5, 6, 7, 8) else (height, width)
            alpha = image.mode in ALPHA or "transparency" in image.info
            return _Header(path, size, image.mode, turn, alpha)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"more than the {Image.MAX_IMAGE_PIXELS} pixels that are allowed; make it smaller"
    except Exception as error:  # decoders of foreign bytes raise what they like
        return f"cannot be read as an image ({_said(error)}); replace it"


def _why_broken(path: Path) -> str | None:
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
    except Exception as error:  # decoders of foreign bytes raise what they like
        return f"truncated or damaged ({_said(error)}); replace it"
    return None


def _channels(headers: list[_Header]) -> int:
    if all(header.alpha for header in headers):
        return 4
    return 1 if all(header.grey for header in headers) else 3


def _check_shape(size: Any, shape: Any) -> None:
    for name, value, n in (("size", size, 2), ("shape", shape, 3)):
        if value is not None and (len(value) != n or not all(isinstance(v, int) and v > 0 for v in value)):
            raise ValueError(f"{name} must be {n} positive whole numbers, got {value!r:.60}.")
    if shape and shape[2] not in MODES:
        raise ValueError(f"images have 1, 3 or 4 channels, got {shape[2]}.")
    if size and shape and tuple(size) != tuple(shape[:2]):
        raise ValueError(f"size {tuple(size)} is not that of shape {tuple(shape)}; give one of them.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back Pillow's remarks on odd files; a decompression bomb is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _each(function: Callable, items: Iterable) -> Iterator:
    """Yield the function of each item, in order; Pillow decodes without holding Python's lock."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(function, items)


def _times(size: Iterable[int]) -> str:
    return " x ".join(map(str, size))


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _said(error: BaseException) -> str:
    said = " ".join(str(error).split())
    # Pillow names the file again.
    return said.partition(" '/")[0][:80] or type(error).__name__
