"""The verb `search`: the indexed rows that are most like given ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus.cli import packing_vectors
from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import (
    PICTURES,
    check_not_input,
    check_stdout,
    done,
    not_for,
    write_lines,
    write_table,
)
from isthmus.cli.talk import count, say
from isthmus.jobs import SimilaritySearch, VectorCompressor
from isthmus.modalities import Images

__all__ = ["search"]

QUERIES_SHOWN = 12


def search(
    model: Path, query: Path, out: Path, n_neighbors: int | None, data: Path | None, resize: bool, as_json: bool
) -> None:
    """Write which indexed rows are nearest to those of a query, or draw them."""
    check_stdout(out, as_json)
    check_not_input(out, query, model)
    fitted, estimator = open_model(model)
    if isinstance(fitted, VectorCompressor):
        given = read_for(estimator, query)
        return packing_vectors.search(fitted, given, out, n_neighbors, data, as_json)
    if not isinstance(fitted, SimilaritySearch):
        raise not_for(model, "search", "it has no index")
    draws = out.suffix.lower() in PICTURES
    if draws and not isinstance(estimator.modality_, Images):
        raise click.UsageError("a picture shows images; write a .jsonl or .csv.", click.get_current_context())
    given = read_for(estimator, query, resize)
    distances, positions = fitted.kneighbors(given.rows, n_neighbors)
    if draws:
        _draw(fitted, given, distances, positions, data, out, resize)
    else:
        records = _records(fitted, given, distances, positions)
        if out.suffix.lower() == ".jsonl":
            write_lines(out, records)
        else:
            write_table(out, pl.DataFrame(records, infer_schema_length=None))
    said = f"searched for among {count(len(fitted.places_), 'row')}, {positions.shape[1]} found for each"
    done(given, out, as_json, said, indexed=len(fitted.places_), found=positions.shape[1], metric=fitted.metric)


def _records(
    fitted: SimilaritySearch, given: Given, distances: np.ndarray, positions: np.ndarray
) -> list[dict[str, Any]]:
    """Return a record for each row found: what for, its rank, where it came from, how far it is."""
    return [
        {given.where: place, "rank": rank, "found": found, "distance": distance}
        for place, names, line in zip(
            given.places(), fitted.places_[positions].tolist(), distances.tolist(), strict=True
        )
        for rank, (found, distance) in enumerate(zip(names, line, strict=True), 1)
    ]


def _draw(
    fitted: SimilaritySearch,
    given: Given,
    distances: np.ndarray,
    positions: np.ndarray,
    data: Path | None,
    out: Path,
    resize: bool,
) -> None:
    from isthmus import pictures

    shown = np.arange(min(QUERIES_SHOWN, len(given)))
    positions, distances = positions[shown], distances[shown]
    images = _decoded(fitted, positions) if data is None else _originals(fitted, positions, data, resize)
    names = fitted.places_[positions].tolist()
    captions = [
        [f"{place} ({distance:.3g})" for place, distance in zip(line, far, strict=True)]
        for line, far in zip(names, distances.tolist(), strict=True)
    ]
    titles = [str(place) for place in given.places()[: len(shown)]]
    pictures.save(pictures.similar_strip(given.rows.take(shown), images, captions, titles), out)
    if len(shown) < len(given):
        say(f"the first {count(len(shown), 'row')} drawn; -o hits.jsonl has all")


def _decoded(fitted: SimilaritySearch, positions: np.ndarray) -> np.ndarray:
    """Return the found rows as their codes are decoded: the model keeps codes, not images."""
    if fitted.metric == "hamming":
        raise click.UsageError(
            "bits cannot be drawn; name the indexed images with --data DATA.", click.get_current_context()
        )
    say("drawn from their codes; --data DATA draws the indexed images themselves")
    images = fitted.estimator_.inverse_transform(fitted.codes_[positions.ravel()])
    return images.reshape(*positions.shape, *images.shape[1:])


def _originals(fitted: SimilaritySearch, positions: np.ndarray, data: Path, resize: bool) -> np.ndarray:
    """Return the found rows, looked up in the data that were indexed."""
    given = read_for(fitted.estimator_, data, resize)
    known = {place: i for i, place in enumerate(given.places())}
    wanted = fitted.places_[positions.ravel()].tolist()
    lost = next((place for place in wanted if place not in known), None)
    if lost is not None:
        raise ValueError(f"{data} has no {lost}, which is in the index; --data takes what the model was fitted on.")
    images = given.rows.take(np.array([known[place] for place in wanted]))
    return images.reshape(*positions.shape, *images.shape[1:])
