"""What a verb is given: rows, where each came from, labels, and a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from isthmus import names, reading
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import say, set_aside_said
from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import Job
from isthmus.modalities import Images, Sequences, Tables
from isthmus.reading import ImageFolder
from isthmus.reading.series import fitting
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows
from isthmus.saving import load

__all__ = ["Given", "open_model", "read_for", "read_rows", "unused_said"]

LINED = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
FOLDER = "folder"


class Given:
    """Rows of a file or folder.

    Attributes
    ----------
    path : Path
        Where they were read from.
    rows : Rows
        The rows that can be used.
    where : str
        What tells them apart: ``line`` of a text file (the first is 1), ``row`` of an array
        (the first is 0), ``file`` of a folder, ``series`` of a table with a record a line.
    """

    def __init__(self, path: Path, rows: Rows):
        self.path, self.rows = path, rows
        self.where = "row"
        if isinstance(rows, ImageFolder):
            self.where = "file"
        elif isinstance(rows, FrameRows) and _suffix(path) in LINED:
            self.where = "line"
        elif isinstance(rows, SequenceRows):
            self.where = "series"

    def __len__(self) -> int:
        return len(self.rows)

    def places(self) -> list[Any]:
        """Return the line, row or file of each row."""
        if isinstance(self.rows, ImageFolder):
            root = self.path if self.path.is_dir() else self.path.parent
            return [file.relative_to(root).as_posix() for file in self.rows.files]
        lines = getattr(self.rows, "lines", None)
        return list(range(len(self.rows))) if lines is None else lines.tolist()

    def tally(self) -> dict[str, Any]:
        """Return what was read and what was set aside, for ``--json``."""
        aside = [{"where": one.where, "why": one.why} for one in self.rows.set_aside]
        return {"data": str(self.path), "rows": len(self.rows), "set_aside": aside}

    def with_places(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a table with the line, row or file of each row in front."""
        name = self.where
        while name in frame.columns:
            name = f"{name}_"
        return frame.insert_column(0, pl.Series(name, self.places()))

    def labels(self, asked: str, option: str = "--labels") -> list[Any]:
        """Return a label for each row: a column of the data, or a file of labels; ``option`` is what asked.

        Raises
        ------
        click.UsageError
            If it is neither.
        ValueError
            If there are not as many labels as rows.
        """
        if asked == FOLDER and self.where == "file":
            return [Path(place).parent.name for place in self.places()]
        if isinstance(self.rows, SequenceRows) and self.rows.columns is not None and not Path(asked).is_file():
            return self._of_series(asked, self.rows, option)
        whole: Rows | None = (
            self.rows if isinstance(self.rows, FrameRows) and asked in self.rows.frame.columns else None
        )
        if whole is None and self.where != "file" and not isinstance(self.rows, ArrayRows):
            # Read for a model, the rows have the model's columns alone.
            whole = reading.read(self.path)
        if isinstance(whole, FrameRows) and asked in whole.frame.columns:
            return self._at_lines(whole, whole.frame[asked].to_list())
        if not Path(asked).is_file():
            columns = f" with the columns {', '.join(whole.frame.columns)}" if isinstance(whole, FrameRows) else ""
            raise click.UsageError(f"{option} {asked!r} is no file, and no column of {self.path}{columns}.")
        return self._from_file(Path(asked))

    def _of_series(self, asked: str, rows: SequenceRows, option: str) -> list[Any]:
        """Return the label of each series' first record."""
        whole, id = reading.read(self.path), (rows.columns or [""])[0]
        if not isinstance(whole, FrameRows) or asked not in whole.frame.columns:
            raise click.UsageError(f"{option} {asked!r} is no file, and no column of {self.path}.")
        first = whole.frame.unique(id, keep="first", maintain_order=True)
        known = dict(zip(first[id].to_list(), first[asked].to_list(), strict=True))
        return [known[name] for name in self.places()]

    def _from_file(self, path: Path) -> list[Any]:
        labels, rows = _read_labels(path)
        # A line is matched with a line, and a position with a position: the first are 2 and 0.
        counted_alike = (_suffix(path) in LINED) == (self.where == "line")
        if len(labels) != len(self.rows) and isinstance(rows, FrameRows) and self.where != "file" and counted_alike:
            return self._at_lines(rows, labels)
        if len(labels) != len(self.rows):
            raise ValueError(
                f"{path} has {len(labels)} labels for the {len(self.rows)} rows of {self.path} that can be used; "
                "expected one for each, in their order."
            )
        return labels

    def _at_lines(self, rows: FrameRows, labels: list[Any]) -> list[Any]:
        """Return the labels of our rows, which may have been set aside elsewhere than theirs."""
        if rows is self.rows or rows.lines is None:
            return labels
        known = dict(zip(rows.lines.tolist(), labels, strict=True))
        return [known.get(place) for place in self.places()]


def read_rows(path: Path, size: tuple[int, int] | None = None, modality: str | None = None) -> Given:
    """Read DATA to fit on, as what ``--modality`` says it is, and say what could not be used."""
    part: Any = None
    if modality is not None:
        with wrong_call():
            part = names.parse(modality, "modalities")
    rows = reading.read(path, size=size, are_series=isinstance(part, Sequences))
    if isinstance(part, Sequences):
        rows = part.gather(rows)
    return _said(Given(path, rows), "--size HEIGHTxWIDTH")


def read_for(estimator: AutoEncoder, path: Path, resize: bool = False) -> Given:
    """Read DATA as a fitted model needs it, and say what could not be used."""
    modality: Any = estimator.modality_
    schema, size = None, None
    if isinstance(modality, Tables):
        schema = modality.columns
    elif isinstance(modality, Images):
        schema = list(modality.shape)
        size = tuple(modality.shape[:2]) if resize else None
    try:
        rows = reading.read(path, schema=schema, size=size, are_series=isinstance(modality, Sequences))
    except ValueError as error:
        # If every image is of another size, nobody has said what to do.
        others = isinstance(modality, Images) and path.is_dir() and not resize
        hint = " For images of another size: --resize." if others else ""
        raise ValueError(f"{error}{hint}") from error
    if isinstance(modality, Sequences):
        rows = modality.gather(rows)
        rows = fitting(rows, modality.shape[0]) if isinstance(rows, SequenceRows) else rows
    unused_said(modality, getattr(rows, "unused", ()))
    return _said(Given(path, rows), "--resize")


def unused_said(modality: Any, unused: Iterable[str]) -> None:
    """Say which columns of a file the model was fitted without; not those it left out while fitting."""
    extra = [name for name in unused if name not in modality.ignored]
    if extra:
        say(f"not used, for the model was fitted without: {', '.join(extra)}")


def open_model(path: Path) -> tuple[Any, AutoEncoder]:
    """Return a saved model, and the fitted auto-encoder in it."""
    model = load(path)
    return model, model.estimator_ if isinstance(model, Job) else model


def _said(given: Given, resizing: str) -> Given:
    set_aside_said(given.rows, resizing)
    for note in getattr(given.rows, "notes", ()):
        say(f"note: {note}")
    return given


def _read_labels(path: Path) -> tuple[list[Any], Rows | None]:
    if path.suffix.lower() == ".npy":
        array = np.load(path, allow_pickle=False)
        return array.reshape(len(array), -1)[:, 0].tolist(), None
    rows = reading.read(path)
    taken = rows.take(slice(None))
    if isinstance(taken, np.ndarray):
        return taken.reshape(len(taken), -1)[:, 0].tolist(), rows
    if taken.width != 1:
        raise ValueError(
            f"{path} has {taken.width} columns ({', '.join(taken.columns[:5])}); "
            "a file of labels has one, under a header."
        )
    return taken.to_series().to_list(), rows


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix
