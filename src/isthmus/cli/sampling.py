"""What ``sample`` does: new rows, and walks from row to row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isthmus.building import require_ability
from isthmus.cli.inputs import open_model, read_for
from isthmus.cli.outputs import PICTURES, check_not_input, check_rows_out, check_stdout, said_place, write_rows
from isthmus.cli.talk import count, figures, say
from isthmus.data import joined
from isthmus.jobs import Generator
from isthmus.jobs.job import choose
from isthmus.modalities import Images

__all__ = ["sample"]

MOVIE = ".gif"
MOST_WALKS = 100


def sample(
    model: Path, n_samples: int, out: Path, between: Path | None, steps: int, resize: bool, seed: int, as_json: bool
) -> None:
    """Write rows drawn from a model, or those on the way between given rows."""
    check_stdout(out, as_json)
    check_not_input(out, model, *([between] if between else []))
    fitted, estimator = open_model(model)
    is_image = isinstance(estimator.modality_, Images)
    drawn = (*PICTURES, MOVIE) if between is not None else PICTURES
    check_rows_out(out, not is_image, drawn if is_image else ())
    job = fitted if isinstance(fitted, Generator) else _generator(estimator)
    if between is not None:
        rows, across = _walk(job, estimator, between, steps, resize), steps
        said = f"{count(steps, 'step')} from row to row"
    else:
        if job.density_ is None:
            require_ability(estimator.module_.bottleneck, "sample")
        rows, said = job.sample(n_samples, random_state=seed), f"{count(n_samples, 'row')} drawn"
        across = next((k for k in range(12, 5, -1) if n_samples % k == 0), 12)
    _write(out, rows, across)
    say(f"{said}, written to {said_place(out)}")
    if as_json:
        figures({"rows": len(rows), "seed": seed, "out": str(out)}, True)


def _generator(estimator: Any) -> Generator:
    """Return a generator around a model that was fitted for something else."""
    job = Generator(estimator)
    job.estimator_, job.density_ = estimator, None
    return job


def _walk(job: Generator, estimator: Any, path: Path, steps: int, resize: bool) -> Any:
    """Return the rows on the way from each given row to the next, one walk after the other."""
    given = read_for(estimator, path, resize)
    n = min(len(given), MOST_WALKS + 1)
    if n < 2:
        raise ValueError(f"{path} has {count(len(given), 'row')}; to walk from row to row takes at least 2.")
    if n < len(given):
        say(f"only the first {n} rows are walked between")
    index = np.arange(n)
    walked = job.interpolate(choose(given.rows, index[:-1]), choose(given.rows, index[1:]), steps)
    # By walk and then by step, where they come by step and then by walk.
    return joined([rows[walk : walk + 1] for walk in range(n - 1) for rows in walked])


def _write(out: Path, rows: Any, across: int) -> None:
    if out.suffix.lower() == MOVIE:
        from isthmus import pictures

        pictures.save_movie(rows, out)
    elif out.suffix.lower() in PICTURES:
        from isthmus import pictures

        pictures.save(pictures.samples_grid(rows, across=across), out)
    else:
        write_rows(out, rows)
