"""Cutting bytes that come in pieces where a record ends."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import NamedTuple

import numpy as np

from isthmus.reading.text import are_whole_cells

__all__ = ["Block", "blocks", "mended", "whole_for_csv", "whole_lines", "whole_records"]

# A quote that opened so many bytes ago is taken for a stray one; a line as long as the second is no record.
MAX_QUOTED = 2**20
MAX_LINE = 2**24
QUOTE, NEWLINE = b'"\n'
OPEN = "a quote opens and never closes"
LONG = f"longer than {MAX_LINE:,} bytes"


class Block(NamedTuple):
    """Whole records.

    Attributes
    ----------
    data : bytes
        Ends with a line end.
    size : int
        How many bytes it was of.
    why : str
        If not empty, why the line it stands for is none.
    """

    data: bytes
    size: int
    why: str = ""


def whole_lines(data: bytes) -> int:
    """Return how many of these bytes are whole lines."""
    return data.rfind(b"\n") + 1


def whole_records(separator: str) -> Callable[[bytes], int]:
    """Return a function that says how many bytes are whole records of separated text, with quotes or without."""
    return partial(_whole_records, separator=separator)


def blocks(chunks: Iterable[bytes], whole: Callable[[bytes], int]) -> Iterator[Block]:
    """Yield blocks of whole records; whatever never ends is cut off after one line.

    Parameters
    ----------
    chunks : iterable of bytes
        As they are read.
    whole : callable
        :func:`whole_lines`, or what :func:`whole_records` returned.
    """
    rest, skipped = b"", 0
    for chunk in chunks:
        if skipped:
            # Within a line that is too long: nothing counts before its end.
            end = chunk.find(b"\n") + 1
            skipped += end or len(chunk)
            if not end:
                continue
            yield Block(b"\n", skipped, LONG)
            chunk, skipped = chunk[end:], 0
        rest += chunk
        end = whole(rest)
        if end:
            yield Block(rest[:end], end)
            rest = rest[end:]
        elif len(rest) > MAX_QUOTED and b"\n" in rest:
            line = rest.find(b"\n") + 1
            yield Block(b"\n", line, OPEN)
            rest = rest[line:]
        elif len(rest) > MAX_LINE:
            rest, skipped = b"", len(rest)
    if skipped:
        yield Block(b"\n", skipped, LONG)
    yield from _last(rest, whole)


def mended(data: bytes) -> tuple[bytes, dict[int, str]]:
    """Return bytes as valid UTF-8 without zeros, and what was wrong with which lines; the first is 1."""
    try:
        data.decode("utf-8")
        if b"\0" not in data:
            return data, {}
    except UnicodeDecodeError:
        pass
    lines, wrong = data.split(b"\n"), {}
    for i, line in enumerate(lines):
        try:
            line.decode("utf-8")
            if b"\0" in line:
                wrong[i + 1] = "holds a zero byte"
        except UnicodeDecodeError as error:
            wrong[i + 1] = f"is not UTF-8: it holds the byte {line[error.start]:#x}"
        if i + 1 in wrong:
            lines[i] = line.replace(b"\0", b"?").decode("utf-8", errors="replace").encode()
    return b"\n".join(lines), wrong


def _last(rest: bytes, whole: Callable[[bytes], int]) -> Iterator[Block]:
    """Yield what is left where nothing follows."""
    while rest:
        data = rest if rest.endswith(b"\n") else rest + b"\n"
        end, why = whole(data), ""
        if not end:
            end, why = data.find(b"\n") + 1, OPEN
        yield Block(b"\n" if why else data[:end], min(end, len(rest)), why)
        rest = rest[end:]


def _whole_records(data: bytes, separator: str) -> int:
    end = whole_lines(data)
    if data.find(b'"', 0, end) < 0:
        return end
    head = data[:end]
    buffer = np.frombuffer(head, np.uint8)
    inside = np.logical_xor.accumulate(buffer == QUOTE)
    ends = np.flatnonzero((buffer == NEWLINE) & ~inside)
    if len(ends) and are_whole_cells(buffer[: ends[-1] + 1], ord(separator)):
        return int(ends[-1]) + 1
    return whole_for_csv(head, separator)


def whole_for_csv(data: bytes, separator: str, most: int | None = None) -> int:
    """Return how many bytes are whole records, or the first so many, as the standard library sees stray quotes."""
    lines = data.splitlines(keepends=True)
    text = (line.decode("utf-8", errors="replace").replace("\0", "?") for line in lines)
    reader = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=True)
    done = 0
    for _ in repeat(None) if most is None else range(most):
        try:
            next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                break
        done = reader.line_num
    return sum(map(len, lines[:done]))
