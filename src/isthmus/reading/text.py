"""Separated text: where its records begin, what separates their cells, which are ragged."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from isthmus.reading.limits import read_bytes

__all__ = ["Text", "are_whole_cells", "header_of", "read_cells", "sample_of", "separator_of", "split_cells"]

logger = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
SAMPLE = 16_384
CHUNK = 20_000
NEWLINE, RETURN, QUOTE = b'\n\r"'


@dataclass
class Text:
    """The cells of a file, as text.

    Attributes
    ----------
    frame : polars.DataFrame
        All columns are strings.
    lines : numpy.ndarray
        The line each row begins on; the first of the file is 1.
    aside : list of tuple
        Line and reason of each record that has too many or too few fields.
    """

    frame: pl.DataFrame
    lines: np.ndarray
    aside: list[tuple[int, str]]


def read_cells(path: Path) -> Text:
    """Return the cells of a .csv, .tsv or .txt file with a header.

    Raises
    ------
    ValueError
        If it is empty, has no row, is not UTF-8, or its header is none.
    """
    data = _utf8(path, read_bytes(path))
    sample = sample_of(data)
    separator = separator_of(path, sample)
    logger.info("%s: cells are separated by %r", path, separator)
    try:
        text = split_cells(path, data, separator)
    except pl.exceptions.PolarsError as error:
        raise ValueError(_not_utf8(path, read_bytes(path), error)) from error
    if not len(text.frame) and not text.aside:
        raise ValueError(f"{path} has a header and no rows.")
    if text.frame.width == 1:
        _refuse_other_separator(path, sample)
    return text


def split_cells(path: Path, data: bytes, separator: str) -> Text:
    """Return the cells of text that begins with a header."""
    return _regular(path, data, separator) or _irregular(path, data, separator)


def _utf8(path: Path, data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is UTF-16, expected UTF-8; save it so (in Excel: 'CSV UTF-8').")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise ValueError(f"{path} holds zero bytes: it is no text.")
    if not data.strip():
        raise ValueError(f"{path} is empty; expected a line of column names, then rows.")
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    return data


def sample_of(data: bytes) -> str:
    """Return the first lines, as many as are whole in the first bytes."""
    head = data[:SAMPLE].lstrip(b"\r\n \t") if not data[:1].strip() else data[:SAMPLE]
    whole = head if len(data) <= SAMPLE else head[: head.rfind(b"\n") + 1] or head
    return whole.decode("utf-8", errors="replace")


def separator_of(path: Path, sample: str) -> str:
    """Return what separates the cells of text with these first lines."""
    header = sample.splitlines()[0]
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    there = [character for character in SEPARATORS if character in header]
    if len(there) > 1:
        try:
            guess = csv.Sniffer().sniff(sample, SEPARATORS).delimiter
        except csv.Error:
            guess = ""
        return guess if guess in there else max(there, key=header.count)
    return there[0] if there else ","


def _refuse_other_separator(path: Path, sample: str) -> None:
    """Raise ValueError if all lines hold the same number of some other mark."""
    lines = [line for line in sample.splitlines() if line.strip()][:50]
    counts = [Counter(c for c in line.strip() if not c.isalnum() and c not in "\"'.-_()%") for line in lines]
    same = [mark for mark in counts[0] if len({count[mark] for count in counts}) == 1]
    if same and len(lines) > 1:
        raise ValueError(
            f"{path} seems to be separated by {same[0]!r}, expected a comma, semicolon, tab or |; "
            "replace it, or take it out of the column's name if there is one column."
        )


def _names(path: Path, header: list[str]) -> list[str]:
    names = [name.strip() or f"column_{i}" for i, name in enumerate(header, 1)]
    numbers = pl.Series(names).cast(pl.Float64, strict=False)
    if numbers.is_not_null().all():
        raise ValueError(
            f"{path} has no header: its first line is {', '.join(names)[:60]}. Put a line of column names there."
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path}: column names must differ, got {', '.join(repeated)[:80]} more than once. "
            "Rename them; if the first line is no header, put a line of column names there."
        )
    return names


def _regular(path: Path, data: bytes, separator: str) -> Text | None:
    """Read text in which quotes, if any, enclose whole cells; None if they do not.

    Then a separator or line end counts if an even number of quotes stands before it, which
    is found for all bytes at once. The lines that have enough fields are parsed by polars.
    """
    buffer = np.frombuffer(data, np.uint8)
    quotes = b'"' in data
    if quotes and not are_whole_cells(buffer, ord(separator)):
        return None
    newlines = np.flatnonzero(buffer == NEWLINE)
    ends, separators = newlines, np.flatnonzero(buffer == ord(separator))
    if quotes:
        outside = ~np.logical_xor.accumulate(buffer == QUOTE)
        ends, separators = ends[outside[ends]], separators[outside[separators]]
    if not len(ends) or ends[-1] != len(buffer) - 1:
        ends = np.append(ends, len(buffer))
    starts = np.append(0, ends[:-1] + 1)
    bounds = np.append(starts, len(buffer))
    fields = np.diff(np.searchsorted(separators, bounds)) + 1
    returned = (ends > starts) & (buffer[ends - 1] == RETURN)
    rows = ends - returned > starts
    first = int(rows.argmax())
    names = header_of(path, data[starts[first] : ends[first]], separator, quotes)
    rows[: first + 1] = False
    keep = rows & (fields == len(names))
    lines = np.searchsorted(newlines, starts) + 1
    aside = [(int(lines[i]), _ragged(int(fields[i]), len(names))) for i in np.flatnonzero(rows & ~keep)]
    body = data[bounds[first + 1] :]
    if not keep[first + 1 :].all():
        body = buffer[np.repeat(keep, np.diff(bounds))].tobytes()
    frame = _parse(body, names, separator, quotes)
    return Text(frame, lines[keep], aside) if len(frame) == keep.sum() else None


def are_whole_cells(buffer: np.ndarray, separator: int) -> bool:
    """Whether every quote opens a cell, closes it, or is one of two within it."""
    places = np.flatnonzero(buffer == QUOTE)
    if len(places) % 2:
        return False
    before = buffer[places[0::2][places[0::2] > 0] - 1]
    after = buffer[places[1::2][places[1::2] < len(buffer) - 1] + 1]
    return bool(
        np.isin(before, [separator, NEWLINE, QUOTE]).all() and np.isin(after, [separator, NEWLINE, RETURN, QUOTE]).all()
    )


def header_of(path: Path, line: bytes, separator: str, quotes: bool) -> list[str]:
    """Return the columns' names."""
    text = io.StringIO(line.decode("utf-8", errors="replace"), newline="")
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    return _names(path, next(csv.reader(text, delimiter=separator, quoting=quoting)))


def _parse(body: bytes, names: list[str], separator: str, quotes: bool) -> pl.DataFrame:
    schema = dict.fromkeys(names, pl.String)
    if not body:
        return pl.DataFrame(schema=schema)
    quote = '"' if quotes else None
    return pl.read_csv(body, has_header=False, schema=schema, separator=separator, quote_char=quote)


def _not_utf8(path: Path, data: bytes, error: Exception) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        return f"{path} is not UTF-8: line {line} holds the byte {data[wrong.start]:#x}; save it as UTF-8."
    return f"{path} cannot be read as a table ({' '.join(str(error).split())[:120]})."


def _irregular(path: Path, data: bytes, separator: str) -> Text:
    """Read text with stray quotes record by record, as the standard library understands them."""
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    try:
        records = _records(path, reader)
        _, header = next(records)
        if isinstance(header, str):
            raise ValueError(f"{path}: the header cannot be read: {header}.")
        names = _names(path, header)
        frames, lines, aside = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))], [], []
        kept: list[list[str]] = []
        for line, record in records:
            if isinstance(record, str):
                aside.append((line, record))
            elif len(record) != len(names):
                aside.append((line, _ragged(len(record), len(names))))
            else:
                kept.append(record)
                lines.append(line)
            if len(kept) == CHUNK:
                frames.append(_strings(names, kept))
                kept = []
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(path, data, error)) from error
    frames.append(_strings(names, kept))
    return Text(pl.concat(frames), np.array(lines, np.int64), aside)


def _records(path: Path, reader) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the first line and the cells of each record that is not blank, or what is wrong with it."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ValueError(f"{path}: a quote opens in line {line} and never closes; close it.") from error
            record = f"cannot be split into cells ({error})"
        if record:
            yield line, record


def _strings(names: list[str], records: list[list[str]]) -> pl.DataFrame:
    columns = zip(*records, strict=True) if records else [()] * len(names)
    return pl.DataFrame([pl.Series(name, cells, pl.String) for name, cells in zip(names, columns, strict=True)])


def _ragged(got: int, wanted: int) -> str:
    return f"{got} field{'s' * (got != 1)} where the header has {wanted}"
