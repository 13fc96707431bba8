"""What a verb writes: whole or not at all, to a file or to standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus import reading
from isthmus.cli.inputs import Given
from isthmus.cli.talk import count, figures, json_text, say
from isthmus.files import atomic
from isthmus.reading.series import from_pieces, to_table
from isthmus.rows import SequenceRows

__all__ = [
    "PICTURES",
    "STDOUT",
    "check_folder",
    "check_not_input",
    "check_rows_out",
    "check_stdout",
    "done",
    "not_for",
    "said_place",
    "write_array",
    "write_lines",
    "write_rows",
    "write_table",
]

STDOUT = Path("-")
TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".npy")
PICTURES = (".png", ".svg")
PIECE = 2**15


def check_not_input(out: Path, *inputs: Path) -> None:
    """Refuse to write over what is read.

    Raises
    ------
    click.UsageError
        If they are the same file or folder.
    """
    for path in inputs:
        if out != STDOUT and out.exists() and out.samefile(path):
            raise click.UsageError(f"{out} is what is read; write to another place.", click.get_current_context())


def check_rows_out(out: Path, is_table: bool, also: Sequence[str] = ()) -> None:
    """Refuse a name that rows of this kind cannot be written under.

    Raises
    ------
    click.UsageError
        If so.
    """
    kinds = (*TABLES, "-") if is_table else (".npy", "")
    kind = "-" if out == STDOUT else out.suffix.lower()
    if kind not in (*kinds, *also):
        said = f"a table is written as {', '.join(TABLES)} or -" if is_table else "images as .npy or to a folder"
        extra = f", and drawn as {' or '.join(also)}" if also else ""
        raise click.UsageError(f"{said}{extra}; got {out}.", click.get_current_context())


def check_folder(out: Path, given: Given) -> None:
    """Refuse a folder for images that are called as others in it may be.

    Raises
    ------
    click.UsageError
        If there is such a folder, and it is not empty.
    """
    if given.where == "file" and out.is_dir() and any(out.iterdir()):
        raise click.UsageError(f"{out} is there and not empty; name a folder that is not.", click.get_current_context())


def write_rows(out: Path, rows: Any, given: Given | None = None) -> None:
    """Write a table, with the line or row that each came from, or images, called as the files were."""
    if given is not None and given.where == "file" and not out.suffix:
        reading.write(out, rows, names=_file_names(given))
        return
    is_written_long = out == STDOUT or out.suffix.lower() in (".npz", *TABLES[:-1])
    if isinstance(rows, list) or (isinstance(rows, np.ndarray) and rows.ndim == 3 and is_written_long):
        _write_series(out, rows, given)
        return
    if isinstance(rows, np.ndarray) and (rows.ndim > 2 or out.suffix.lower() == ".npy"):
        reading.write(out, rows)
        return
    frame = rows if isinstance(rows, pl.DataFrame) else _frame(rows)
    if given is not None and out.suffix.lower() != ".npy":
        frame = given.with_places(frame)
    write_table(out, frame)


def _write_series(out: Path, rows: Any, given: Given | None) -> None:
    """Write series, called as those they came from."""
    series = from_pieces(rows)
    if given is not None and len(given) == len(series):
        source = given.rows if isinstance(given.rows, SequenceRows) else None
        if source is not None and len(source.values) == len(series.values):
            series = replace(series, times=source.times, columns=source.columns)
        series = replace(series, lines=np.array(given.places()))
    if out == STDOUT:
        _print(to_table(series).write_csv())
    else:
        reading.write(out, series)


def write_array(out: Path, codes: np.ndarray, given: Given) -> None:
    """Write codes: an array alone, an array with its places (.npz), or a table with them."""
    if out.suffix.lower() == ".npz":
        with atomic(out) as part, part.open("wb") as opened:
            np.savez(opened, codes=codes, **{given.where: np.array(given.places())})
    elif out.suffix.lower() == ".npy":
        reading.write(out, codes)
    else:
        write_table(out, given.with_places(_frame(codes, "z")))


def write_table(out: Path, frame: pl.DataFrame) -> None:
    """Write a table; to standard output as CSV."""
    if out == STDOUT:
        _print(frame.write_csv())
    elif frame.is_empty():
        # No alert is good news, and a file all the same.
        with atomic(out) as part:
            (frame.write_parquet if out.suffix.lower() == ".parquet" else frame.write_csv)(part)
    else:
        reading.write(out, frame)


def write_lines(out: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, as they come."""
    if out == STDOUT:
        for record in records:
            _print(json_text(record) + "\n")
        return
    with atomic(out) as part, part.open("w", encoding="utf-8") as opened:
        opened.writelines(json_text(record) + "\n" for record in records)


def done(given: Given, out: Path, as_json: bool, said: str, *, to: str = "", **values: Any) -> None:
    """Say what was done, ``to`` all rows or to what else, and where it was written; print the figures if asked."""
    aside = f", {len(given.rows.set_aside)} set aside" if given.rows.set_aside else ""
    say(f"{to or count(len(given), 'row')} {said}{aside}; written to {said_place(out)}")
    if as_json:
        figures(given.tally() | values | {"out": str(out)}, True)


def said_place(out: Path) -> str:
    """Return where something was written, in words."""
    return "standard output" if out == STDOUT else str(out)


def check_stdout(out: Path, as_json: bool) -> None:
    """Refuse two things on standard output."""
    if out == STDOUT and as_json:
        raise click.UsageError(
            "-o - and --json both write to standard output; give a file to one.", click.get_current_context()
        )


def not_for(model: Path, verb: str, why: str) -> click.UsageError:
    """Return the error of a verb that this model was not fitted for."""
    return click.UsageError(
        f"{model} was not fitted for this: {why}. Fit one with: isthmus fit DATA -o MODEL --for {verb}.",
        click.get_current_context(),
    )


def _print(text: str) -> None:
    # In pieces: where Python does not buffer, one long write to a pipe ends early without a word.
    for begin in range(0, len(text), PIECE):
        click.echo(text[begin : begin + PIECE], nl=False)


def _file_names(given: Given) -> list[str]:
    """Return the files' names without their ends, unless two would be one."""
    bare = [place.rpartition(".")[0] for place in given.places()]
    return bare if len(set(bare)) == len(bare) else given.places()


def _frame(array: np.ndarray, prefix: str = "x") -> pl.DataFrame:
    return pl.DataFrame({f"{prefix}{i}": np.ascontiguousarray(array[:, i]) for i in range(array.shape[1])})
