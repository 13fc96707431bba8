"""What ``compress``, ``decompress`` and ``info FILE`` do, for arrays."""

from __future__ import annotations

import stat
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from isthmus.cli.inputs import open_model
from isthmus.cli.outputs import check_not_input
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import figures
from isthmus.coding import CorruptStreamError
from isthmus.files import atomic
from isthmus.jobs.arrays import ArrayCompressor, ArrayFacts, array_facts

__all__ = ["ARRAY_SUFFIX", "SUFFIX", "array_of", "bytes_of", "compress", "decompress", "explained", "info", "targets"]

ARRAY_SUFFIX = ".npy"
SUFFIX = ".aec"


def compress(model: Path | None, files: Sequence[Path], out: Path, error: str | None, as_json: bool) -> None:
    """Write each array as a compressed file."""
    if error is None:
        raise click.UsageError("Missing option '--error': how far off may a value be? Such as abs:1e-3 or lossless.")
    for file in files:
        if file.suffix.lower() != ARRAY_SUFFIX:
            raise click.UsageError(f"{str(file)!r} is no .npy file; other arrays are saved as one by numpy.save.")
    with wrong_call():
        compressor = ArrayCompressor(error, None if model is None else open_model(model)[0])
    for file, target in targets(files, out, SUFFIX):
        _compress(compressor, file, target, as_json)


def decompress(model: Path | None, files: Sequence[Path], out: Path, as_json: bool) -> None:
    """Write each compressed file as an array."""
    with wrong_call():
        compressor = ArrayCompressor(model=None if model is None else open_model(model)[0])
    for file, target in targets(files, out, ARRAY_SUFFIX):
        if target.suffix.lower() != ARRAY_SUFFIX:
            raise click.UsageError(f"{str(target)!r} should end in .npy, for it is an array.")
        _decompress(compressor, file, target, as_json)


def info(model: Path, as_json: bool) -> None:
    """Say what a compressed file is."""
    with explained(model):
        data = bytes_of(model)
        facts = array_facts(data)
    figures({"file": str(model)} | _told(facts, len(data)), as_json)


def _compress(compressor: ArrayCompressor, file: Path, target: Path, as_json: bool) -> None:
    array, size = array_of(file), 0
    with explained(file), atomic(target) as part, part.open("wb") as opened:
        for piece in compressor.pieces(array):
            size += opened.write(piece)
    figures({"file": str(file), "out": str(target)} | _told(array_facts(bytes_of(target)), size), as_json)


def _decompress(compressor: ArrayCompressor, file: Path, target: Path, as_json: bool) -> None:
    with explained(file), atomic(target) as part:
        data = bytes_of(file)
        facts = array_facts(data)
        if facts.nbytes:
            # Mapped, so that an array may be larger than memory.
            array = np.lib.format.open_memmap(
                part, mode="w+", dtype=facts.dtype, shape=facts.shape, fortran_order=facts.fortran
            )
            compressor.decompress(data, out=array)
            array.flush()
        else:
            with part.open("wb") as opened:
                np.save(opened, compressor.decompress(data))
    figures({"file": str(file), "out": str(target)} | _told(facts, len(data)), as_json)


def _told(facts: ArrayFacts, size: int) -> dict[str, Any]:
    """Return what a compressed array is, for people and ``--json``."""
    values = max(facts.nbytes // facts.dtype.itemsize, 1)
    return {
        "holds": "array",
        "shape": list(facts.shape),
        "dtype": facts.dtype.name,
        "error": str(facts.error),
        "largest_error": facts.bound,
        "model": f"{facts.model:016x}" if facts.model else None,
        "blocks": facts.blocks,
        "bytes": size,
        "bytes_before": facts.nbytes,
        "ratio": facts.nbytes / size,
        "bits_per_value": 8 * size / values,
    }


def targets(files: Sequence[Path], out: Path, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yield each file and where its result goes: for one file ``out``, for many a file in the folder ``out``."""
    into = len(files) > 1 or out.is_dir()
    targets = [out / file.with_suffix(suffix).name if into else out for file in files]
    if len(set(targets)) < len(targets):
        raise click.UsageError("two of the files have the same name; what they become would too.")
    for target in targets:
        check_not_input(target, *files)
    yield from zip(files, targets, strict=True)


def array_of(file: Path) -> np.ndarray:
    """Return the array of a .npy file, mapped."""
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"{file} is no .npy file of numbers, or damaged: {str(error)[:80]}") from error


def bytes_of(path: Path) -> memoryview:
    """Return what is in a file, mapped."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is no plain file.")
    if not path.stat().st_size:
        raise CorruptStreamError("the file is empty.")
    return memoryview(np.memmap(path, mode="r"))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Name the file where something is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
