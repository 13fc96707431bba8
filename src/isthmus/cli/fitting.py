"""What ``fit``, ``compare`` and ``info`` do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from isthmus import jobs, names, saving
from isthmus.cli import settings as asked_for
from isthmus.cli.imaging import crops, split_crops
from isthmus.cli.inputs import Given, read_rows
from isthmus.cli.judging import known_anomalies
from isthmus.cli.predicting import known_labels, split_labelled
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import count, figures, modality_said, options_said, progress, say, table, told_options
from isthmus.cli.watching import cut_in_time, series_for
from isthmus.data import gathered
from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job, choose, needs_labels
from isthmus.modalities.choice import default_modality
from isthmus.options import Options
from isthmus.part import Part
from isthmus.reading import ImageCrops
from isthmus.recipes.making import make
from isthmus.rows import Rows, SequenceRows

__all__ = ["compare", "fit", "info"]

TEST_SHARE = 0.3


def fit(
    data: Path,
    out: Path,
    job: str | None,
    labels: str | None,
    modality: str | None,
    recipe: str | None,
    settings: tuple[str, ...],
    seed: int,
    size: tuple[int, int] | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Fit a model and save it."""
    values = asked_for.read(settings)
    with wrong_call():
        saving.check_place(out)
    made = _job(job)
    given = _given(data, made, size, modality, seed)
    rows, y = known_labels(made, given, labels)
    rows = series_for(made, rows)
    model = _model(made, rows, modality, recipe, values, seed)
    checkpoint = out.parent / f"{out.name}.checkpoint.safetensors"
    _say_resume(checkpoint, resume)
    inner: AutoEncoder = model if made is None else model.estimator
    inner.set_params(checkpoint=str(checkpoint), resume=resume)
    with _interruptible(checkpoint), _watched(inner, bool(values)):
        model.fit(rows, None if y is None else np.array(y, dtype=object))
    fitted: AutoEncoder = model if made is None else model.estimator_
    summary = _summary(fitted)
    if summary["epochs"] < fitted.options_.max_epochs:
        say(f"stopped after epoch {summary['epochs']}: the held-out cost gets no better")
    if isinstance(model, jobs.SimilaritySearch):
        # So that a hit can be named as its file, its line or its row.
        model.name(given.places())
    about = {"data": data.name, "rows": len(given), "set aside": len(given.rows.set_aside), "seed": seed}
    saving.save(model, out, about=about)
    checkpoint.unlink(missing_ok=True)
    say(f"written to {out}")
    figures(given.tally() | {"model": str(out), "job": job} | summary if as_json else _short(summary), as_json)


def compare(
    data: Path,
    job: str,
    labels: str | None,
    modality: str | None,
    recipe: str | None,
    settings: tuple[str, ...],
    seed: int,
    size: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Set a job beside its baselines on one split."""
    values = asked_for.read(settings)
    made = _job(job)
    assert made is not None
    given = _given(data, made, size, modality, seed)
    rows, known = known_labels(made, given, labels)
    rows = series_for(made, rows)
    if isinstance(rows, SequenceRows) and len(rows) == 1 and made.verb == "watch":
        series, later, y = cut_in_time(rows, known, TEST_SHARE)
        model = _model(made, series, modality, recipe, values, seed)
        with _watched(model.estimator, bool(values)):
            _tell(given, job, model.compare(series, later, y), len(series.values), len(later.values), as_json)
        return
    if len(rows) < 4:
        raise ValueError(
            f"{data} has {count(len(rows), 'row')} that can be used; to fit on some and test on others takes 4."
        )
    y, more = None, {}
    if known is not None and needs_labels(made):
        train, test = split_labelled(known, TEST_SHARE, seed)
        y = np.array(known, dtype=object)
        more = {"y_train": y[train]}
    else:
        y = None if known is None else _as_truth(made, known)
        by_image = isinstance(rows, ImageCrops)
        train, test = split_crops(rows, TEST_SHARE, seed) if by_image else _split(len(rows), y, seed)
        if y is not None and made.verb == "detect":
            # A detector is fitted on rows that are normal: known anomalies are for testing alone.
            train = train[~y[train]]
    model = _model(made, rows, modality, recipe, values, seed)
    say(f"fitting on {count(len(train), 'row')}, testing on {len(test)} others")
    with _watched(model.estimator, bool(values)):
        result = model.compare(choose(rows, train), choose(rows, test), None if y is None else y[test], **more)
    _tell(given, job, result, len(train), len(test), as_json)


def _tell(given: Given, job: str, result: list[dict[str, Any]], train: int, test: int, as_json: bool) -> None:
    if as_json:
        figures(given.tally() | {"job": job, "train": train, "test": test, "methods": result}, True)
    else:
        table(result)


def info(model: Path, as_json: bool) -> None:
    """Say what a model is."""
    tree = saving.inspect(model)
    fitted = saving.load(model)
    estimator: AutoEncoder = fitted.estimator_ if isinstance(fitted, Job) else fitted
    about = {"model": str(model), "kind": tree["kind"], "job": getattr(fitted, "verb", None)} | tree["about"]
    parts = {name: repr(part) for name, part in _parts(estimator).items() if part is not None}
    own = (
        {name: value for name, value in fitted.get_params(deep=False).items() if name != "estimator"}
        if isinstance(fitted, Job)
        else {}
    )
    values = about | parts | own | _summary(estimator)
    weights: dict[str, float] = getattr(fitted, "measures_", {})
    if as_json:
        values |= {"weights of measures": weights} if weights else {}
        figures(values | {"versions": tree["versions"], "history": estimator.history_}, True)
        return
    if weights:
        values["weights of measures"] = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    figures(_short(values), False)
    for line in (options_said(estimator.options_), *modality_said(estimator.modality_)):
        click.echo(line)


def _given(data: Path, job: Job | None, size: tuple[int, int] | None, modality: str | None, seed: int) -> Given:
    """Return the rows of DATA; for a codec, crops of a folder's images."""
    if isinstance(job, jobs.Compressor) and data.is_dir():
        return crops(data, size, seed)
    return read_rows(data, size, modality)


def _job(verb: str | None) -> Job | None:
    """Return the job of this name, with its defaults."""
    if verb is None:
        return None
    known = {cls.verb: cls for cls in (getattr(jobs, name) for name in jobs.__all__)}
    if verb not in known:
        raise click.UsageError(
            f"no job is called {verb!r}; there are: {', '.join(sorted(known))}.", click.get_current_context()
        )
    return known[verb]()


def _model(
    job: Job | None, rows: Rows, modality: str | None, recipe: str | None, values: dict[str, Any], seed: int
) -> Any:
    """Return what is to be fitted, and say what the rows were taken for."""
    if recipe is not None:
        with wrong_call():
            estimator = make(recipe)
    else:
        if job is not None:
            # The default may depend on the job's own settings: the dimensions of a map, for one.
            own = {path: value for path, value in values.items() if not path.startswith("estimator")}
            asked_for.apply(job, own)
        estimator = AutoEncoder() if job is None else job.default_estimator(rows)
    model: Any = estimator if job is None else job.set_params(estimator=estimator)
    estimator.modality = _modality(rows, modality)
    asked_for.apply(model, values)
    model.random_state = seed
    # Fitted here as well, because it is quick: what is wrong with the data shows before the fit.
    seen = clone(estimator.modality)
    for line in modality_said(seen.fit(gathered(seen, rows))):
        say(line)
    return model


def _modality(rows: Rows, asked: str | None) -> Part:
    if asked is None:
        return default_modality(rows)
    with wrong_call():
        return names.parse(asked, "modalities")


@contextmanager
def _watched(estimator: AutoEncoder, was_set: bool) -> Iterator[None]:
    """Show a fit's options and progress.

    The rows have passed the modality by now: what is refused before the first step, with
    parameters set, is the parameters.
    """
    began = False

    def start(options: Options) -> None:
        nonlocal began
        if not began:
            say(options_said(options))
        began = True

    with told_options(start), progress() as callback:
        estimator.callback = callback
        try:
            yield
        except (ValueError, TypeError) as error:
            if was_set and not began:
                raise click.UsageError(str(error), click.get_current_context()) from error
            raise


@contextmanager
def _interruptible(checkpoint: Path) -> Iterator[None]:
    """Say after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        where = str(error).partition(";")[0] or "interrupted"
        if not checkpoint.exists():
            raise KeyboardInterrupt(f"{where}; nothing was kept, as no step was done yet.") from error
        words = click.get_current_context().find_root().obj or []
        call = shlex.join(["isthmus", *words, *(["--resume"] if "--resume" not in words else [])])
        raise KeyboardInterrupt(f"{where}. Go on with: {call}") from error


def _say_resume(checkpoint: Path, resume: bool) -> None:
    if resume and not checkpoint.exists():
        say(f"note: nothing to resume ({checkpoint} is not there); starting from the beginning")
    elif checkpoint.exists() and not resume:
        say(f"note: starting anew; {checkpoint} of an interrupted fit will be replaced (--resume goes on from it)")


def _summary(estimator: AutoEncoder) -> dict[str, Any]:
    """Return the figures of the weights that were kept."""
    # Not pre-trained, it has none.
    history = estimator.history_ or [{"epoch": 0, "seconds": 0.0}]
    measured = [row for row in history if "validation_cost" in row]
    # In a game the last weights are kept, whatever they cost.
    by_cost = measured and not estimator.module_.is_game
    kept = min(measured, key=lambda row: row["validation_cost"]) if by_cost else (measured or history)[-1]
    shown = ("cost", "error", "validation_cost", "validation_error", "perplexity", "share_used")
    return {
        "epochs": history[-1]["epoch"],
        "best_epoch": kept["epoch"],
        **{name: kept[name] for name in shown if name in kept},
        "seconds": sum(row["seconds"] for row in history),
        "code": list(estimator.code_shape_),
        "weights": sum(parameter.numel() for parameter in estimator.module_.parameters()),
        "options": asdict(estimator.options_),
    }


def _short(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "options"}


def _parts(estimator: AutoEncoder) -> dict[str, Part | None]:
    module = estimator.module_
    slots = ("modality", "corruption", "encoder", "bottleneck", "decoder", "loss")
    return {name: getattr(module, name) for name in slots}


def _as_truth(job: Job, y: list[Any]) -> np.ndarray:
    """Return labels as the job wants them: for detect, whether a row is an anomaly."""
    if job.verb != "detect":
        return np.unique(np.array([str(value) for value in y]), return_inverse=True)[1]
    known = known_anomalies(y)
    if not known.labelled.all():
        missing = count(int((~known.labelled).sum()), "row")
        raise ValueError(f"{missing} without a label: leave them out, to compare on rows that are known.")
    return known.anomalous


def _split(n: int, y: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to fit on and to test on, each kind of label in both where it can be."""
    stratify = y if y is not None and np.unique(y, return_counts=True)[1].min() >= 2 else None
    train, test = train_test_split(np.arange(n), test_size=TEST_SHARE, random_state=seed, stratify=stratify)
    return np.sort(train), np.sort(test)
