"""What the verbs do with a fitted model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from sklearn.decomposition import PCA

from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import (
    PICTURES,
    STDOUT,
    check_folder,
    check_not_input,
    check_rows_out,
    write_array,
    write_lines,
    write_rows,
    write_table,
)
from isthmus.cli.talk import count, figures, say
from isthmus.estimator import AutoEncoder
from isthmus.jobs import AnomalyDetector, Denoiser, Mapper
from isthmus.jobs.job import choose
from isthmus.modalities import Tables

__all__ = ["denoise", "detect", "encode", "map_rows", "reconstruct", "sample"]

IMAGES_SHOWN, LINES_SHOWN, KINDS_SHOWN = 16, 40, 19


def encode(model: Path, data: Path, out: Path, resize: bool, as_json: bool) -> None:
    """Write the codes of rows."""
    _check_stdout(out, as_json)
    check_not_input(out, data, model)
    _, estimator = open_model(model)
    given = read_for(estimator, data, resize)
    codes = estimator.transform(given.rows)
    write_array(out, codes, given)
    _done(given, out, as_json, f"encoded as {count(codes.shape[1], 'value')} each", code=list(estimator.code_shape_))


def reconstruct(model: Path, data: Path, out: Path, picture: Path | None, resize: bool, as_json: bool) -> None:
    """Write rows as they come back from their codes."""
    _check_stdout(out, as_json)
    check_not_input(out, data, model)
    _, estimator = open_model(model)
    check_rows_out(out, isinstance(estimator.modality_, Tables))
    given = read_for(estimator, data, resize)
    check_folder(out, given)
    _there_and_back(estimator, given, out, picture, as_json, "reconstructed")


def denoise(model: Path, data: Path, out: Path, picture: Path | None, resize: bool, as_json: bool) -> None:
    """Write the clean rows behind noisy ones."""
    _check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, Denoiser) and estimator.corruption is None:
        raise _not_for(model, "denoise", "it never saw a corrupted row")
    check_rows_out(out, isinstance(estimator.modality_, Tables))
    given = read_for(estimator, data, resize)
    check_folder(out, given)
    _there_and_back(estimator, given, out, picture, as_json, "denoised")


def map_rows(model: Path, data: Path, out: Path, labels: str | None, resize: bool, as_json: bool) -> None:
    """Place rows on a map."""
    _check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    given = read_for(estimator, data, resize)
    named = None if labels is None else given.labels(labels)
    points = _points(fitted, estimator, given)
    if out.suffix.lower() in PICTURES:
        from isthmus import pictures

        figure = pictures.scatter_map(*_labelled(points, named), title=data.name, subtitle=labels or "")
        pictures.save(figure, out)
    else:
        columns = {"x": points[:, 0], "y": points[:, 1]} | ({} if named is None else {"label": named})
        write_table(out, given.with_places(pl.DataFrame(columns)))
    _done(given, out, as_json, "placed on a map")


def detect(
    model: Path,
    data: Path,
    out: Path,
    every: bool,
    false_alarms: float | None,
    reasons: int,
    resize: bool,
    as_json: bool,
) -> None:
    """Write the rows that are not like those fitted on."""
    _check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, AnomalyDetector):
        raise _not_for(model, "detect", "it has no threshold")
    if false_alarms is not None:
        # The held-out scores are stored: another rate is another place among them.
        fitted.set_params(false_alarm_rate=false_alarms).restore(fitted.state())
    given = read_for(estimator, data, resize)
    places = given.places()
    alerts = [{given.where: places[alert.pop("row")]} | alert for alert in fitted.alerts(given.rows, reasons)]
    records = _every_row(fitted, given, alerts) if every else alerts
    if out.suffix.lower() == ".csv":
        write_table(out, _flat(records, given.where))
    else:
        write_lines(out, records)
    rate = f"{fitted.false_alarm_rate:.3g} of normal rows"
    said = f"scored, {count(len(alerts), 'alert')}: score below {fitted.offset_:.4g}, set for at most {rate}"
    tally = {"alerts": len(alerts), "threshold": fitted.offset_, "false_alarm_rate": fitted.false_alarm_rate}
    _done(given, out, as_json, said, **tally, attainable_rate=fitted.attainable_rate_)


def sample(model: Path, n_samples: int, out: Path, seed: int, as_json: bool) -> None:
    """Write rows drawn from a model."""
    _check_stdout(out, as_json)
    check_not_input(out, model)
    _, estimator = open_model(model)
    is_table = isinstance(estimator.modality_, Tables)
    check_rows_out(out, is_table, () if is_table else PICTURES)
    rows = estimator.sample(n_samples, random_state=seed)
    if out.suffix.lower() in PICTURES:
        from isthmus import pictures

        across = next((k for k in range(12, 5, -1) if n_samples % k == 0), 12)
        pictures.save(pictures.samples_grid(rows, across=across), out)
    else:
        write_rows(out, rows)
    say(f"{count(n_samples, 'row')} drawn, written to {_name(out)}")
    if as_json:
        figures({"rows": n_samples, "seed": seed, "out": str(out)}, True)


def _there_and_back(
    estimator: AutoEncoder, given: Given, out: Path, picture: Path | None, as_json: bool, what: str
) -> None:
    rows = estimator.reconstruct(given.rows)
    write_rows(out, rows, given)
    if picture is not None:
        _draw_pairs(estimator, given, rows, picture, what)
    cost = -float(estimator.score_samples(given.rows).mean())
    _done(given, out, as_json, f"{what}, {cost:.4g} nats each", cost=cost)


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


def _every_row(fitted: AnomalyDetector, given: Given, alerts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a record for each row, in their order; the alerts' own with its reasons."""
    found = {alert[given.where]: alert for alert in alerts}
    held_out = fitted.held_out_scores_
    records = []
    for place, score in zip(given.places(), fitted.score_samples(given.rows).tolist(), strict=True):
        normal = {
            given.where: place,
            "score": score,
            "percentile": 100.0 * float((held_out > score).mean()),
            "threshold": fitted.offset_,
            "reasons": [],
            "missing": [],
        }
        records.append(found.get(place, normal) | {"alert": place in found})
    return records


def _flat(records: Sequence[dict[str, Any]], where: str) -> pl.DataFrame:
    """Return alerts as a table: the reasons as text."""
    flat = [
        record | {"reasons": "; ".join(map(_reason, record["reasons"])), "missing": ", ".join(record["missing"])}
        for record in records
    ]
    if flat:
        return pl.DataFrame(flat, infer_schema_length=None)
    kinds = {"score": pl.Float64, "percentile": pl.Float64, "threshold": pl.Float64}
    return pl.DataFrame(schema={where: pl.String} | kinds | {"reasons": pl.String, "missing": pl.String})


def _reason(reason: dict[str, Any]) -> str:
    said = str(reason["feature"])
    if "value" in reason:
        said += f" is {_short(reason['value'])}"
    if "expected" in reason:
        said += f", expected {_short(reason['expected'])}"
    elif reason.get("likely"):
        said += f", likely {_short(reason['likely'][0]['value'])}"
    return f"{said} ({100 * reason['share']:.0f} %)"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _done(given: Given, out: Path, as_json: bool, said: str, **values: Any) -> None:
    aside = f", {len(given.rows.set_aside)} set aside" if given.rows.set_aside else ""
    say(f"{count(len(given), 'row')} {said}{aside}; written to {_name(out)}")
    if as_json:
        figures(given.tally() | values | {"out": str(out)}, True)


def _name(out: Path) -> str:
    return "standard output" if out == STDOUT else str(out)


def _check_stdout(out: Path, as_json: bool) -> None:
    if out == STDOUT and as_json:
        raise click.UsageError(
            "-o - and --json both write to standard output; give a file to one.", click.get_current_context()
        )


def _not_for(model: Path, verb: str, why: str) -> click.UsageError:
    return click.UsageError(
        f"{model} was not fitted for this: {why}. Fit one with: isthmus fit DATA -o MODEL --for {verb}.",
        click.get_current_context(),
    )
