"""What ``compress``, ``decompress`` and ``info FILE`` do, for images."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from isthmus.cli.compressing import SUFFIX, bytes_of, explained, targets
from isthmus.cli.inputs import Given, open_model
from isthmus.cli.several import each
from isthmus.cli.talk import figures, say, set_aside_said
from isthmus.coding.container import WRAPPED, kind_of
from isthmus.files import atomic
from isthmus.jobs import Compressor, WrappedCodec
from isthmus.jobs.image_stream import ImageFacts, image_facts
from isthmus.jobs.wrap_stream import WrapFacts, wrap_facts
from isthmus.reading import ImageCrops
from isthmus.reading.pictures import read_picture, write_picture

__all__ = ["codec_of", "compress", "crops", "decompress", "info", "split_crops"]

PICTURE = ".png"
CROP = 160
# Of a few images more crops would be the same ones again.
CROPS_OF_IMAGE = 200
MOST_CROPS = 4_000


def compress(
    model: Path, files: Sequence[Path], out: Path, max_pixels: int, jobs: int, as_json: bool, asked: dict[str, Any]
) -> None:
    """Write each image as a compressed file."""
    codec_of(model)
    calls = [(model, *pair, max_pixels, asked) for pair in _pairs(files, out, SUFFIX)]
    _tell(each(_compress, calls, jobs), as_json)


def decompress(model: Path, files: Sequence[Path], out: Path, jobs: int, as_json: bool, asked: dict[str, Any]) -> None:
    """Write each compressed file as a PNG."""
    codec_of(model)
    calls = [(model, *pair, asked) for pair in _pairs(files, out, PICTURE)]
    _tell(each(_decompress, calls, jobs), as_json)


def info(model: Path, as_json: bool) -> None:
    """Say what a compressed image is."""
    with explained(model):
        data = bytes_of(model)
        figures({"file": str(model)} | _told(data), as_json)


def crops(path: Path, size: tuple[int, int] | None, seed: int) -> Given:
    """Return crops of a folder of images of any sizes, to fit on; as large as ``--size`` says."""
    if size is not None and size[0] != size[1]:
        raise click.UsageError(f"--size of crops is square, such as {size[0]}x{size[0]}; got {size[0]}x{size[1]}.")
    rows = ImageCrops(path, size=CROP if size is None else size[0], seed=seed)
    rows.n = min(MOST_CROPS, CROPS_OF_IMAGE * len(rows.files))
    set_aside_said(rows, "")
    for note in (*rows.notes, repr(rows)):
        say(f"note: {note}")
    return Given(path, rows)


def split_crops(rows: ImageCrops, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of crops to fit on and to test on: of different images, for crops of one lie over each other."""
    images = len(rows.files)
    if images < 2:
        raise ValueError(f"{rows.path} has one image; to fit on some and test on others takes two.")
    image_of = np.arange(len(rows)) * images // len(rows)
    chosen = np.random.default_rng(seed).permutation(images)[: max(1, round(test_share * images))]
    tested = np.isin(image_of, chosen)
    return np.flatnonzero(~tested), np.flatnonzero(tested)


@functools.lru_cache(maxsize=1)
def codec_of(path: Path) -> Compressor | WrappedCodec:
    """Return a saved codec, read once by each process."""
    model = open_model(path)[0]
    if not isinstance(model, Compressor | WrappedCodec):
        raise click.UsageError(f"{str(path)!r} is no codec for images; fit one with isthmus fit IMAGES --for compress.")
    return model


def _compress(model: Path, file: Path, target: Path, max_pixels: int, asked: dict[str, Any]) -> dict[str, Any]:
    codec = codec_of(model)
    picture = read_picture(file, max_pixels, stored=isinstance(codec, Compressor))
    with explained(file):
        data = codec.compress(picture, **_taken(codec.compress, asked))
    with atomic(target) as part:
        part.write_bytes(data)
    return {"file": str(file), "out": str(target), "notes": picture.notes} | _told(data)


def _decompress(model: Path, file: Path, target: Path, asked: dict[str, Any]) -> dict[str, Any]:
    with explained(file):
        data = bytes_of(file)
        codec = codec_of(model)
        picture = codec.picture(data, **_taken(codec.picture, asked))
    with atomic(target) as part:
        write_picture(picture, part)
    height, width = picture.pixels.shape[:2]
    return {"file": str(file), "out": str(target), "notes": picture.notes, "width": width, "height": height}


def _taken(method: Callable[..., Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return what a codec's method takes of what is asked for; refuse what is asked for and not taken."""
    known = inspect.signature(method).parameters
    said = {"groups": "preview"}
    lost = [said.get(name, name) for name, value in asked.items() if value not in (None, False) and name not in known]
    if lost:
        raise click.UsageError(f"--{lost[0].replace('_', '-')} is for images compressed by a model --for compress.")
    return {name: value for name, value in asked.items() if name in known}


def _pairs(files: Sequence[Path], out: Path, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yield each file and what it becomes; for one file that may be ``out`` itself."""
    if len(files) == 1 and out.suffix.lower() != suffix:
        out.mkdir(parents=True, exist_ok=True)
    yield from targets(files, out, suffix)


def _tell(results: Iterator[dict[str, Any]], as_json: bool) -> None:
    for result in results:
        for note in result.pop("notes"):
            say(f"note: {result['file']}: {note}")
        figures(result, as_json)


def _told(data: bytes | memoryview) -> dict[str, Any]:
    """Return what a compressed image is, for people and ``--json``."""
    if kind_of(data) == WRAPPED:
        wrapped, more = wrap_facts(data)
        about: dict[str, Any] = {"holds": "wrapped image", "codec": wrapped.codec, "scale": wrapped.scale}
        return about | {"quality": wrapped.quality} | _sizes(wrapped, data) | more
    facts, more = image_facts(data)
    about = {"holds": "image", "quality": round(facts.quality, 2), "tiles": facts.tiles[0] * facts.tiles[1]}
    return about | _sizes(facts, data) | more


def _sizes(facts: ImageFacts | WrapFacts, data: bytes | memoryview) -> dict[str, Any]:
    return {
        "width": facts.width,
        "height": facts.height,
        "channels": facts.channels,
        "bytes": len(data),
        "bits_per_pixel": 8 * len(data) / (facts.width * facts.height),
    }
