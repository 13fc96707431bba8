"""What ``detect`` does piece by piece: rows from standard input, and tables larger than memory."""

from __future__ import annotations

import io
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from isthmus.cli.detecting import alert_records, rule_of
from isthmus.cli.inputs import open_model, unused_said
from isthmus.cli.ledger import Ledger
from isthmus.cli.outputs import STDOUT, check_not_input, check_stdout, not_for, said_place
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import count, figures, json_text, say
from isthmus.decisions import DiscoveriesAlong, OnlineFDR, Rule
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.job import choose
from isthmus.modalities import Tables
from isthmus.reading.streams import BLOCK, Piece, Place, can_stream, stream, stream_from
from isthmus.rows import Rows

__all__ = ["arriving", "detect_along"]

BATCH = 8_192
CHUNK = 2**16
WAITING = 64
STDIN = Path("-")


@dataclass
class Tally:
    """What was counted so far."""

    rows: int = 0
    set_aside: int = 0
    alerts: int = 0

    def said(self) -> str:
        """Return the counts in words."""
        total = self.rows + self.set_aside
        aside = f", {self.set_aside:,} set aside" if self.set_aside else ""
        return f"{count(total, 'row')}: {self.rows:,} scored{aside}, {count(self.alerts, 'alert')}"


class Batch(NamedTuple):
    """Some records of a piece, in their order."""

    rows: Rows
    places: list[int]
    aside: list[tuple[int, str]]
    end: int


def detect_along(
    model: Path,
    data: Path,
    out: Path,
    every: bool,
    reasons: int,
    batch: int | None,
    resume: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Write alerts, or every row, in the order of DATA, as they come."""
    check_stdout(out, as_json)
    fitted, estimator = open_model(model)
    if not isinstance(fitted, AnomalyDetector):
        raise not_for(model, "detect", "it has no threshold")
    if not isinstance(estimator.modality_, Tables):
        raise click.UsageError(f"{model} is not of a table; only rows of tables come piece by piece.", _context())
    with wrong_call():
        rule = rule_of(fitted, **asked, is_stream=True)
    where = "row" if data.suffix.lower() == ".parquet" else "line"
    writer = _Writer(fitted, rule, where, reasons, every, batch or BATCH)
    if data == STDIN:
        chunks = arriving(click.get_binary_stream("stdin"))
        pieces = stream_from(chunks, estimator.modality_.columns, path=Path("standard input"))
        tally = _to_anywhere(writer, pieces, out)
    else:
        tally = _from_file(writer, data, model, out, asked, resume)
    say(f"{tally.said()}: {rule.said()}; written to {said_place(out)}")
    if as_json:
        figures(asdict(tally) | {"data": str(data), "out": str(out), "model_id": fitted.model_id_}, True)


class _Writer:
    """Turns pieces into lines of JSON."""

    def __init__(self, fitted: AnomalyDetector, rule: Rule, where: str, n_reasons: int, every: bool, batch: int):
        self.fitted, self.rule, self.where = fitted, rule, where
        self.n_reasons, self.every, self.batch = n_reasons, every, batch
        self.tally = Tally()
        self._said = False

    def lines(self, piece: Piece, skip: int = 0) -> Iterator[tuple[str, int]]:
        """Yield lines for each batch of a piece, and how many of its records are behind them then."""
        if not self._said:
            unused_said(self.fitted.estimator_.modality_, piece.rows.unused)
            self._said = True
        for batch in _batches(piece, self.batch, skip):
            records = self._records(batch)
            yield "".join(json_text(record) + "\n" for record in records), batch.end

    def _records(self, batch: Batch) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if len(batch.rows):
            pieces = [(batch.rows, batch.places)]
            found += alert_records(
                self.fitted, pieces, self.rule, where=self.where, n_reasons=self.n_reasons, every=self.every
            )
        self.tally.rows += len(batch.rows)
        self.tally.set_aside += len(batch.aside)
        self.tally.alerts += sum(record.get("alert", True) for record in found)
        found += [{self.where: place, "error": why} for place, why in batch.aside]
        return sorted(found, key=lambda record: record[self.where])


def _batches(piece: Piece, size: int, skip: int) -> Iterator[Batch]:
    """Cut a piece into batches of so many records, those set aside among them, leaving out the first."""
    assert piece.rows.lines is not None
    n = len(piece.rows)
    places = np.concatenate([piece.rows.lines, np.array([place for place, _ in piece.aside], np.int64)])
    order = np.argsort(places, kind="stable")
    for begin in range(skip, len(order), size):
        chosen = order[begin : begin + size]
        index = chosen[chosen < n]
        aside = [piece.aside[i - n] for i in chosen[chosen >= n].tolist()]
        yield Batch(choose(piece.rows, index), piece.rows.lines[index].tolist(), aside, begin + len(chosen))


def _to_anywhere(writer: _Writer, pieces: Iterator[Piece], out: Path) -> Tally:
    """Write to standard output, or to a file, each batch as soon as it is known."""
    if out == STDOUT:
        for piece in pieces:
            for lines, _ in writer.lines(piece):
                click.echo(lines, nl=False)
        return writer.tally
    with out.open("w", encoding="utf-8") as opened:
        for piece in pieces:
            for lines, _ in writer.lines(piece):
                opened.write(lines)
                opened.flush()
    return writer.tally


def _from_file(writer: _Writer, data: Path, model: Path, out: Path, asked: Mapping[str, Any], resume: bool) -> Tally:
    """Write what a file gives, so that it can go on after a crash."""
    if not can_stream(data):
        raise click.UsageError(
            f"{data} cannot be read in pieces; a .csv, .tsv, .txt, .jsonl or .parquet file can.", _context()
        )
    columns = writer.fitted.estimator_.modality_.columns
    if out == STDOUT:
        return _to_anywhere(writer, stream(data, columns), out)
    check_not_input(out, data, model)
    with Ledger(out, _job(writer, data, asked), resume) as ledger:
        if ledger.is_done:
            say(f"{out} was complete already")
            return Tally(**ledger.state["tally"])
        return _through(writer, ledger, lambda start: stream(data, columns, start=start))


def _through(writer: _Writer, ledger: Ledger, pieces: Callable[[Place | None], Iterator[Piece]]) -> Tally:
    """Enter all that is not in the ledger yet."""
    state = ledger.state
    # Nowhere yet: a table's rows begin behind its header.
    place = Place(*state["place"]) if state and state["place"] else None
    behind = state.get("behind", 0)
    if state:
        writer.tally = Tally(**state["tally"])
        if isinstance(writer.rule, DiscoveriesAlong) and state["online"]:
            writer.rule.online = OnlineFDR.restore(state["online"])
        say(f"going on after {count(writer.tally.rows + writer.tally.set_aside, 'row')}")
    for piece in pieces(place):
        for lines, end in writer.lines(piece, behind):
            ledger.enter(lines, _state(writer, place, end))
        place, behind = piece.end, 0
    ledger.enter("", _state(writer, place, 0), done=True)
    return writer.tally


def _state(writer: _Writer, place: Place | None, behind: int) -> dict[str, Any]:
    online = writer.rule.online.state() if isinstance(writer.rule, DiscoveriesAlong) else None
    return {"place": place and list(place), "behind": behind, "tally": asdict(writer.tally), "online": online}


def _job(writer: _Writer, data: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the lines depend on; the size of a batch is not among it."""
    there = data.stat()
    return {
        "model": writer.fitted.model_id_,
        "data": str(data.resolve()),
        "bytes": there.st_size,
        "modified": there.st_mtime_ns,
        "block": BLOCK,
        "all": writer.every,
        "reasons": writer.n_reasons,
        "decision": {name: value for name, value in asked.items() if value is not None},
    }


def arriving(opened: Any, most: int = BLOCK) -> Iterator[bytes]:
    """Yield bytes as they come: all that are there, at once, and then whatever came meanwhile.

    Parameters
    ----------
    opened : binary file
        Read in a thread of its own, which waits when a few chunks are not taken.
    most : int
        Yield no more bytes at once.
    """
    chunks: queue.Queue[bytes | BaseException] = queue.Queue(WAITING)
    threading.Thread(target=_fill, args=(chunks, _reader(opened)), daemon=True).start()
    ended = False
    while not ended:
        taken, size = [], 0
        chunk: bytes | BaseException | None = chunks.get()
        while chunk is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            ended = not chunk
            taken.append(chunk)
            size += len(chunk)
            chunk = None if ended or size >= most or chunks.empty() else chunks.get()
        if size:
            yield b"".join(taken)


def _fill(chunks: queue.Queue[bytes | BaseException], read: Callable[[], bytes]) -> None:
    chunk = b"-"
    while chunk:
        try:
            chunk = read()
        except (OSError, ValueError) as error:
            chunks.put(error)
            return
        chunks.put(chunk)


def _reader(opened: Any) -> Callable[[], bytes]:
    """Return a function that reads what is there, and waits only if nothing is."""
    try:
        # Not through the buffer, whose lock a thread must not hold when the program ends.
        number = opened.fileno()
    except (OSError, io.UnsupportedOperation):
        return lambda: opened.read1(CHUNK)
    return lambda: os.read(number, CHUNK)


def _context() -> click.Context | None:
    return click.get_current_context(silent=True)
