"""What ``compress``, ``decompress`` and ``info FILE`` are asked: of images, of arrays, or of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from isthmus.cli import compressing, imaging, packing_vectors
from isthmus.cli.compressing import ARRAY_SUFFIX, bytes_of, explained
from isthmus.coding.container import IMAGE, VECTORS, WRAPPED, kind_of
from isthmus.saving.folder import MODEL

__all__ = ["compress", "decompress", "info"]

IMAGES = (IMAGE, WRAPPED)
TARGETS = ("quality", "target_size", "target_psnr")
OF_IMAGES = (*TARGETS, "effort", "strip")


def compress(
    inputs: Sequence[Path],
    out: Path,
    error: str | None,
    max_pixels: int,
    jobs: int,
    as_json: bool,
    **of_images: Any,
) -> None:
    """Write each input as a compressed file."""
    model, files = _split(inputs, "compress")
    asked = [f"--{name.replace('_', '-')}" for name in OF_IMAGES if of_images[name] not in (None, False)]
    if error is not None and asked:
        raise click.UsageError(f"--error is for arrays and {asked[0]} for images; give one of them.")
    if error is None and not asked and packing_vectors.is_for_vectors(model):
        assert model is not None
        return packing_vectors.compress(model, files, out, as_json)
    if error is not None or all(file.suffix.lower() == ARRAY_SUFFIX for file in files):
        return compressing.compress(model, files, out, error, as_json)
    if model is None:
        raise click.UsageError("Missing MODEL: images are compressed by one that was fitted --for compress.")
    if len([name for name in TARGETS if of_images[name] is not None]) > 1:
        raise click.UsageError("give one of --quality, --target-size and --target-psnr.")
    imaging.compress(model, files, out, max_pixels, jobs, as_json, of_images)


def decompress(
    inputs: Sequence[Path],
    out: Path,
    model: Path | None,
    conceal: bool,
    groups: int | None,
    max_pixels: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Write what each input holds."""
    first, files = _split(inputs, "decompress")
    if first is not None and model is not None:
        raise click.UsageError("--model, and a model as the first input: give one of them.")
    model = first if model is None else model
    kinds = set(map(_kind, files))
    if kinds == {VECTORS}:
        return packing_vectors.decompress(model, files, out, as_json)
    are_images = {kind in IMAGES for kind in kinds}
    if len(are_images) > 1:
        raise click.UsageError("some of the files hold images and some do not; decompress one kind at a time.")
    if not are_images.pop():
        return compressing.decompress(model, files, out, as_json)
    if model is None:
        raise click.UsageError("Missing option '--model': images need the model that they were compressed with.")
    asked = {"max_pixels": max_pixels, "conceal": conceal, "groups": groups}
    imaging.decompress(model, files, out, jobs, as_json, asked)


def info(model: Path, as_json: bool) -> None:
    """Say what a compressed file is; no model is needed."""
    kind = _kind(model)
    room = packing_vectors if kind == VECTORS else imaging if kind in IMAGES else compressing
    room.info(model, as_json)


def _split(inputs: Sequence[Path], verb: str) -> tuple[Path | None, list[Path]]:
    """Return the model, if the first input is one, and the files."""
    first, *rest = inputs
    if not (first / MODEL).is_file():
        return None, list(inputs)
    if not rest:
        raise click.UsageError(f"Missing argument 'FILE': {str(first)!r} is a model; what is it to {verb}?")
    return first, rest


def _kind(path: Path) -> int:
    with explained(path):
        return kind_of(bytes_of(path))
