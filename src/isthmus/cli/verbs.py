"""What the verbs do with a fitted model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.decomposition import PCA

from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import (
    PICTURES,
    check_folder,
    check_not_input,
    check_rows_out,
    check_stdout,
    done,
    not_for,
    write_array,
    write_rows,
    write_table,
)
from isthmus.cli.talk import count, say
from isthmus.estimator import AutoEncoder
from isthmus.jobs import Denoiser, Mapper
from isthmus.jobs.job import choose
from isthmus.modalities import Images, Sequences, Tables

__all__ = ["denoise", "encode", "map_rows", "reconstruct"]

IMAGES_SHOWN, LINES_SHOWN, SERIES_SHOWN, KINDS_SHOWN = 16, 40, 12, 19


def encode(model: Path, data: Path, out: Path, resize: bool, as_json: bool) -> None:
    """Write the codes of rows."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    _, estimator = open_model(model)
    given = read_for(estimator, data, resize)
    codes = estimator.transform(given.rows)
    write_array(out, codes, given)
    done(given, out, as_json, f"encoded as {count(codes.shape[1], 'value')} each", code=list(estimator.code_shape_))


def reconstruct(model: Path, data: Path, out: Path, picture: Path | None, resize: bool, as_json: bool) -> None:
    """Write rows as they come back from their codes."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    _, estimator = open_model(model)
    _check_rows_out(out, estimator)
    given = read_for(estimator, data, resize)
    check_folder(out, given)
    _there_and_back(estimator, given, out, picture, as_json, "reconstructed")


def denoise(model: Path, data: Path, out: Path, picture: Path | None, resize: bool, as_json: bool) -> None:
    """Write the clean rows behind noisy ones."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, Denoiser) and estimator.corruption is None:
        raise not_for(model, "denoise", "it never saw a corrupted row")
    _check_rows_out(out, estimator)
    given = read_for(estimator, data, resize)
    check_folder(out, given)
    _there_and_back(estimator, given, out, picture, as_json, "denoised")


def _check_rows_out(out: Path, estimator: AutoEncoder) -> None:
    series = (".npz",) if isinstance(estimator.modality_, Sequences) else ()
    check_rows_out(out, not isinstance(estimator.modality_, Images), series)


def map_rows(model: Path, data: Path, out: Path, labels: str | None, resize: bool, as_json: bool) -> None:
    """Place rows on a map."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    given = read_for(estimator, data, resize)
    named = None if labels is None else given.labels(labels)
    points = _points(fitted, estimator, given)
    if out.suffix.lower() in PICTURES:
        from isthmus import pictures

        if points.shape[1] == 1:
            points = np.column_stack([points, np.zeros(len(points))])
        draw = pictures.scatter_map if points.shape[1] == 2 else pictures.scatter_space
        figure = draw(*_labelled(points, named), title=data.name, subtitle=labels or "")
        pictures.save(figure, out)
    else:
        columns = dict(zip("xyz", points.T, strict=False)) | ({} if named is None else {"label": named})
        write_table(out, given.with_places(pl.DataFrame(columns)))
    done(given, out, as_json, "placed on a map")


def _there_and_back(
    estimator: AutoEncoder, given: Given, out: Path, picture: Path | None, as_json: bool, what: str
) -> None:
    rows = estimator.reconstruct(given.rows)
    write_rows(out, rows, given)
    if picture is not None:
        _draw_pairs(estimator, given, rows, picture, what)
    cost = -float(estimator.score_samples(given.rows).mean())
    done(given, out, as_json, f"{what}, {cost:.4g} nats each", cost=cost)


def _draw_pairs(estimator: AutoEncoder, given: Given, after: Any, picture: Path, what: str) -> None:
    from isthmus import pictures

    modality: Any = estimator.modality_
    if isinstance(modality, Tables):
        index = np.arange(min(LINES_SHOWN, len(given)))
        batch = modality.to_batch(choose(given.rows, index))
        before = batch.x.double().numpy()
        if batch.mask is not None:
            before[~batch.mask.numpy()] = np.nan
        decoded = estimator.reconstruct_batch(batch).double().numpy()
        # A category has no more and less, which is what colour shows.
        shown = [i for i, column in enumerate(modality.columns) if column["kind"] != "category"]
        if not shown:
            raise ValueError(f"{picture}: a table of categories alone has nothing that colour could show.")
        names = [modality.names[i] for i in shown]
        figure = pictures.heat_strip(before[:, shown], decoded[:, shown], names, most=len(index))
    elif isinstance(modality, Sequences):
        index = np.arange(min(SERIES_SHOWN, len(given)))
        titles = [f"{given.where} {place}" for place in given.places()[: len(index)]]
        figure = pictures.series_pairs(list(given.rows.take(index)), list(after[: len(index)]), titles, what)
    else:
        index = np.arange(min(IMAGES_SHOWN, len(given)))
        figure = pictures.image_grid([given.rows.take(index), after[: len(index)]], ["given", what])
    pictures.save(figure, picture)
    say(f"the first {count(len(index), 'row')} drawn in {picture}")


def _labelled(points: np.ndarray, labels: list[Any] | None) -> tuple[np.ndarray, Any]:
    """Return the points that have a label, and labels that a picture can tell apart."""
    if labels is None:
        return points, None
    known = [i for i, label in enumerate(labels) if label is not None and label == label]
    if len(known) < len(labels):
        say(f"{count(len(labels) - len(known), 'row')} without a label left out of the picture")
    kept = [labels[i] for i in known]
    if any(isinstance(label, str) for label in kept):
        frequent = {label for label, _ in Counter(map(str, kept)).most_common(KINDS_SHOWN)}
        if len(frequent) < len(set(map(str, kept))):
            say(f"the {KINDS_SHOWN} most frequent labels have a colour of their own")
        kept = [str(label) if str(label) in frequent else "(others)" for label in kept]
    return points[known], np.array([str(label) if isinstance(label, bool) else label for label in kept])


def _points(fitted: Any, estimator: AutoEncoder, given: Given) -> np.ndarray:
    if isinstance(fitted, Mapper):
        return fitted.transform(given.rows)
    codes = estimator.transform(given.rows)
    if codes.shape[1] == 2:
        return codes
    line = min(codes.shape) < 2
    say(
        f"the model's code has {count(codes.shape[1], 'value')}; shown "
        f"{'is a line' if line else 'are its two principal components over these rows'}. "
        "For a model that makes maps: isthmus fit DATA -o MODEL --for map"
    )
    if line:
        return np.column_stack([codes[:, :1], np.zeros(len(codes))])
    return PCA(2, random_state=0).fit_transform(codes)
