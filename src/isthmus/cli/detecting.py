"""What ``detect`` does: alerts, worst first, with their reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.outputs import check_not_input, check_stdout, done, not_for, write_lines, write_table
from isthmus.cli.talk import count
from isthmus.jobs import AnomalyDetector

__all__ = ["detect"]


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
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, AnomalyDetector):
        raise not_for(model, "detect", "it has no threshold")
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
    done(given, out, as_json, said, **tally, attainable_rate=fitted.attainable_rate_)


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
