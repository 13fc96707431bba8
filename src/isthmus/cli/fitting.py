"""What ``fit`` and ``info`` do."""

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

from isthmus import jobs, names, saving
from isthmus.cli import settings as asked_for
from isthmus.cli.imaging import crops
from isthmus.cli.inputs import Given, read_rows
from isthmus.cli.predicting import known_labels
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import figures, modality_said, options_said, progress, say, told_options
from isthmus.cli.watching import series_for
from isthmus.data import gathered
from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job
from isthmus.modalities.choice import default_modality
from isthmus.options import Options
from isthmus.part import Part
from isthmus.recipes.making import make
from isthmus.rows import Rows

__all__ = ["fit", "given_of", "info", "job_of", "model_of", "watched"]


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
    made = job_of(job)
    given = given_of(data, made, size, modality, seed)
    rows, y = known_labels(made, given, labels)
    rows = series_for(made, rows)
    model = model_of(made, rows, modality, recipe, values, seed)
    checkpoint = out.parent / f"{out.name}.checkpoint.safetensors"
    _say_resume(checkpoint, resume)
    inner: AutoEncoder = model if made is None else model.estimator
    inner.set_params(checkpoint=str(checkpoint), resume=resume)
    with _interruptible(checkpoint), watched(inner, bool(values)):
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


def given_of(data: Path, job: Job | None, size: tuple[int, int] | None, modality: str | None, seed: int) -> Given:
    """Return the rows of DATA; for a codec, crops of a folder's images."""
    if isinstance(job, jobs.Compressor | jobs.WrappedCodec) and data.is_dir():
        return crops(data, size, seed)
    return read_rows(data, size, modality)


def job_of(verb: str | None) -> Job | None:
    """Return the job of this name, with its defaults."""
    if verb is None:
        return None
    known = {cls.verb: cls for cls in (getattr(jobs, name) for name in jobs.__all__)}
    if verb not in known:
        raise click.UsageError(
            f"no job is called {verb!r}; there are: {', '.join(sorted(known))}.", click.get_current_context()
        )
    return known[verb]()


def model_of(
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
    if modality is not None or estimator.modality is None:
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
def watched(estimator: AutoEncoder, was_set: bool) -> Iterator[None]:
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
