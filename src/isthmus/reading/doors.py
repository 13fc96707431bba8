"""The two doors between files and rows: read and write."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from isthmus.files import atomic
from isthmus.reading import arrays, series, tables
from isthmus.reading.folders import SUFFIXES, ImageFolder
from isthmus.rows import FrameRows, Rows, SequenceRows, as_rows

__all__ = ["LINES", "TEXT", "kind_of", "read", "write"]

logger = logging.getLogger(__name__)

TEXT = (".csv", ".tsv", ".txt")
LINES = (".jsonl", ".ndjson")
READABLE = (
    "a table (.csv, .tsv, .txt, .parquet, .jsonl), an array (.npy, .npz, .idx, MNIST's -idx3-ubyte), any of the text "
    f"and idx ones packed as .gz, an image ({', '.join(sorted(SUFFIXES))}), or a folder of images"
)
IDX = re.compile(r"[.-]idx\d?(-ubyte)?$")
WRITTEN = re.compile(r"\d+\.png")


def read(
    path: str | Path,
    *,
    schema: Sequence[Mapping[str, Any]] | Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    are_series: bool = False,
) -> Rows:
    r"""Return the rows of a file or a folder of images.

    Parameters
    ----------
    path : str or Path
        A table (.csv, .tsv or .txt with a header, .parquet, .jsonl), an array (.npy, .npz,
        MNIST's idx), series (.npz with ``values`` and ``offsets``, or with one array a
        series), an image, or a folder of images. Text and idx may be packed as .gz.
    schema : sequence of dict or of int, optional
        What a model was fitted on: the ``columns`` of its
        :class:`~isthmus.modalities.Tables`, or the ``shape`` of its
        :class:`~isthmus.modalities.Images`. Cells are read as the fitted types; what does
        not fit is set aside. By default types, sizes and colours are inferred.
    size : tuple of int, optional
        Height and width to resize images to; by default images that are not of the most
        frequent size are set aside.
    are_series : bool, default=False
        Whether an array ``(n, t, channels)`` holds series, in which NaN is a missing value,
        rather than images.

    Returns
    -------
    Rows
        What was not usable is in ``set_aside``, with where it stood and why. Tables also
        have ``lines``: for text the line of the file on which each row begins (the first is
        1), else the row's position (the first is 0).

    Raises
    ------
    ValueError
        If the file is of no known kind, empty, damaged, or no row of it can be used.
    FileNotFoundError
        If there is none.

    Notes
    -----
    Text is UTF-8, separated by a comma, semicolon, tab or ``|``. Spaces around a cell do not
    count. Missing cells are empty or one of NA, N/A, n/a, NaN, nan, null, NULL, None, ``?``.
    Types are inferred over the whole file: integers, numbers, true and false, ISO dates and
    date-times, else text. A column of at least 50 filled cells of which 99 % are numbers (or
    dates) is one of numbers; rows with another cell in it are set aside, and so are rows
    with an infinite number and lines with too many or too few fields.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "heights.csv"
    >>> _ = path.write_text("name,height\nAda,1.65\nAlan\nGrace,NA\n")
    >>> rows = read(path)
    >>> rows.take(slice(None)).rows(), rows.lines.tolist()
    ([('Ada', 1.65), ('Grace', None)], [2, 4])
    >>> rows.set_aside
    [SetAside(where='line 3', why='1 field where the header has 2')]
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}.")
    rows = _read(path, schema, size, are_series)
    if rows.set_aside:
        first = rows.set_aside[0]
        logger.warning(
            "%s: %d of %d rows set aside; the first: %s: %s",
            path,
            len(rows.set_aside),
            len(rows) + len(rows.set_aside),
            first.where,
            first.why,
        )
    return rows


def _read(path: Path, schema: Any, size: tuple[int, int] | None, are_series: bool) -> Rows:
    kind, packed = kind_of(path)
    if path.is_dir() or kind in SUFFIXES:
        shape = None if schema is None else _shape(schema)
        return ImageFolder(path, size=size, shape=shape)
    columns = None if schema is None or kind in (".npy", ".npz", "idx") else _columns(schema)
    if kind in TEXT:
        return tables.read_text(path, columns)
    if kind in LINES:
        return tables.read_lines(path, columns)
    if kind == ".parquet" and not packed:
        return tables.read_parquet(path, columns)
    if kind in (".npy", ".npz") and not packed:
        return (arrays.read_npy if kind == ".npy" else arrays.read_npz)(path, are_series)
    if kind == "idx":
        return arrays.read_idx(path)
    raise ValueError(f"{path} is of no kind that can be read, which are: {READABLE}.")


def kind_of(path: Path) -> tuple[str, bool]:
    """Return the kind of file that a name says, and whether it is packed."""
    name = path.name.lower()
    packed = name.endswith(".gz")
    name = name.removesuffix(".gz")
    return "idx" if IDX.search(name) else Path(name).suffix, packed


def _columns(schema: Any) -> Sequence[Mapping[str, Any]]:
    if not all(isinstance(column, Mapping) for column in schema):
        raise ValueError("the model was fitted on images, got a table; give it a folder of images or an array.")
    return schema


def _shape(schema: Any) -> tuple[int, int, int]:
    if len(schema) != 3 or not all(isinstance(side, int) for side in schema):
        raise ValueError("the model was fitted on a table, got images; give it a .csv, .parquet or .jsonl file.")
    return tuple(schema)


def write(path: str | Path, rows: Any, *, names: Sequence[str] | None = None) -> None:
    """Write rows to a file, or images to a folder: whole, or not at all.

    Parameters
    ----------
    path : str or Path
        For a table: .csv, .tsv, .jsonl, .parquet or .npy. For series: .npz (``values`` and
        ``offsets``), or a table of one record a step. For images: .npy, or a folder
        (a name without a suffix), which gets one PNG an image, called by its position.
    rows : Rows, array or data frame
        A table, a list of series, or images of values 0 to 255, or of floating-point values 0 to 1.
    names : sequence of str, optional
        For a folder of images, the path in it of each, without ``.png``; all different. By
        default they are called by their positions.

    Raises
    ------
    ValueError
        If rows of this kind cannot be written so, or the folder holds anything else than
        what an earlier call wrote.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "codes.csv"
    >>> write(path, np.eye(2))
    >>> path.read_text().splitlines()
    ['x0,x1', '1.0,0.0', '0.0,1.0']
    """
    path, rows = Path(path), as_rows(rows)
    suffix = path.suffix.lower()
    if isinstance(rows, SequenceRows):
        return _write_series(path, suffix, rows)
    if not isinstance(rows, FrameRows):
        probe = np.asarray(rows.take(slice(0, 1)))
        if probe.ndim > 2 and suffix == "":
            return _write_images(path, rows, names)
        if suffix == ".npy":
            return _write_npy(path, np.asarray(rows.take(slice(None))))
        if probe.ndim > 2:
            raise ValueError(f"images are written to a folder (a name without a suffix) or as .npy, got {path}.")
    _write_table(path, suffix, _frame(rows))
    return None


def _frame(rows: Rows) -> pl.DataFrame:
    taken = rows.take(slice(None))
    if isinstance(taken, np.ndarray):
        return pl.DataFrame({f"x{i}": np.ascontiguousarray(taken[:, i]) for i in range(taken.shape[1])})
    return taken


def _write_table(path: Path, suffix: str, frame: pl.DataFrame) -> None:
    if suffix == ".npy":
        if not all(dtype.is_numeric() or dtype == pl.Boolean for dtype in frame.dtypes):
            raise ValueError(f"{path} can hold numbers alone; write a table with text or dates as .csv or .parquet.")
        return _write_npy(path, frame.to_numpy())
    writers = {
        ".csv": frame.write_csv,
        ".tsv": lambda part: frame.write_csv(part, separator="\t"),
        ".jsonl": frame.write_ndjson,
        ".parquet": frame.write_parquet,
    }
    if suffix not in writers:
        raise ValueError(f"a table is written as {', '.join(writers)} or .npy, got {path}.")
    with atomic(path) as part:
        writers[suffix](part)
    return None


def _write_series(path: Path, suffix: str, rows: SequenceRows) -> None:
    if suffix == ".npz":
        values = rows.values[:, 0] if rows.is_flat else rows.values
        with atomic(path) as part, part.open("wb") as opened:
            np.savez_compressed(opened, values=values, offsets=rows.offsets)
        return
    if suffix == ".npy":
        raise ValueError(f"{path} cannot hold series of different lengths; write .npz, or a table such as .csv.")
    _write_table(path, suffix, series.to_table(rows))


def _write_npy(path: Path, array: np.ndarray) -> None:
    with atomic(path) as part, part.open("wb") as opened:
        np.save(opened, array, allow_pickle=False)


def _write_images(path: Path, rows: Rows, names: Sequence[str] | None) -> None:
    # Images of given names may be somebody's own: only those called by positions are replaced.
    ours = path.is_dir() and all(names is None and WRITTEN.fullmatch(file.name) for file in path.iterdir())
    if path.exists() and not ours:
        raise ValueError(f"{path} is there and holds other things; name a folder that is not, or an empty one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        digits = max(4, len(str(len(rows) - 1)))
        for i in range(len(rows)):
            pixels = _bytes(np.asarray(rows.take(slice(i, i + 1)))[0], i)
            file = part / f"{f'{i:0{digits}}' if names is None else names[i]}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        part.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _bytes(image: np.ndarray, position: int) -> np.ndarray:
    """Return an image as a PNG holds it: ``uint8``, no channel axis if grey."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] not in (3, 4):
        raise ValueError(f"image {position} has {image.shape[2]} channels; PNG holds 1, 3 or 4. Write .npy instead.")
    most = 1 if image.dtype.kind in "fb" else 255
    if not (image.min() >= 0 and image.max() <= most):
        raise ValueError(
            f"image {position} has values from {image.min()} to {image.max()}, PNG holds 0 to {most} "
            f"for {image.dtype}; bring them there, or write .npy."
        )
    return np.rint(image * 255.0).astype(np.uint8) if most == 1 else image.astype(np.uint8)
