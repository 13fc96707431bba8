"""Tables larger than memory, and those that never end: rows piece by piece, as readers of files give them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from isthmus.reading.cutting import Block, blocks, mended, whole_for_csv, whole_lines, whole_records
from isthmus.reading.doors import LINES, TEXT, kind_of
from isthmus.reading.tables import POLARS_ERRORS, FileTable, table_of_lines
from isthmus.reading.text import header_of, sample_of, separator_of, split_cells
from isthmus.rows import FrameRows

__all__ = ["Piece", "Place", "can_stream", "stream", "stream_from"]

Columns = Sequence[Mapping[str, Any]]
BLOCK = 2**22
PARQUET_CELLS = 2**21
MOST_HEADER = 2**20
BOM = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """Where a piece begins.

    Attributes
    ----------
    offset : int
        Bytes of (unpacked) text before it; rows of a Parquet file.
    line : int
        Lines before it.
    """

    offset: int = 0
    line: int = 0


class Piece(NamedTuple):
    """Some rows of a stream.

    Attributes
    ----------
    rows : FrameRows
        Those that can be used, perhaps none, with their ``lines``.
    aside : list of tuple
        Line (of Parquet: row) and reason of the others.
    end : Place
        Where the next piece begins.
    """

    rows: FrameRows
    aside: list[tuple[int, str]]
    end: Place


def can_stream(path: str | Path) -> bool:
    """Whether a file is of a kind that can be read in pieces."""
    kind, packed = kind_of(Path(path))
    return kind in (*TEXT, *LINES) or (kind == ".parquet" and not packed)


def stream(path: str | Path, schema: Columns, *, block: int = BLOCK, start: Place | None = None) -> Iterator[Piece]:
    r"""Yield the rows of a table in a file, in bounded memory.

    Parameters
    ----------
    path : str or Path
        A .csv, .tsv, .txt (all with a header) or .jsonl file, perhaps packed as .gz, or .parquet.
    schema : sequence of dict
        The ``columns`` of a fitted :class:`~isthmus.modalities.Tables`.
    block : int, default=4194304
        Bytes of text read at once.
    start : Place, optional
        Where to begin: the ``end`` of an earlier piece.

    Raises
    ------
    ValueError
        If the file is of another kind, damaged, or lacks a column.

    Notes
    -----
    Cells, lines and reasons are those of :func:`isthmus.reading.read` with the same schema,
    with these differences, none of which can be told before the end of a file is seen: lines
    that are not UTF-8 and quotes that never close set their line aside and no more; a key
    absent from an object of JSON is a missing cell, of a column that was never missing while
    fitting it must be in the first piece; and in JSON, cells of one column that are partly
    text and partly numbers are read by what their piece holds.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "heights.csv"
    >>> _ = path.write_text("name,height\nAda,1.65\nAlan\nGrace,tall\nKurt,1.7\n")
    >>> schema = [{"name": "height", "kind": "number", "dtype": "Float64", "missing": 0}]
    >>> for piece in stream(path, schema, block=30):
    ...     print(piece.rows.lines.tolist(), piece.aside)
    [2] [(3, '1 field where the header has 2')]
    [5] [(4, "text 'tall' in the numeric column 'height'")]
    """
    path = Path(path)
    kind, _ = kind_of(path)
    if not can_stream(path):
        raise ValueError(f"{path} cannot be read in pieces; .csv, .tsv, .txt, .jsonl and .parquet can.")
    if kind == ".parquet":
        yield from _of_parquet(path, schema, start or Place())
        return
    with _opened(path) as opened:
        chunks = iter(lambda: opened.read(block), b"")
        first = next(chunks, b"")
        # Line ends of old: told from the first block, as no line is as long.
        end = b"\r" if b"\n" not in first and b"\r" in first else b"\n"
        every = (chunk.replace(end, b"\n") for chunk in chain([first], chunks))
        if start is None:
            yield from stream_from(every, schema, path=path, is_json=kind in LINES)
        else:
            head = None if kind in LINES else _head(path, every)[0]
            opened.seek(start.offset)
            yield from _pieces(path, (chunk.replace(end, b"\n") for chunk in chunks), head, schema, start)


def stream_from(
    chunks: Iterable[bytes], schema: Columns | None, *, path: Path | None = None, is_json: bool | None = None
) -> Iterator[Piece]:
    """Yield the rows of text as it comes; a piece has what chunks so far complete.

    Parameters
    ----------
    chunks : iterable of bytes
        Of any length.
    schema : sequence of dict, optional
        As of :func:`stream`. None: types are inferred, of each piece by itself.
    path : Path, optional
        What to call the source in messages.
    is_json : bool, optional
        Whether each line is a JSON object; else separated text with a header. By default
        told from the first character.
    """
    path, chunks = path or Path("-"), iter(chunks)
    if is_json is None:
        first = b""
        while not first.removeprefix(BOM).strip() and (chunk := next(chunks, b"")):
            first += chunk
        is_json = first.removeprefix(BOM).lstrip().startswith((b"{", b"["))
        chunks = chain([first] if first else [], chunks)
    if is_json:
        first = next(chunks, b"")
        gone = len(first) - len(first.removeprefix(BOM))
        yield from _pieces(path, chain([first[gone:]], chunks), None, schema, Place(gone))
    else:
        head, rest = _head(path, chunks)
        yield from _pieces(path, chain([rest], chunks), head, schema, head.end)


class _Head(NamedTuple):
    """The header of separated text."""

    line: bytes
    separator: str
    end: Place


def _head(path: Path, chunks: Iterator[bytes]) -> tuple[_Head, bytes]:
    """Return the header, and what was read beyond it."""
    data, begin, end, separator = b"", 0, 0, ","
    for chunk in chain(chunks, [b"\n"]):
        data += chunk
        begin = len(data) - len(data.removeprefix(BOM).lstrip(b"\r\n \t"))
        if b"\n" in data[begin:]:
            separator = separator_of(path, sample_of(data[begin:]))
            # A header may have line ends within quotes.
            end = begin + whole_for_csv(data[begin : data.rfind(b"\n", begin, begin + MOST_HEADER) + 1], separator, 1)
        if end > begin:
            break
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is UTF-16, expected UTF-8; save it so (in Excel: 'CSV UTF-8').")
    line = data[begin:end]
    if not line.strip():
        raise ValueError(f"{path} is empty; expected a line of column names, then rows.")
    header_of(path, line.rstrip(b"\r\n"), separator, b'"' in line)
    return _Head(line, separator, Place(end, data.count(b"\n", 0, end))), data[end:]


def _pieces(
    path: Path, chunks: Iterable[bytes], head: _Head | None, columns: Columns | None, place: Place
) -> Iterator[Piece]:
    """Yield the rows of text from a place on."""
    whole = whole_lines if head is None else whole_records(head.separator)
    parse = _objects(path, columns or []) if head is None else _records(path, head)
    for block in blocks(chunks, whole):
        end = Place(place.offset + block.size, place.line + block.data.count(b"\n"))
        if block.why:
            table = FileTable(path, _nothing(columns or []), np.zeros(0, np.int64), [(1, block.why)], "line {}")
        else:
            table = _without_wrong(block, parse)
        table.lines = table.lines + place.line
        table.aside = [(line + place.line, why) for line, why in table.aside]
        rows, aside = table.split(columns)
        if len(rows) or aside:
            yield Piece(rows, aside, end)
        place = end


def _without_wrong(block: Block, parse: Callable[[bytes], FileTable]) -> FileTable:
    """Return the cells of a block, records with bytes that are no text set aside."""
    data, wrong = mended(block.data)
    table = parse(data)
    if wrong:
        starts = np.unique([*table.lines.tolist(), *(line for line, _ in table.aside)]).astype(np.int64)
        # The record of a line is the last that begins no later.
        record = {int(starts[np.searchsorted(starts, line, "right") - 1]): why for line, why in wrong.items()}
        keep = ~np.isin(table.lines, list(record))
        table.frame, table.lines = table.frame.filter(pl.Series(keep)), table.lines[keep]
        table.aside = [one for one in table.aside if one[0] not in record] + sorted(record.items())
    return table


def _records(path: Path, head: _Head) -> Callable[[bytes], FileTable]:
    """Return a function that parses separated text, its lines counted from 1."""
    before = head.line.count(b"\n")

    def parse(data: bytes) -> FileTable:
        text = split_cells(path, head.line + data, head.separator)
        aside = [(line - before, why) for line, why in text.aside]
        return FileTable(path, text.frame, text.lines - before, aside, "line {}")

    return parse


def _objects(path: Path, columns: Columns) -> Callable[[bytes], FileTable]:
    """Return a function that parses lines of JSON, its lines counted from 1."""
    is_first = True

    def parse(data: bytes) -> FileTable:
        nonlocal is_first
        table = table_of_lines(path, data)
        absent = [column for column in columns if column["name"] not in table.frame.columns]
        needed = [column["name"] for column in absent if not column["missing"]]
        if is_first and needed and len(table.lines):
            raise ValueError(
                f"{path} lacks the column{'s' * (len(needed) > 1)} {', '.join(needed)}, which the model was fitted on "
                f"and which never lacked a cell then; line {table.lines[0]} has {', '.join(table.frame.columns)}. "
                "Write null for a cell that is missing."
            )
        is_first = is_first and not len(table.lines)
        gaps = [pl.Series(column["name"], [None] * len(table.lines), dtype=pl.String) for column in absent]
        table.frame = table.frame.with_columns(gaps)
        return table

    return parse


def _of_parquet(path: Path, columns: Columns, start: Place) -> Iterator[Piece]:
    """Yield the rows of a Parquet file."""
    size = max(1_024, PARQUET_CELLS // max(1, len(columns)))
    try:
        scan = pl.scan_parquet(path)
        names = scan.collect_schema().names()
        wanted = [column["name"] for column in columns if column["name"] in names]
        if len(wanted) < len(columns):
            FileTable(path, pl.DataFrame(schema=names), np.zeros(0, np.int64), [], "row {}").split(columns)
        total = scan.select(pl.len()).collect().item()
        for begin in range(start.offset, total, size):
            frame = scan.select(wanted).slice(begin, size).collect()
            places = np.arange(begin, begin + len(frame))
            rows, aside = FileTable(path, frame, places, [], "row {} (the first is 0)").split(columns)
            rows.unused = [name for name in names if name not in set(wanted)]
            yield Piece(rows, aside, Place(begin + len(frame), begin + len(frame)))
    except POLARS_ERRORS as error:
        raise ValueError(f"{path} is damaged, or no Parquet file ({' '.join(str(error).split())[:120]}).") from error


def _nothing(columns: Columns) -> pl.DataFrame:
    return pl.DataFrame(schema={column["name"]: pl.String for column in columns})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file, unpacked if its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        with path.open("rb") as opened:
            yield opened
        return
    try:
        with gzip.open(path) as opened:
            yield opened
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it is no whole gzip file ({str(error)[:80]}).") from error
