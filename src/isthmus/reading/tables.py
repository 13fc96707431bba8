"""Tables in files: typed columns, with the rows that do not fit set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isthmus.reading.cells import conform, infer
from isthmus.reading.limits import check_memory, read_bytes
from isthmus.reading.text import read_cells
from isthmus.rows import FrameRows, SetAside

__all__ = ["POLARS_ERRORS", "FileTable", "read_lines", "read_parquet", "read_text", "table_of_lines"]

Columns = Sequence[Mapping[str, Any]]
# polars lets a panic of its Parquet reader pass as an exception of its own.
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def read_text(path: Path, columns: Columns | None = None) -> FrameRows:
    """Return the rows of a .csv, .tsv or .txt file; see :func:`isthmus.reading.read`."""
    text = read_cells(path)
    return FileTable(path, text.frame, text.lines, text.aside, "line {}").rows(columns)


def read_parquet(path: Path, columns: Columns | None = None) -> FrameRows:
    """Return the rows of a Parquet file, in its own types."""
    try:
        scan = pl.scan_parquet(path)
        names = scan.collect_schema().names()
        check_memory(path, 8 * len(names) * scan.select(pl.len()).collect().item())
        frame = pl.read_parquet(path)
    except POLARS_ERRORS as error:
        raise ValueError(f"{path} is damaged, or no Parquet file ({_first_line(error)}).") from error
    return FileTable(path, frame, np.arange(len(frame)), [], "row {} (the first is 0)").rows(columns)


def read_lines(path: Path, columns: Columns | None = None) -> FrameRows:
    """Return the rows of a .jsonl file: one JSON object a line."""
    table = table_of_lines(path, read_bytes(path).removeprefix(b"\xef\xbb\xbf"))
    if not len(table.lines) and not table.aside:
        raise ValueError(f"{path} is empty; expected one JSON object a line.")
    return table.rows(columns)


def table_of_lines(path: Path, data: bytes) -> FileTable:
    """Return what lines of JSON hold."""
    lines = data.split(b"\n")
    numbers = np.array([i for i, line in enumerate(lines, 1) if line.strip()], np.int64)
    frame = _json(data) if len(numbers) else pl.DataFrame()
    if frame is not None and len(frame) == len(numbers):
        return FileTable(path, frame, numbers, [], "line {}", quoted=True)
    records, aside = _objects(lines, numbers)
    numbers = np.array(list(records), np.int64)
    frame = _json(b"\n".join(lines[number - 1] for number in records))
    if frame is not None and len(frame) == len(records):
        return FileTable(path, frame, numbers, aside, "line {}", quoted=True)
    # Valid JSON whose cells are of many types: read as the text of a .csv would be.
    names = list(dict.fromkeys(name for record in records.values() for name in record))
    cells = {name: [_text(record.get(name)) for record in records.values()] for name in names}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String))
    return FileTable(path, frame, numbers, aside, "line {}")


def _json(data: bytes) -> pl.DataFrame | None:
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except POLARS_ERRORS:
        return None


def _objects(lines: list[bytes], numbers: np.ndarray) -> tuple[dict[int, dict[str, Any]], list[tuple[int, str]]]:
    """Return the JSON objects by their lines, and what is wrong with the other lines."""
    records, aside = {}, []
    for number in numbers.tolist():
        try:
            record = json.loads(lines[number - 1])
        except (ValueError, RecursionError) as error:
            aside.append((number, f"no JSON ({str(error)[:80]})"))
            continue
        if isinstance(record, dict):
            records[number] = record
        else:
            aside.append((number, f"expected a JSON object, got {type(record).__name__}"))
    return records, aside


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


class FileTable:
    """Cells as a file gave them, on the way to rows of typed columns."""

    def __init__(
        self,
        path: Path,
        frame: pl.DataFrame,
        lines: np.ndarray,
        aside: list[tuple[int, str]],
        where: str,
        quoted: bool = False,
    ):
        self.path, self.frame, self.lines, self.aside, self.where, self.quoted = (
            path,
            frame,
            lines,
            aside,
            where,
            quoted,
        )
        self.reasons: dict[int, str] = {}

    def rows(self, columns: Columns | None) -> FrameRows:
        """Return what fits the columns, or without any what fits the types that are inferred."""
        if not self.frame.width and not self.aside:
            raise ValueError(f"{self.path} has no columns.")
        rows, aside = self.split(columns)
        rows.set_aside = [SetAside(self.where.format(line), why) for line, why in aside]
        if not len(rows):
            raise ValueError(f"{self.path} has no row that can be used{_because(rows.set_aside)}.")
        return rows

    def split(self, columns: Columns | None) -> tuple[FrameRows, list[tuple[int, str]]]:
        """Return the rows that fit, perhaps none, and line and reason of the others."""
        typed = [self._inferred(series) for series in self.frame] if columns is None else self._fitted(columns)
        keep = np.ones(len(self.lines), bool)
        keep[list(self.reasons)] = False
        aside = self.aside + [(int(self.lines[row]), why) for row, why in self.reasons.items()]
        frame = pl.DataFrame(typed)
        if self.reasons:
            frame = frame.filter(pl.Series(keep))
        wanted = set(frame.columns)
        unused = [name for name in self.frame.columns if name not in wanted]
        return FrameRows(frame, lines=self.lines[keep], unused=unused), sorted(aside)

    def _inferred(self, series: pl.Series) -> pl.Series:
        if series.dtype == pl.String and self.where.startswith("line"):
            return self._checked(series, *infer(series, quoted=self.quoted))
        return self._checked(series, series, series.is_null() & False, "")

    def _fitted(self, columns: Columns) -> list[pl.Series]:
        absent = [column["name"] for column in columns if column["name"] not in self.frame.columns]
        if absent:
            raise ValueError(
                f"{self.path} lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}, which the model was "
                f"fitted on; it has {', '.join(self.frame.columns)}."
            )
        chosen = [(self.frame[column["name"]], column) for column in columns]
        return [self._checked(series, *conform(series, facts)) for series, facts in chosen]

    def _checked(self, given: pl.Series, typed: pl.Series, odd: pl.Series, kind: str) -> pl.Series:
        """Note the rows of cells that are of another type or infinite."""
        self._note(odd, lambda row: f"{_shown(given[row])} in the {kind} column {given.name!r}")
        if typed.dtype.is_float():
            self._note(typed.is_infinite().fill_null(False), lambda row: f"infinity in column {given.name!r}")
        return typed

    def _note(self, bad: pl.Series, why: Callable[[int], str]) -> None:
        for row in np.flatnonzero(bad.to_numpy()).tolist():
            self.reasons.setdefault(row, why(row))


def _because(set_aside: list[SetAside]) -> str:
    if not set_aside:
        return ""
    return f"; {len(set_aside)} were set aside, the first: {set_aside[0].where}: {set_aside[0].why}"


def _shown(cell: Any) -> str:
    shown = repr(cell)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return f"text {shown}" if isinstance(cell, str) else shown


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:120]
