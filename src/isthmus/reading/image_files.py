"""Image files: what they say of themselves, whether they are whole, and their pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

__all__ = [
    "ALPHA",
    "DEEP",
    "FORMATS",
    "MODES",
    "SUFFIXES",
    "TURNS",
    "Header",
    "channels_of",
    "counted",
    "decoded",
    "each",
    "find",
    "read_header",
    "quiet",
    "said",
    "times",
    "why_broken",
]

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
class Header:
    """What an image file says of itself; ``size`` is height and width, upright."""

    path: Path
    size: tuple[int, int]
    mode: str
    turn: int
    alpha: bool

    @property
    def grey(self) -> bool:
        """Whether it has no colour."""
        return self.mode in GREY or self.mode in ("LA", "La")


def find(folder: Path) -> tuple[list[Path], int]:
    """Return the image files of a folder and all folders in it, by name, and how many files are of another kind."""
    found, others = [], 0
    for within, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(within, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                found.append(path)
            else:
                others += 1
    return sorted(found), others


def read_header(path: Path) -> Header | str:
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
            return Header(path, size, image.mode, turn, alpha)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"more than the {Image.MAX_IMAGE_PIXELS} pixels that are allowed; make it smaller"
    except Exception as error:  # decoders of foreign bytes raise what they like
        return f"cannot be read as an image ({said(error)}); replace it"


def why_broken(path: Path) -> str | None:
    """Return why an image does not decode to its end; None if it does."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
    except Exception as error:  # decoders of foreign bytes raise what they like
        return f"truncated or damaged ({said(error)}); replace it"
    return None


def decoded(header: Header, channels: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Return an image upright and with these channels; of height and width ``size``, if one is given.

    Raises
    ------
    ValueError
        If the file has gone or was changed since its header was read.
    """
    try:
        with Image.open(header.path, formats=FORMATS) as opened:
            image: Image.Image = opened
            if header.alpha and channels != 4:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert(MODES[channels])
            image = image.transpose(TURNS[header.turn]) if header.turn in TURNS else image
            if size is not None and image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
            return image
    except Exception as error:  # decoders of foreign bytes raise what they like
        raise ValueError(
            f"{header.path} could be read a moment ago and cannot now ({said(error)}); was it changed?"
        ) from error


def channels_of(headers: list[Header]) -> int:
    """Return the channels that images need for none of them to lose colour or transparency."""
    if all(header.alpha for header in headers):
        return 4
    return 1 if all(header.grey for header in headers) else 3


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back Pillow's remarks on odd files; a decompression bomb is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def each(function: Callable, items: Iterable) -> Iterator:
    """Yield the function of each item, in order; Pillow decodes without holding Python's lock."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(function, items)


def times(size: Iterable[int]) -> str:
    """Return sides as text, such as 4 x 6."""
    return " x ".join(map(str, size))


def counted(n: int, what: str) -> str:
    """Return a number of things as text."""
    return f"{n} {what}{'s' * (n != 1)}"


def said(error: BaseException) -> str:
    """Return what an error says, in short."""
    said = " ".join(str(error).split())
    # Pillow names the file again.
    return said.partition(" '/")[0][:80] or type(error).__name__
