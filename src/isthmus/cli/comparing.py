"""What ``compare`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from sklearn.model_selection import train_test_split

from isthmus import jobs
from isthmus.cli import rates
from isthmus.cli import settings as asked_for
from isthmus.cli.fitting import given_of, job_of, model_of, watched
from isthmus.cli.imaging import split_crops
from isthmus.cli.inputs import Given
from isthmus.cli.judging import known_anomalies
from isthmus.cli.predicting import known_labels, split_labelled
from isthmus.cli.talk import count, figures, say, table
from isthmus.cli.watching import cut_in_time, series_for
from isthmus.jobs.codec_curves import compared
from isthmus.jobs.job import Job, choose, needs_labels
from isthmus.reading import ImageCrops
from isthmus.rows import SequenceRows
from isthmus.saving.folder import MODEL

__all__ = ["compare"]

TEST_SHARE = 0.3


def compare(
    inputs: Sequence[Path],
    job: str,
    out: Path | None,
    labels: str | None,
    modality: str | None,
    recipe: str | None,
    settings: tuple[str, ...],
    seed: int,
    size: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Set a job beside its baselines: on one split, or a codec that is fitted already on other images."""
    made = job_of(job)
    assert made is not None
    asked = {"--labels": labels, "--modality": modality, "--recipe": recipe, "--set": settings, "--size": size}
    if _check_inputs(made, inputs, out, [name for name, value in asked.items() if value]):
        rates.of_model(inputs[0], inputs[1:], out, as_json)
        return
    values = asked_for.read(settings)
    given = given_of(inputs[0], made, size, modality, seed)
    rows, known = known_labels(made, given, labels)
    rows = series_for(made, rows)
    if isinstance(rows, SequenceRows) and len(rows) == 1 and made.verb == "watch":
        series, later, y = cut_in_time(rows, known, TEST_SHARE)
        model = model_of(made, series, modality, recipe, values, seed)
        with watched(model.estimator, bool(values)):
            _tell(given, job, model.compare(series, later, y), len(series.values), len(later.values), as_json)
        return
    if len(rows) < 4:
        what = count(len(rows), "row")
        raise ValueError(f"{inputs[0]} has {what} that can be used; to fit on some and test on others takes 4.")
    train, test, y, more = _split(made, rows, known, seed)
    model = model_of(made, rows, modality, recipe, values, seed)
    say(f"fitting on {count(len(train), 'row')}, testing on {len(test)} others")
    with watched(model.estimator, bool(values)):
        if isinstance(model, jobs.Compressor):
            model.fit(choose(rows, train))
        else:
            result = model.compare(choose(rows, train), choose(rows, test), None if y is None else y[test], **more)
            _tell(given, job, result, len(train), len(test), as_json)
            return
    about = given.tally() | {"train": len(train), "test": len(test)}
    rates.tell(model, compared(choose(rows, test)), out, as_json, about)


def _check_inputs(job: Job, inputs: Sequence[Path], out: Path | None, asked: list[str]) -> bool:
    """Return whether the first of what is compared on is a fitted model."""
    wrong, is_codec, is_model = "", isinstance(job, jobs.Compressor), (inputs[0] / MODEL).is_file()
    if out is not None and not is_codec:
        wrong = "-o is for --for compress; others print a table."
    elif is_model and not is_codec:
        wrong = (
            f"{str(inputs[0])!r} is a model; of those only codecs are compared, --for compress. Give DATA to fit on."
        )
    elif is_model and len(inputs) == 1:
        wrong = f"Missing argument 'DATA': {str(inputs[0])!r} is a model; which images is it to be compared on?"
    elif is_model and asked:
        wrong = f"{asked[0]} is for a fit, and {str(inputs[0])!r} is fitted already."
    elif len(inputs) > 1 and not is_model:
        wrong = f"{str(inputs[0])!r} is no model; a job is fitted on one DATA."
    if wrong:
        raise click.UsageError(wrong, click.get_current_context())
    return is_model


def _tell(given: Given, job: str, result: list[dict[str, Any]], train: int, test: int, as_json: bool) -> None:
    if as_json:
        figures(given.tally() | {"job": job, "train": train, "test": test, "methods": result}, True)
    else:
        table(result)


def _split(
    job: Job, rows: Any, known: list[Any] | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return positions to fit on and to test on, what is known of all, and what else the job is told."""
    if known is not None and needs_labels(job):
        train, test = split_labelled(known, TEST_SHARE, seed)
        y = np.array(known, dtype=object)
        return train, test, y, {"y_train": y[train]}
    truth = None if known is None else _as_truth(job, known)
    by_image = isinstance(rows, ImageCrops)
    train, test = split_crops(rows, TEST_SHARE, seed) if by_image else _at_random(len(rows), truth, seed)
    if truth is not None and job.verb == "detect":
        # A detector is fitted on rows that are normal: known anomalies are for testing alone.
        train = train[~truth[train]]
    return train, test, truth, {}


def _as_truth(job: Job, y: list[Any]) -> np.ndarray:
    """Return labels as the job wants them: for detect, whether a row is an anomaly."""
    if job.verb != "detect":
        return np.unique(np.array([str(value) for value in y]), return_inverse=True)[1]
    known = known_anomalies(y)
    if not known.labelled.all():
        missing = count(int((~known.labelled).sum()), "row")
        raise ValueError(f"{missing} without a label: leave them out, to compare on rows that are known.")
    return known.anomalous


def _at_random(n: int, y: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to fit on and to test on, each kind of label in both where it can be."""
    stratify = y if y is not None and np.unique(y, return_counts=True)[1].min() >= 2 else None
    train, test = train_test_split(np.arange(n), test_size=TEST_SHARE, random_state=seed, stratify=stratify)
    return np.sort(train), np.sort(test)
