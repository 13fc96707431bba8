"""One kind of image: codecs fitted on drawn faces, portraits and digits, and files of others of that kind.

Drawn faces: 1,500 of 64 x 64 in colours, 96 of them tested. ORL portraits: 40 people, 10 grey ones of
112 x 92 each, 8 people tested. MNIST: 60,000 digits, 800 others tested. None that is tested was fitted on.

All are tested as sheets of several images side by side (faces 4 x 4, the ten of a person 2 x 5, digits 10 x 10), the
same sheets for every codec, and 24 of each kind one by one: of so small files some hundred bytes are headers for most
codecs, which is how a codec of one's own that knows its tables saves most. The faces had been JPEGs, for all alike.
Our codec's blocks of digits are as large as a digit, and lie as digits do on a sheet.

Some minutes a kind on 2 threads (--minutes, 6 by default), and about five more for all;
`isthmus bench compression kinds`.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.compression.images import against, coded, fitted, pixels, theirs
from benchmarks.harness import Claim, Missing, Result, main, say
from benchmarks.papers.data import folder, mnist
from isthmus import AutoEncoder
from isthmus.networks import LappedDecoder, LappedEncoder
from isthmus.recipes import lapped_codec
from isthmus.rows import SetAside

TITLE = "one kind of image: bits beyond those of standard codecs"
QUALITIES = tuple(np.linspace(0, 100, 8).tolist())
LIMITS = {"JPEG": (-45.0, None), "WebP": (-15.0, None)}
# From a tenth of a bit a pixel to somewhat more than one.
COLOURS = (0.000125, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
# The error of grey images is that of one channel, not of three.
GREY = tuple(3 * one for one in COLOURS)
ALONE = 24


@dataclass(frozen=True)
class Kind:
    """A kind of image: what is fitted on, what is tested, how many make a sheet, and the codec.

    Attributes
    ----------
    images : callable
        Images fitted on, and others ``(n, h, w[, 3])``, whose number is a multiple of those on a sheet.
    fitted, tested : tuple of int
        Images down and across on a sheet.
    channels, size, stride : int
        Of the lapped transform; of digits a block is one of them.
    trade_offs : tuple of float
        Of the bottleneck.
    branch : tuple of int
        Of the encoder.
    """

    images: Callable[[], tuple[np.ndarray, np.ndarray]]
    fitted: tuple[int, int]
    tested: tuple[int, int]
    channels: int
    size: int
    stride: int
    trade_offs: tuple[float, ...]
    branch: tuple[int, ...] = ()

    def made(self, **options: Any) -> AutoEncoder:
        """Return the auto-encoder, not fitted."""
        model = lapped_codec(trade_offs=self.trade_offs, validation_fraction=0.05, random_state=0, **options)
        encoder = LappedEncoder(self.channels, self.size, self.stride, self.branch)
        return model.set_params(encoder=encoder, decoder=LappedDecoder(self.size, self.stride, (96, 96), told=True))


class Sheets:
    """Rows that are sheets of images drawn at random, each a function of its place alone."""

    set_aside: Sequence[SetAside] = ()

    def __init__(self, images: np.ndarray, n: int, shape: tuple[int, int]):
        self.images, self.n, self.shape = images, n, shape

    def __len__(self) -> int:
        return self.n

    def take(self, index: Any) -> np.ndarray:
        """Return the sheets at these positions."""
        chosen = np.atleast_1d(np.arange(self.n)[index])
        many = self.shape[0] * self.shape[1]
        drawn = [np.random.default_rng(row).integers(len(self.images), size=many) for row in chosen.tolist()]
        return np.stack([sheet(self.images[one], self.shape) for one in drawn])


def run(quick: bool, minutes: float = 6.0, threads: int = 2, models: Path | None = None) -> Result:
    """Fit a codec for each kind, write, read, and compare."""
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    for name, kind in KINDS.items():
        try:
            found, told = _of_kind(name, kind, 0.05 if quick else minutes, threads, models, quick)
        except Missing as missing:
            say(f"{name} left out: {missing}")
            continue
        claims += found
        figures[name] = told
    if not figures:
        raise Missing("none of anime_faces, orl_faces and mnist is in the folder that ISTHMUS_DATA names")
    return Result(TITLE, claims, figures)


def _of_kind(
    name: str, kind: Kind, minutes: float, threads: int, models: Path | None, quick: bool
) -> tuple[list[Claim], dict[str, Any]]:
    train, test = kind.images()
    say(f"{name}: {train.shape} to fit on, {test.shape} to test on")
    many = kind.tested[0] * kind.tested[1]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        saved = place / "model" if models is None else models / name.replace(" ", "_")
        codec, figures = fitted(kind.made, lambda n: Sheets(train, n, kind.fitted), minutes, threads, saved)
        sheets = [sheet(test[i : i + many], kind.tested) for i in range(0, len(test), many)]
        alone = [test[i] for i in np.linspace(0, len(test) - 1, ALONE).round().astype(int)]
        claims: list[Claim] = []
        for what, images in (("", sheets[: 1 if quick else None]), (", one by one", alone[: 1 if quick else None])):
            files = _written(images, place / f"given{what}")
            ours = coded(codec, saved, files, QUALITIES[:: 3 if quick else 1], place / f"ours{what}")
            peers = theirs(files, 3 if quick else 1)
            claims += against(ours, peers, LIMITS, f", {name}{what}")
            figures[f"curves{what}"] = {one: points.listed() for one, points in ({"ours": ours} | peers).items()}
    return claims, figures


def sheet(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return images ``(n, h, w[, 3])`` side by side, line after line."""
    down, across = shape
    return np.concatenate([np.concatenate(list(images[i * across : (i + 1) * across]), axis=1) for i in range(down)])


def drawn_faces() -> tuple[np.ndarray, np.ndarray]:
    """Return drawn faces, 96 of them at random for the test."""
    found = []
    with tarfile.open(folder("anime_faces") / "anime_faces_64.tar") as opened:
        for member in sorted(opened.getmembers(), key=lambda one: one.name):
            file = opened.extractfile(member)
            if file is not None:
                found.append(pixels(io.BytesIO(file.read())))
    shuffled = np.stack(found)[np.random.default_rng(0).permutation(len(found))]
    return shuffled[96:], shuffled[:96]


def portraits() -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of 32 people, and of 8 others, ten of each."""
    with np.load(folder("orl_faces") / "orl_faces.npz") as opened:
        images, subject = opened["x"], opened["subject"]
    return images[subject <= 32], images[subject > 32]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the digits to train on, and the first 800 to test on."""
    return mnist()[0], mnist("test")[0][:800]


def _written(images: Sequence[np.ndarray], into: Path) -> list[Path]:
    into.mkdir()
    files = [into / f"{i:02}.png" for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return files


KINDS = {
    "drawn faces": Kind(drawn_faces, (2, 2), (4, 4), 96, 16, 8, COLOURS, (96,)),
    "ORL portraits": Kind(portraits, (1, 2), (2, 5), 64, 16, 8, GREY, (96,)),
    "MNIST digits": Kind(digits, (5, 5), (10, 10), 384, 28, 28, GREY),
}
OPTIONS = (
    click.Option(
        ["--minutes"], type=click.FloatRange(0, min_open=True), default=6.0, help="Of each fit, on the clock."
    ),
    click.Option(["--threads"], type=click.IntRange(1), default=2, help="Of the fits."),
    click.Option(["--models"], type=click.Path(path_type=Path), help="Fit into this folder, or take the codecs in it."),
)

if __name__ == "__main__":
    main(run, *OPTIONS)
