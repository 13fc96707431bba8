"""What ``watch`` does with standard input: a series judged step by step, alarms written when they ring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import click

from isthmus.cli.outputs import STDOUT, check_stdout, said_place
from isthmus.cli.streaming import arriving
from isthmus.cli.talk import count, figures, json_text, say
from isthmus.cli.watching import held_out_said, open_detector
from isthmus.jobs import SeriesDetector
from isthmus.jobs.series_stream import Heard, SeriesStream
from isthmus.reading.steps import ComingSteps, Steps
from isthmus.reading.streams import Piece, stream_from
from isthmus.rows import FrameRows

__all__ = ["follow"]

SOURCE = Path("standard input")
# Kinds of a column, by the first letters of the type that was inferred.
KINDS = {"Int": "integer", "Float": "number", "Datetime": "datetime", "Date": "date"}


def follow(model: Path, out: Path, every: bool, false_alarms: float | None, as_json: bool) -> None:
    """Write what standard input makes known, as soon as it is known."""
    check_stdout(out, as_json)
    fitted = open_detector(model, false_alarms)
    watched = _Watched(fitted, every)
    with nullcontext() if out == STDOUT else out.open("w", encoding="utf-8") as opened:
        for record in watched.records(arriving(click.get_binary_stream("stdin"))):
            line = json_text(record) + "\n"
            if opened is None:
                click.echo(line, nl=False)
            else:
                opened.write(line)
                opened.flush()
    aside = f", {count(watched.set_aside, 'line')} set aside" if watched.set_aside else ""
    said = f"{count(watched.steps, 'step')} watched{aside}, {count(watched.alarms, 'alarm')}"
    say(f"{said}: score below {fitted.offset_:.4g}; written to {said_place(out)}")
    held_out_said(fitted)
    if as_json:
        tally = {"steps": watched.steps, "set_aside": watched.set_aside, "alarms": watched.alarms}
        more = {"threshold": fitted.offset_, "held_out": dict(fitted.held_out_), "out": str(out)}
        figures(tally | more | {"false_alarm_rate": fitted.false_alarm_rate}, True)


class _Watched:
    """The series of a stream, and what was counted of them so far."""

    def __init__(self, fitted: SeriesDetector, every: bool):
        self.fitted, self.every = fitted, every
        self.steps = self.set_aside = self.alarms = 0
        self._series: dict[Any, SeriesStream] = {}

    def records(self, chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        """Yield alarms, or with ``every`` steps, and the error of each line that cannot be used."""
        seen: list[bytes] = []
        first = _first_rows(_noted(chunks, seen))
        schema, coming = _columns(self.fitted, first)
        unused = [name for name in first.frame.columns if name not in {column["name"] for column in schema}]
        if unused:
            say(f"note: {count(len(unused), 'column')} not fitted on, and left out: {', '.join(unused)}")
        for piece in stream_from(chain(seen, chunks), schema, path=SOURCE):
            yield from self._of_piece(piece, coming)
        for stream in self._series.values():
            yield from self._told(stream, stream.finish())

    def _of_piece(self, piece: Piece, coming: ComingSteps) -> Iterator[dict[str, Any]]:
        found, aside = coming.add(piece.rows)
        aside = sorted(aside + piece.aside)
        self.set_aside += len(aside)
        yield from ({"line": line, "error": why} for line, why in aside)
        for steps in found:
            yield from self._of_steps(steps)

    def _of_steps(self, steps: Steps) -> Iterator[dict[str, Any]]:
        stream = self._series.setdefault(steps.series, SeriesStream(self.fitted, steps.series))
        self.steps += len(steps.values)
        yield from self._told(stream, stream.update(steps.values, steps.times))

    def _told(self, stream: SeriesStream, heard: Heard) -> Iterator[dict[str, Any]]:
        rung = [alarm["rang"] for alarm in heard.alarms if not alarm["over"]]
        self.alarms += len(rung)
        if not self.every:
            yield from heard.alarms
            return
        for i, score in enumerate(heard.scores.tolist()):
            record: dict[str, Any] = {"series": stream.series, "step": heard.first + i}
            if heard.times is not None:
                record["time"] = str(heard.times[i])
            below = score < self.fitted.offset_
            yield record | {"score": score, "below": below, "rings": heard.first + i in rung}


def _noted(chunks: Iterable[bytes], seen: list[bytes]) -> Iterator[bytes]:
    """Yield chunks, and keep them."""
    for chunk in chunks:
        seen.append(chunk)
        yield chunk


def _first_rows(chunks: Iterable[bytes]) -> FrameRows:
    """Return the first rows that can be used, their types inferred."""
    why = ""
    for piece in stream_from(chunks, None, path=SOURCE):
        if len(piece.rows):
            return piece.rows
        why = why or f"; the first: line {piece.aside[0][0]}: {piece.aside[0][1]}"
    raise ValueError(f"{SOURCE} has no row that can be used{why}.")


def _columns(fitted: SeriesDetector, first: FrameRows) -> tuple[list[dict[str, Any]], ComingSteps]:
    """Return the columns to read, as told from the first rows, and what makes steps of them."""
    modality: Any = fitted.estimator_.modality_
    kinds = {name: _kind(dtype) for name, dtype in zip(first.frame.columns, first.frame.dtypes, strict=True)}
    channels = list(getattr(fitted, "feature_names_in_", ())) or [
        name for name, kind in kinds.items() if kind in ("integer", "number")
    ]
    if len(channels) != fitted.n_features_in_:
        raise ValueError(
            f"the model was fitted on {count(fitted.n_features_in_, 'channel')} without names; {SOURCE} has "
            f"{count(len(channels), 'column')} of numbers{': ' * bool(channels)}{', '.join(channels)}."
        )
    id, time, step = modality.id, modality.time, modality.step
    if id is None:
        time = next((name for name, kind in kinds.items() if kind in ("date", "datetime")), None)
    read = [{"name": name, "kind": "number", "missing": int(modality.missing)} for name in channels]
    if id is not None:
        read.append({"name": id, "kind": "category", "dtype": str(first.frame.schema.get(id)), "missing": 0})
    if time is not None:
        read.append({"name": time, "kind": kinds.get(time, "number"), "missing": 0})
    return read, ComingSteps(channels, id, time, step)


def _kind(dtype: Any) -> str:
    return next((kind for name, kind in KINDS.items() if str(dtype).startswith(name)), "category")
