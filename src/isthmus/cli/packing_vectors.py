"""What ``compress``, ``decompress``, ``info FILE`` and ``search`` do, for vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus.cli.compressing import ARRAY_SUFFIX, SUFFIX, array_of, bytes_of, explained, targets
from isthmus.cli.inputs import Given, open_model
from isthmus.cli.outputs import PICTURES, done, write_lines, write_table
from isthmus.cli.talk import count, figures
from isthmus.files import atomic
from isthmus.jobs import VectorCompressor
from isthmus.jobs.vector_stream import vector_facts
from isthmus.saving import inspect

__all__ = ["compress", "decompress", "info", "is_for_vectors", "search"]


def is_for_vectors(model: Path | None) -> bool:
    """Whether this is a model fitted --for vectors; nothing is built for the answer."""
    return model is not None and inspect(model)["kind"] == VectorCompressor.__name__


def compress(model: Path, files: Sequence[Path], out: Path, as_json: bool) -> None:
    """Write the vectors of each array as a compressed file."""
    compressor = open_model(model)[0]
    for file, target in targets(files, out, SUFFIX):
        with explained(file):
            data = compressor.compress(array_of(file))
        with atomic(target) as part:
            part.write_bytes(data)
        figures({"file": str(file), "out": str(target)} | _told(data), as_json)


def decompress(model: Path | None, files: Sequence[Path], out: Path, as_json: bool) -> None:
    """Write the vectors of each compressed file as an array."""
    if model is None:
        raise click.UsageError("Missing option '--model': vectors need the model that they were compressed with.")
    compressor = _compressor(model)
    for file, target in targets(files, out, ARRAY_SUFFIX):
        with explained(file):
            data = bytes_of(file)
            vectors = compressor.decompress(data)
        with atomic(target) as part, part.open("wb") as opened:
            np.save(opened, vectors)
        figures({"file": str(file), "out": str(target)} | _told(data), as_json)


def info(model: Path, as_json: bool) -> None:
    """Say what a file of compressed vectors is."""
    with explained(model):
        data = bytes_of(model)
        told = _told(data)
    figures({"file": str(model)} | told, as_json)


def search(
    fitted: VectorCompressor, given: Given, out: Path, n_neighbors: int | None, data: Path | None, as_json: bool
) -> None:
    """Write which vectors of a compressed file are nearest to those of a query."""
    if data is None:
        raise click.UsageError("Missing option '--data': the compressed file of vectors to search in.")
    if out.suffix.lower() in PICTURES:
        raise click.UsageError("vectors cannot be drawn; write a .jsonl or .csv.")
    with explained(data):
        packed = fitted.unpack(bytes_of(data))
        n = len(packed)
        distances, rows = fitted.search(given.rows, packed, min(10, n) if n_neighbors is None else n_neighbors)
    places = [place for place in given.places() for _ in range(rows.shape[1])]
    ranks = np.tile(np.arange(1, rows.shape[1] + 1), len(rows))
    table = pl.DataFrame({given.where: places, "rank": ranks, "found": rows.ravel(), "distance": distances.ravel()})
    if out.suffix.lower() == ".jsonl":
        write_lines(out, table.to_dicts())
    else:
        write_table(out, table)
    said = f"searched for among {count(n, 'vector')}, {rows.shape[1]} found for each"
    done(given, out, as_json, said, indexed=n, found=rows.shape[1], metric="euclidean")


def _compressor(model: Path) -> VectorCompressor:
    if not is_for_vectors(model):
        raise click.UsageError(
            f"{str(model)!r} is no model for vectors; fit one with isthmus fit VECTORS.npy --for vectors."
        )
    fitted: VectorCompressor = open_model(model)[0]
    return fitted


def _told(data: bytes | memoryview) -> dict[str, Any]:
    """Return what compressed vectors are, for people and ``--json``."""
    facts = vector_facts(data)
    return {
        "holds": "vectors",
        "shape": [facts.n, facts.width],
        "dtype": facts.dtype.name,
        "model": f"{facts.model:016x}",
        "bytes": len(data),
        "bytes_before": facts.nbytes,
        "ratio": facts.nbytes / len(data),
        "bytes_per_vector": len(data) / max(facts.n, 1),
    }
