"""Photographs at very low rates: a standard codec alone, on smaller images, and wrapped in networks.

The networks are fitted on crops of 300 photographs of BSDS500, by default for 15 minutes on one thread; every second
of Kodak's images is for testing. Bits a pixel are those of whole files, which a fresh process reads back; PSNR is of
uint8 RGB; both are averaged over the images, and PSNR is interpolated between rates (PCHIP over their logarithms).

- JPEG: optimised tables, progressive, 4:2:0, of the image itself.
- scaled JPEG: the same of the image at half its sides (Lanczos), and bicubic interpolation: what wrapping begins at.
- --codec webp or jpeg2000: the same around another codec (WebP method 6; OpenJPEG, irreversible).
- --model FOLDER: fit once, and go on with the saved model in later runs; the result says so.

20 minutes on one free core; `isthmus bench compression wrap`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.compression.images import coded, fitted, pixels, unpacked
from benchmarks.harness import Claim, Missing, Result, main, say
from benchmarks.papers.data import folder
from isthmus import AutoEncoder
from isthmus.jobs import WrappedCodec
from isthmus.jobs.standard_codecs import Curve, quality_at
from isthmus.jobs.wrap import ScaledCodec
from isthmus.metrics import psnr
from isthmus.reading import ImageCrops
from isthmus.reading.standard import CODECS

TITLE = "photographs (Kodak) at very low rates: dB beyond a standard codec"
RATES = (0.10, 0.15, 0.20, 0.25)
# Qualities of small images, and of whole ones, that lie around these rates.
SMALL = {"jpeg": (4, 7, 11, 17, 25, 36, 45), "webp": (0, 5, 15, 30, 50, 70), "jpeg2000": (10, 20, 28, 36, 44, 52)}
WHOLE = {"jpeg": (2, 3, 5, 8, 12, 18), "webp": (0, 1, 3, 6, 10, 20), "jpeg2000": (0, 8, 16, 24, 32, 40)}
SIDE, SEED = 128, 0


def run(quick: bool, minutes: float = 15.0, codec: str = "jpeg", model: Path | None = None) -> Result:
    """Fit, write, read, and compare."""
    files = sorted(folder("kodak").glob("*.png"))[:: 6 if quick else 2]
    if not files:
        raise Missing("the folder of ISTHMUS_DATA has no .png files in kodak")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photographs = unpacked("bsds500", place / "bsds500")
        saved = model or place / "model"
        job, figures = fitted(
            lambda **options: _made(codec, **options),
            lambda n: ImageCrops(photographs, n, size=SIDE, seed=SEED),
            0.1 if quick else minutes,
            1,
            saved,
            WrappedCodec,
        )
        curves = {"wrapped": coded(job, saved, files, SMALL[codec], place / "ours").curve()}
    images = [pixels(file) for file in files]
    for name, peer in job.baselines().items():
        curves[name] = _curve(peer, images, (WHOLE if peer.scale == 1 else SMALL)[codec])
        say(f"{name}: {curves[name][0].round(3).tolist()} bpp, {curves[name][1].round(2).tolist()} dB")
    listed = {name: [part.tolist() for part in curve] for name, curve in curves.items()}
    return Result(TITLE, _claims(curves), figures | {"codec": codec, "curves": listed})


def _made(codec: str, **options: Any) -> AutoEncoder:
    model = WrappedCodec(codec=codec).default_estimator(None)
    return model.set_params(validation_fraction=0.05, random_state=SEED, **options)


def _curve(peer: ScaledCodec, images: list[np.ndarray], qualities: tuple[int, ...]) -> Curve:
    """Return bits a pixel and PSNR at each quality, averages over images."""
    points = np.empty((2, len(qualities), len(images)))
    for j, image in enumerate(images):
        for i, quality in enumerate(qualities):
            size, restored = peer.written(image, quality)
            points[:, i, j] = 8 * size / (image.shape[0] * image.shape[1]), psnr(image, restored)
    rates, decibels = points.mean(axis=2)
    return rates, decibels


def _claims(curves: dict[str, Curve]) -> list[Claim]:
    """Return how far the wrapped codec is above each other at each rate that both have."""
    claims = []
    for rate in RATES:
        found = {name: quality_at(curve, rate) for name, curve in curves.items()}
        ours = found.pop("wrapped")
        if ours is None:
            continue
        claims.append(Claim(f"PSNR at {rate:.2f} bits a pixel", ours, better="higher", unit=" dB"))
        for name, theirs in found.items():
            if theirs is not None:
                what = f"... beyond {name} at {rate:.2f}"
                claims.append(Claim(what, ours - theirs, better="higher", must=0.0, unit=" dB"))
    return claims


if __name__ == "__main__":
    main(
        run,
        click.Option(["--minutes"], type=click.FloatRange(0.05), default=15.0, show_default=True, help="Of the fit."),
        click.Option(["--codec"], type=click.Choice(CODECS), default="jpeg", show_default=True, help="Whose files."),
        click.Option(
            ["--model"],
            type=click.Path(file_okay=False, path_type=Path),
            help="Where the fitted model is kept; one that is there already is taken as it is.",
        ),
    )
