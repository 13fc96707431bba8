"""What ``disentangle`` and ``swap`` do: how far factors are kept apart, and rows with one exchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus import reading
from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import (
    check_folder,
    check_not_input,
    check_rows_out,
    check_stdout,
    said_place,
    write_rows,
)
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import count, figures, say, table
from isthmus.jobs.factors import factors_of, swap_factor
from isthmus.metrics import Disentanglement, disentanglement
from isthmus.modalities import Images
from isthmus.rows import FrameRows

__all__ = ["disentangle", "swap"]

IMAGES_SHOWN = 12
# Kim & Mnih's: a dimension of a posterior that varies less was given up to the prior.
GIVEN_UP = 0.05
SAYS = {
    "mig": "how far ahead is the dimension that tells most?",
    "disentanglement": "does a dimension tell of one factor alone?",
    "completeness": "is a factor told by one dimension alone?",
    "informativeness": "how well are factors read from the code?",
    "sap": "how far ahead is the dimension that predicts best?",
    "modularity": "as disentanglement, by mutual information",
    "factor_vae": "does what stays still say which factor did?",
}


def disentangle(
    model: Path, data: Path, factors: Path, out: Path | None, resize: bool, seed: int, as_json: bool
) -> None:
    """Say how far a model's code keeps known factors apart."""
    if out is not None:
        check_not_input(out, data, model, factors)
    _, estimator = open_model(model)
    given = read_for(estimator, data, resize)
    known = _factors(factors, given)
    least = GIVEN_UP if hasattr(estimator.module_.bottleneck, "posterior") else 0.0
    found = disentanglement(estimator.transform(given.rows), known, least_variance=least, random_state=seed)
    if out is not None:
        from isthmus import pictures

        matrices = {"mutual information": found.information, "importance": found.importances}
        pictures.save(pictures.factor_matrices(matrices, found.factors, title=data.name), out)
        say(f"what each dimension tells of each factor is drawn in {out}")
    if as_json:
        matrices = {"information": found.information.tolist(), "importances": found.importances.tolist()}
        figures(given.tally() | {"scores": found.scores, "factors": found.factors} | matrices, True)
        return
    table([{"metric": name, "score": score, "question": SAYS[name]} for name, score in found.scores.items()])
    click.echo()
    table(_by_factor(found))


def swap(
    model: Path,
    first: Path,
    second: Path,
    factor: str | None,
    out: Path,
    picture: Path | None,
    resize: bool,
    as_json: bool,
) -> None:
    """Write rows with a factor of others."""
    check_stdout(out, as_json)
    check_not_input(out, first, second, model)
    fitted, estimator = open_model(model)
    is_image = isinstance(estimator.modality_, Images)
    check_rows_out(out, not is_image)
    if picture is not None and not is_image:
        raise click.UsageError("--picture shows images; these rows are none.", click.get_current_context())
    with wrong_call():
        names = factors_of(estimator)
        chosen = factor or getattr(fitted, "factor", None) or names[-1]
        if chosen not in names:
            raise ValueError(f"--factor {chosen!r} is none of the code's: {', '.join(names)}.")
    ours, theirs = (read_for(estimator, path, resize) for path in (first, second))
    check_folder(out, ours)
    rows = swap_factor(estimator, ours.rows, theirs.rows, chosen)
    write_rows(out, rows, ours)
    if picture is not None:
        _draw(ours, theirs, rows, chosen, picture)
    say(f"{count(len(ours), 'row')} of {first} with the {chosen} of {second}, written to {said_place(out)}")
    if as_json:
        figures(ours.tally() | {"of": str(second), "factor": chosen, "factors": list(names), "out": str(out)}, True)


def _by_factor(found: Disentanglement) -> list[dict[str, Any]]:
    """Return for each factor which dimensions tell most of it, and how much."""
    rows = []
    for name, information, importance in zip(found.factors, found.information.T, found.importances.T, strict=True):
        best, *next_best = np.argsort(-information, kind="stable")[:2].tolist()
        row = {"factor": name, "told by": f"z{best}", "information": float(information[best])}
        if next_best:
            row |= {"then by": f"z{next_best[0]}", "information ": float(information[next_best[0]])}
        rows.append(row | {"importance": float(importance[best])})
    return rows


def _factors(path: Path, given: Given) -> Any:
    """Return the factors of the rows, one row for each."""
    rows = reading.read(path)
    known = rows.take(slice(None))
    if not isinstance(known, pl.DataFrame) and np.ndim(known) != 2:
        raise ValueError(f"{path} should be a table with a column for each factor, got {np.shape(known)}.")
    lines = getattr(rows, "lines", None)
    if len(known) != len(given) and given.where == "line" and isinstance(rows, FrameRows) and lines is not None:
        # Lines of DATA were set aside: both files have the same lines.
        place = {line: i for i, line in enumerate(lines.tolist())}
        if all(line in place for line in given.places()):
            return known[[place[line] for line in given.places()]]
    if len(known) != len(given):
        aside = f", {len(given.rows.set_aside)} set aside" if given.rows.set_aside else ""
        raise ValueError(
            f"{path} has {count(len(known), 'row')} of factors and {given.path} {count(len(given), 'row')} that can "
            f"be used{aside}; expected one row of factors for each, in their order."
        )
    return known


def _draw(ours: Given, theirs: Given, rows: Any, factor: str, picture: Path) -> None:
    from isthmus import pictures

    index = np.arange(min(IMAGES_SHOWN, len(ours)))
    other = index if len(theirs) > 1 else np.zeros_like(index)
    grids = [ours.rows.take(index), theirs.rows.take(other), rows[: len(index)]]
    pictures.save(pictures.image_grid(grids, ["given", f"{factor} of", "swapped"]), picture)
    say(f"the first {count(len(index), 'row')} drawn in {picture}")
