"""The contract of jobs: one call that checks any of them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, clone

from isthmus import saving
from isthmus.checks.prototypes import check_signature
from isthmus.checks.settings import require, settings
from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job, needs_labels
from isthmus.schemas import schema

__all__ = ["check_job"]

# What a job may be asked for with rows alone; those that it has must give the same after load.
RESULTS = ("transform", "predict", "score_samples", "decision_function", "denoise", "kneighbors")


def check_job(job: Job | type[Job], *, X: Any = None) -> None:
    """Check that a job keeps the contract.

    What is checked: ``__init__`` only stores its arguments; clone and the params; a JSON
    schema with a line for each parameter; ``verb`` and ``needs``; ``fit`` returns the job
    and leaves ``estimator`` as it was; ``compare`` gives a row of figures for each method;
    ``state`` is made of JSON values and numpy arrays; a job that was saved and loaded gives
    equal results.

    Parameters
    ----------
    job : Job or type
        A prototype, or a class whose parameters all have defaults.
    X : array-like, data frame or Rows, optional
        Data to try it on, at least 16 rows. By default a table of numbers, one with gaps,
        one of mixed columns, colour images and series: the job must take at least one of them, and
        refuse the others with a ValueError or TypeError.

    Raises
    ------
    AssertionError
        At the first check that fails: what was expected, what was found, what to do.

    Examples
    --------
    >>> from isthmus.jobs import Denoiser
    >>> table = np.random.default_rng(0).normal(size=(20, 3))
    >>> check_job(Denoiser(), X=table)
    """
    cls = job if isinstance(job, type) else type(job)
    check_signature(cls)
    prototype = job() if isinstance(job, type) else job
    copy = clone(prototype)
    require(repr(copy) == repr(prototype), f"the clone of {prototype!r} is {copy!r}.")
    require(isinstance(cls.verb, str) and cls.verb.isidentifier(), f"{cls.__name__}.verb should be a word.")
    require(
        isinstance(cls.needs, tuple) and all(isinstance(need, str) for need in cls.needs),
        f"{cls.__name__}.needs should be a tuple of names of methods of a bottleneck, got {cls.needs!r}.",
    )
    refused = []
    for setting in settings(X):
        made = _small(prototype, setting.X)
        before = repr(made.get_params())
        try:
            fitted = made.fit(setting.X, _wanted(made, setting.X))
        except (TypeError, ValueError) as error:
            refused.append(f"{setting.name} ({type(error).__name__}: {error})")
            continue
        what = f"{cls.__name__} on {setting.name}"
        require(fitted is made, f"{what}: fit must return the job itself.")
        require(isinstance(made.estimator_, AutoEncoder), f"{what}: fit must leave a fitted AutoEncoder in estimator_.")
        require(repr(made.get_params()) == before, f"{what}: fit changed the params; work on a clone of the estimator.")
        _check_state(made, what)
        _check_saving(made, setting.X, what)
        _check_figures(made, setting.X, what)
    require(len(refused) < len(list(settings(X))), f"{cls.__name__} fits none of the data: {'; '.join(refused)}")


def _small(prototype: Job, X: Any) -> Job:
    """Return a copy whose fit is short."""
    job = clone(prototype)
    estimator = job.default_estimator(X) if job.estimator is None else clone(job.estimator)
    return job.set_params(estimator=estimator.set_params(max_epochs=2, threads=1, random_state=0))


def _check_state(job: Job, what: str) -> None:
    for name, value in job.state().items():
        if isinstance(value, np.ndarray):
            require(value.dtype.kind in "biuf", f"{what}: state {name!r} is an array of {value.dtype}, not of numbers.")
            continue
        try:
            back = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{what}: state {name!r} is neither an array nor JSON: {error}.") from error
        require(back == value, f"{what}: state {name!r} comes back from JSON as {back!r}, it was {value!r}.")
    require(json.dumps(schema(type(job))) != "", f"{what}: no schema.")


def _check_saving(job: Job, X: Any, what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        saving.save(job, path)
        again = saving.load(path, parts=[type(job)])
    require(type(again) is type(job), f"{what}: it was loaded as {type(again).__name__}.")
    for method in RESULTS:
        if hasattr(job, method):
            require(
                _same(getattr(job, method)(X), getattr(again, method)(X)),
                f"{what}: {method} differs after save and load. What fit finds must be in state and restore.",
            )
    if hasattr(job, "sample"):
        require(
            _same(job.sample(3, random_state=0), again.sample(3, random_state=0)),
            f"{what}: sample with one random_state differs after save and load.",
        )


def _check_figures(job: Job, X: Any, what: str) -> None:
    for name, baseline in job.baselines().items():
        require(
            isinstance(baseline, BaseEstimator), f"{what}: the baseline {name!r} should be a scikit-learn estimator."
        )
    known = {"y_train": _wanted(job, X)} if needs_labels(job) else {}
    figures = job.compare(X, X, _labels(job, X), **known)
    require(len(figures) >= 2, f"{what}: compare should give a row for the job and one for each baseline.")
    for row in figures:
        require(
            isinstance(row.get("method"), str) and len(row) >= 2,
            f"{what}: a row of figures should have 'method' and figures, got {row}.",
        )


def _wanted(job: Job, X: Any) -> Any:
    """Return labels to fit on for a job that learns from some, else nothing."""
    return _labels(job, X) if needs_labels(job) else None


def _labels(job: Job, X: Any) -> Any:
    """Return labels for a job that judges rows, else nothing."""
    return np.arange(len(X)) % 2 if hasattr(job, "predict") else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, pl.DataFrame):
        return one.equals(other)
    if isinstance(one, list):  # series, of different lengths
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))
