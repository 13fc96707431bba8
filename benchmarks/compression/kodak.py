"""Photographs: a codec fitted on BSDS500, and files of Kodak's images beside JPEG, WebP, JPEG 2000 and AVIF.

The codec is fitted on crops of 300 photographs of BSDS500, made smaller for they were JPEGs; by default for 45
minutes on 2 threads. Kodak's are for testing alone. Bits a pixel are those of real files, which a fresh process reads
back; PSNR is of uint8 RGB; both are averaged over the images before BD-rates are taken (PCHIP).
Pillow's codecs are measured in the same run: JPEG optimised, progressive, 4:2:0; WebP method 6; JPEG 2000 of OpenJPEG,
irreversible, with its transform of colours; AVIF speed 6, 4:2:0.

- untrained: the same codec where a fit begins, the transform in closed form with counted tables.
- efforts of the encoder, beside the least: at every second quality.
- seconds are of processor time, one thread, at the quality nearest to half a bit a pixel.
- --model FOLDER: fit once, and go on with the saved codec in later runs; the result says so.

On 2 free cores an hour with the fit, and what the greatest effort takes; `isthmus bench compression kodak`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.compression.images import (
    Points,
    against,
    coded,
    fitted,
    pixels,
    started,
    theirs,
    times,
    unpacked,
)
from benchmarks.harness import Claim, Missing, Result, main, range_of, say
from benchmarks.papers.data import folder
from isthmus import AutoEncoder, pictures
from isthmus.jobs import Compressor
from isthmus.jobs.codec_curves import at_equal_size
from isthmus.jobs.effort import EFFORTS
from isthmus.reading import ImageCrops
from isthmus.recipes import lapped_codec

TITLE = "photographs (Kodak): bits beyond those of standard codecs"
# From a tenth of a bit a pixel to somewhat more than one.
TRADE_OFFS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
QUALITIES = tuple(np.linspace(0, 100, 9).tolist())
# Must and aim: how many per cent more bits.
LIMITS = {"JPEG": (-34.0, -42.0), "WebP": (5.0, -7.0), "JPEG 2000": (25.0, 10.0)}
UNTRAINED, MIDDLE = "untrained", 0.5
# Images of the picture, and its quality: from places of the sorted files.
DRAWN, DRAWN_AT = (2, 6, 9), 40.0


def run(
    quick: bool, minutes: float = 45.0, threads: int = 2, model: Path | None = None, drawn: Path | None = None
) -> Result:
    """Fit, write, read, and compare."""
    files = sorted(folder("kodak").glob("*.png"))[: 1 if quick else None]
    if not files:
        raise Missing("the folder of ISTHMUS_DATA has no .png files in kodak")
    qualities = QUALITIES[::4] if quick else QUALITIES
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photographs = unpacked("bsds500", place / "bsds500")
        saved = model or place / "model"
        codec, figures = fitted(_made, lambda n: _crops(photographs, n), 0.1 if quick else minutes, threads, saved)
        ours = coded(codec, saved, files, qualities, place / "ours")
        begun = started(_made, lambda n: _crops(photographs, 64 if quick else n), place / UNTRAINED)
        plain = coded(begun, place / UNTRAINED, files, qualities, place / "plain")
        peers = theirs(files, 3 if quick else 1)
        claims = against(ours, peers, LIMITS)
        if figures["fitted in this run"]:
            claims.append(Claim("minutes of the fit", figures["minutes"], must=45.0))
        claims += [one for one in against(plain, peers, {}, f", {UNTRAINED}") if "MS-SSIM" not in one.what]
        middle = qualities[int(np.argmin(np.abs(ours.bpp.mean(1) - MIDDLE)))]
        claims += _costs(codec, files, middle)
        curves = {"auto-encoder": ours, UNTRAINED: plain} | peers
        for effort in EFFORTS[: 1 if quick else None]:
            name = f"effort {effort}"
            curves[name] = coded(codec, saved, files, qualities[::2], place / name, effort=effort)
            claims += _of_effort(codec, files, middle, effort, curves)
    if drawn is not None:
        _draw(codec, files, {name: curves[name] for name in ("auto-encoder", *peers)}, drawn)
    figures |= {"qualities": qualities, "curves": {name: points.listed() for name, points in curves.items()}}
    return Result(TITLE, claims, figures)


def _made(**options: Any) -> AutoEncoder:
    return lapped_codec(trade_offs=TRADE_OFFS, validation_fraction=0.03, random_state=0, **options)


def _crops(photographs: Path, n: int) -> ImageCrops:
    return ImageCrops(photographs, n, seed=0)


def _costs(codec: Compressor, files: Sequence[Path], quality: float) -> list[Claim]:
    """Return claims of seconds, and of how far the estimated bits are off."""
    found = times(codec, files, quality)
    claims = [
        Claim(f"seconds to {name} 768 x 512", **range_of(found[name]), must=most, unit=" s", spread="range of images")
        for name, most in (("encode", 0.25), ("decode", 0.2))
    ]
    images = [pixels(file) for file in files]
    off = [100 * abs(codec.bits(one, quality) / (8 * len(codec.compress(one, quality))) - 1) for one in images]
    return [*claims, Claim("estimated bits are off by", **range_of(off), must=2.0, unit=" %", spread="range of images")]


def _of_effort(
    codec: Compressor, files: Sequence[Path], quality: float, effort: int, curves: dict[str, Points]
) -> list[Claim]:
    """Return what an effort saves beside the least, and what it takes."""
    name = f"effort {effort}"
    seconds = statistics.median(times(codec, files, quality, effort=effort)["encode"])
    claims = [Claim(f"{name}: seconds to encode", seconds, unit=" s")]
    peers = {"effort 0": curves["effort 0"]} if effort else {}
    peers |= {peer: curves[peer] for peer in LIMITS if peer in curves}
    return claims + [one for one in against(curves[name], peers, {}, f", {name}") if not one.what.startswith("...")]


def _draw(codec: Compressor, files: Sequence[Path], curves: dict[str, Points], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    lines = {name: points.curve() for name, points in curves.items()}
    pictures.save(pictures.rate_distortion(lines, f"Kodak, {len(files)} images, whole files"), into / "rates.png")
    rows, captions, methods = [], [], ["original"]
    for place in DRAWN:
        image = pixels(files[place % len(files)])
        found = at_equal_size(codec, image, DRAWN_AT)
        methods = ["original", *(one.method for one in found)]
        rows.append([image, *(one.pixels for one in found)])
        captions.append([files[place % len(files)].stem, *(f"{x.psnr:.2f} dB, {x.size:,} bytes" for x in found)])
    pictures.save(pictures.crops(rows, methods, captions), into / "crops.png")
    say(f"drawn in {into}")


OPTIONS = (
    click.Option(
        ["--minutes"], type=click.FloatRange(0, min_open=True), default=45.0, help="Of the fit, on the clock."
    ),
    click.Option(["--threads"], type=click.IntRange(1), default=2, help="Of the fit."),
    click.Option(["--model"], type=click.Path(path_type=Path), help="Fit into this folder, or take the codec in it."),
    click.Option(["--drawn"], type=click.Path(path_type=Path), help="Folder for pictures of rates and of crops."),
)

if __name__ == "__main__":
    main(run, *OPTIONS)
