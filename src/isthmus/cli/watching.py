"""The verb `watch`: the alarms of series, or the score of each of their steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus import reading
from isthmus.cli.inputs import Given, open_model
from isthmus.cli.outputs import check_not_input, check_stdout, done, not_for, write_lines, write_table
from isthmus.cli.talk import count, say, set_aside_said
from isthmus.jobs import SeriesDetector
from isthmus.jobs.series_input import as_series, per_series
from isthmus.rows import FrameRows, Rows, SequenceRows

__all__ = ["cut_in_time", "held_out_said", "open_detector", "series_for", "watch"]


def series_for(job: Any, rows: Rows) -> Rows:
    """Return rows as this job reads them: for `watch` a table or an array is one series."""
    return as_series(rows) if isinstance(job, SeriesDetector) else rows


def cut_in_time(
    rows: SequenceRows, y: list[Any] | None, share: float
) -> tuple[SequenceRows, SequenceRows, np.ndarray | None]:
    """Return the beginning of the only series to fit on, its end to test on, and which steps of that are anomalous.

    Raises
    ------
    ValueError
        If the labels are not of two values, or those of the end are of one.
    """
    cut = len(rows.values) - round(len(rows.values) * share)
    train, test = (
        SequenceRows(
            rows.values[piece],
            np.array([0, len(rows.values[piece])]),
            times=None if rows.times is None else rows.times[piece],
            columns=rows.columns,
        )
        for piece in (slice(0, cut), slice(cut, None))
    )
    if y is None:
        return train, test, None
    values, codes, counts = np.unique(np.array([str(label) for label in y]), return_inverse=True, return_counts=True)
    if len(values) != 2:
        raise ValueError(f"to watch takes labels of two values, normal and not; got {len(values)}.")
    rare = int(counts.argmin())
    say(f"anomalous are the steps labelled {values[rare]} ({counts[rare]} of {len(y)})")
    anomalous = codes == rare
    if not anomalous[cut:].any() or anomalous[cut:].all():
        raise ValueError(
            f"of the {len(y)} steps the last {len(y) - cut} are judged, and all have one label there; "
            f"{int(anomalous[:cut].sum())} steps labelled {values[rare]} are before, where it is fitted. Give a series "
            "that has some at its end."
        )
    return train, test, anomalous[cut:]


def watch(
    model: Path,
    data: Path,
    out: Path,
    every: bool,
    false_alarms: float | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Write the alarms of series."""
    check_stdout(out, as_json)
    check_not_input(out, data, model)
    fitted = open_detector(model, false_alarms)
    given = _read(fitted, data)
    rows: Any = given.rows
    alarms = fitted.alarms(rows)
    if every or picture is not None:
        scores = per_series(np.concatenate(_list(fitted.score_samples(rows))), rows, [])
    records = list(_steps(fitted, given, scores, alarms)) if every else alarms
    if out.suffix.lower() == ".csv":
        write_table(out, pl.DataFrame([_flat(record) for record in records], infer_schema_length=None))
    else:
        write_lines(out, records)
    if picture is not None:
        _draw(fitted, given, scores, alarms, picture)
    steps = len(rows.values)
    said = f"watched, {count(len(alarms), 'alarm')}: score below {fitted.offset_:.4g}"
    to = count(steps, "step") + (f" of {len(rows)} series" if len(rows) > 1 else "")
    tally = {"steps": steps, "alarms": len(alarms), "threshold": fitted.offset_, "held_out": dict(fitted.held_out_)}
    done(given, out, as_json, said, to=to, **tally, false_alarm_rate=fitted.false_alarm_rate)
    held_out_said(fitted)


def open_detector(model: Path, false_alarms: float | None) -> SeriesDetector:
    """Return a saved detector of series, with another rate of false alarms if one is asked for."""
    fitted, _ = open_model(model)
    if not isinstance(fitted, SeriesDetector):
        raise not_for(model, "watch", "it judges rows, not the steps of series")
    if false_alarms is not None:
        # The held-out scores are stored: another rate is another place among them.
        fitted.set_params(false_alarm_rate=false_alarms).restore(fitted.state())
    return fitted


def held_out_said(fitted: SeriesDetector) -> None:
    """Say how often the held-out steps rang."""
    held = fitted.held_out_
    say(
        f"its {held['steps']} held-out steps rang {count(held['alarms'], 'time')}: {held['alarms_per_1000_steps']:.3g} "
        f"false alarms in 1,000 normal steps, at most {held['at_most']:.3g} (95 %) if they come independently"
    )


def _read(fitted: SeriesDetector, data: Path) -> Given:
    rows: Any = reading.read(data, are_series=True)
    modality: Any = fitted.estimator_.modality_
    if isinstance(rows, FrameRows) and modality.id is not None:
        rows = modality.gather(rows)
    elif isinstance(rows, FrameRows):
        rows = _channels(rows, fitted)
    rows = as_series(rows)
    set_aside_said(rows, "--size HEIGHTxWIDTH")
    return Given(data, rows)


def _channels(rows: FrameRows, fitted: SeriesDetector) -> FrameRows:
    """Return a table with the channels and the time alone; what else it has is said."""
    known = list(getattr(fitted, "feature_names_in_", ()))
    kept = [name for name in rows.frame.columns if name in known or rows.frame[name].dtype.is_temporal()]
    if not known or not set(known) <= set(kept):
        return rows
    left = [name for name in rows.frame.columns if name not in kept]
    if left:
        say(f"note: {count(len(left), 'column')} not fitted on, and left out: {', '.join(left)}")
    return FrameRows(rows.frame.select(kept), rows.container, list(rows.set_aside), rows.lines)


def _list(scores: Any) -> list[np.ndarray]:
    return scores if isinstance(scores, list) else [scores]


def _steps(
    fitted: SeriesDetector, given: Given, scores: list[np.ndarray], alarms: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield a record for each step of each series, in their order."""
    rows: Any = given.rows
    for place, begin, series in zip(given.places(), rows.offsets[:-1], scores, strict=True):
        rung = np.zeros(len(series), bool)
        for alarm in alarms:
            if alarm["series"] == place:
                rung[alarm["start"] : alarm["end"] + 1] = True
        for step, score in enumerate(series.tolist()):
            record: dict[str, Any] = {"series": place, "step": step}
            if rows.times is not None:
                record["time"] = str(rows.times[begin + step])
            yield record | {"score": score, "below": score < fitted.offset_, "alarm": bool(rung[step])}


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as a line of a table: span and reasons as text."""
    flat = {name: value for name, value in record.items() if name not in ("span", "reasons")}
    if "reasons" not in record:
        return flat
    said = [f"{one['feature']} is {one['value']:.4g}, expected {one['expected']:.4g}" for one in record["reasons"]]
    return flat | {"span": "-".join(map(str, record["span"])), "reasons": "; ".join(said)}


def _draw(
    fitted: SeriesDetector, given: Given, scores: list[np.ndarray], alarms: list[dict[str, Any]], picture: Path
) -> None:
    from isthmus import pictures

    rows: Any = given.rows
    places = given.places()
    # The series that rang most; where none did, the first.
    which = max(range(len(rows)), key=lambda i: sum(alarm["series"] == places[i] for alarm in alarms))
    one = rows.choose(np.array([which]))
    figure = pictures.alarm_strip(
        one.values,
        scores[which],
        fitted.offset_,
        [alarm for alarm in alarms if alarm["series"] == places[which]],
        expected=fitted.expected(one),
        times=one.times,
        names=list(getattr(fitted, "feature_names_in_", ())),
        title=f"series {places[which]}" if len(rows) > 1 else given.path.name,
    )
    pictures.save(figure, picture)
    say(f"drawn in {click.format_filename(picture)}")
