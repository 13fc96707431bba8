"""What ``compare --for compress`` reads, prints and draws: a codec beside the standard ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from isthmus.cli.imaging import codec_of
from isthmus.cli.talk import count, figures, say, table
from isthmus.jobs import Compressor
from isthmus.jobs.codec_curves import MOST_COMPARED, at_equal_size, beside_ours, curves_of
from isthmus.reading.image_files import find
from isthmus.reading.pictures import read_picture

__all__ = ["of_model", "tell"]

# Images whose crops are drawn, and at what quality.
DRAWN, AT = 3, 20.0


def of_model(model: Path, inputs: Sequence[Path], out: Path | None, as_json: bool) -> None:
    """Compare a fitted codec on images, and on those in folders."""
    codec = codec_of(model)
    if not isinstance(codec, Compressor):
        raise click.UsageError(f"{str(model)!r} is fitted --for wrap: isthmus compare DATA --for wrap fits it anew.")
    files = [file for path in inputs for file in (find(path)[0] if path.is_dir() else [path])]
    if not files:
        raise ValueError(f"there is no image in {', '.join(map(str, inputs))}.")
    if len(files) > MOST_COMPARED:
        say(f"note: {MOST_COMPARED} of {len(files)} images are compared, evenly chosen")
        files = [files[i] for i in np.linspace(0, len(files) - 1, MOST_COMPARED).round().astype(int)]
    images = []
    for file in files:
        picture = read_picture(file)
        notes = picture.notes + (["transparency left out"] if picture.alpha is not None else [])
        for note in notes:
            say(f"note: {file}: {note}")
        images.append(picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels)
    tell(codec, images, out, as_json, {"model": str(model), "files": [str(file) for file in files]})


def tell(codec: Compressor, images: Sequence[np.ndarray], out: Path | None, as_json: bool, about: Any) -> None:
    """Print how a codec does beside the standard ones on images, and draw it into a folder if one is given."""
    say(f"writing and reading {count(len(images), 'image')} in all ways")
    curves = curves_of(codec, images)
    rows = beside_ours(curves)
    if out is not None:
        _draw(codec, images, curves, out)
    if as_json:
        points = {name: [{"bpp": r, "psnr": q} for r, q in zip(*curve, strict=True)] for name, curve in curves.items()}
        figures(about | {"job": codec.verb, "methods": rows, "curves": points}, True)
    else:
        table(rows)


def _draw(codec: Compressor, images: Sequence[np.ndarray], curves: Any, out: Path) -> None:
    from isthmus import pictures

    out.mkdir(parents=True, exist_ok=True)
    title = f"averages over {count(len(images), 'image')}, whole files"
    pictures.save(pictures.rate_distortion(curves, title), out / "rates.png")
    rows, captions, methods = [], [], ["original"]
    for place in np.unique(np.linspace(0, len(images) - 1, min(len(images), DRAWN)).round().astype(int)):
        image = images[place]
        found = at_equal_size(codec, image, AT)
        methods = ["original", *(one.method for one in found)]
        rows.append([image, *(one.pixels for one in found)])
        whole = f"of {image.shape[1]} x {image.shape[0]}"
        captions.append([whole, *(f"{one.psnr:.2f} dB, {one.size:,} bytes" for one in found)])
    pictures.save(pictures.crops(rows, methods, captions), out / "crops.png")
    say(f"drawn in {out / 'rates.png'} and {out / 'crops.png'}")
