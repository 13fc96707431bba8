"""The verb `predict`, and the labels that `fit` and `compare` learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import check_not_input, check_stdout, done, not_for, write_table
from isthmus.cli.talk import count, say
from isthmus.jobs import PretrainedClassifier, PretrainedRegressor
from isthmus.jobs.job import Job, needs_labels
from isthmus.rows import FrameRows, Rows

__all__ = ["known_labels", "predict", "split_labelled", "without"]


def predict(model: Path, data: Path, out: Path, labels: str | None, resize: bool, as_json: bool) -> None:
    """Write the label that a model expects of each row."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, PretrainedClassifier | PretrainedRegressor):
        raise not_for(model, "pretrain", "it has learned no labels")
    given = read_for(estimator, data, resize)
    truth = None if labels is None else given.labels(labels)
    write_table(out, given.with_places(_answers(fitted, given)))
    score = {} if truth is None else _score(fitted, given, truth)
    said = ", ".join(["predicted", *(f"{name} {value:.4g}" for name, value in score.items())])
    done(given, out, as_json, said, **score)


def known_labels(job: Job | None, given: Given, labels: str | None) -> tuple[Rows, list[Any] | None]:
    """Return the rows without the column of labels, and the labels; None where none are asked for.

    Raises
    ------
    click.UsageError
        If the job learns from labels and none are named.
    """
    if labels is None and job is not None and needs_labels(job):
        raise click.UsageError(
            f"--for {job.verb} learns from labels: name them with --labels COLUMN, a file, or folder "
            "for the folder that an image is in. An empty cell is a row without a label.",
            click.get_current_context(),
        )
    return without(given.rows, labels), None if labels is None else given.labels(labels)


def split_labelled(y: list[Any], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to fit on, all rows without a label among them, and to test on.

    Raises
    ------
    ValueError
        If there are too few labelled rows to fit on some and test on others.
    """
    known = np.array([i for i, label in enumerate(y) if label is not None and label == label])
    if len(known) < 4:
        raise ValueError(
            f"{count(len(known), 'row')} of {len(y)} have a label; to fit on some and test on others takes 4."
        )
    _, test = train_test_split(known, test_size=share, random_state=seed)
    train = np.setdiff1d(np.arange(len(y)), test)
    say(f"{len(known) - len(test)} of {len(train)} rows to fit on have a label")
    return train, np.sort(test)


def without(rows: Rows, column: str | None) -> Rows:
    """Return rows without the column of labels, which would give the answer away."""
    if column is None or not isinstance(rows, FrameRows) or column not in rows.frame.columns:
        return rows
    return FrameRows(rows.frame.drop(column), rows.container, list(rows.set_aside), rows.lines)


def _answers(fitted: PretrainedClassifier | PretrainedRegressor, given: Given) -> pl.DataFrame:
    """Return predictions, and of classes the probability of each."""
    if isinstance(fitted, PretrainedRegressor):
        return pl.DataFrame({"prediction": fitted.predict(given.rows)})
    chances = fitted.predict_proba(given.rows)
    columns: dict[str, Any] = {"prediction": fitted.classes_[chances.argmax(1)]}
    return pl.DataFrame(columns | {f"p({name})": chances[:, i] for i, name in enumerate(fitted.classes_.tolist())})


def _score(fitted: PretrainedClassifier | PretrainedRegressor, given: Given, truth: list[Any]) -> dict[str, float]:
    """Return accuracy, or R squared, over the rows that have a label."""
    known = [i for i, label in enumerate(truth) if label is not None and label == label]
    if not known:
        return {}
    y = np.array([truth[i] for i in known])
    answers = fitted.predict(given.rows)[known]
    if isinstance(fitted, PretrainedClassifier):
        return {"accuracy": float((answers == y).mean())}
    y = y.astype(np.float64)
    return {"r2": 1.0 - float(((y - answers) ** 2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-300))}
