"""Arrays in files: .npy, .npz, and the idx format of MNIST."""

from __future__ import annotations

import gzip
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from isthmus.reading.limits import DEFLATE_RATIO, check_memory
from isthmus.reading.series import from_pieces, from_values
from isthmus.rows import ArrayRows, Rows, SetAside, as_rows

__all__ = ["read_idx", "read_npy", "read_npz"]

KNOWN = ("X", "x", "images", "arr_0")
RAGGED = {"values", "offsets"}
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CHUNK_BYTES = 2**24
# What numpy and zipfile raise on files that are damaged or lie about their lengths.
DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    OverflowError,
    # What numpy lets through from reading the text of an .npy header.
    SyntaxError,
    tokenize.TokenError,
    SyntaxError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npy(path: Path, are_series: bool = False) -> Rows:
    """Return the rows of a .npy file, which is mapped, not loaded; of series, a value may be missing (NaN)."""
    with _damage_said(path, "no .npy file of numbers"):
        array = np.lib.format.open_memmap(path, mode="r")
    return _rows(path, array, are_series)


def read_npz(path: Path, are_series: bool = False) -> Rows:
    """Return the rows of a .npz file.

    They are its one array, or the one called X, x, images or arr_0. Series of different
    lengths are ``values``, end to end, and ``offsets``, where each begins and, last, where
    all end; or arrays without names (``np.savez(path, *series)``), one a series, that are no
    table and its labels.
    """
    with _damage_said(path, "no .npz file of numbers"), zipfile.ZipFile(path) as opened:
        sizes = {member.filename: member.file_size for member in opened.infolist() if member.filename.endswith(".npy")}
    names = [name.removesuffix(".npy") for name in sizes]
    pieces = _series_of(path, names, sizes)
    if pieces:
        with _damage_said(path, "no .npz file of series"):
            return from_values(*pieces) if set(names) >= RAGGED else from_pieces(pieces)
    chosen = [name for name in KNOWN if name in names] or names
    if not chosen:
        raise ValueError(f"{path} holds no array.")
    if len(chosen) > 1 and chosen[0] not in KNOWN:
        raise ValueError(
            f"{path} holds {len(chosen)} arrays ({', '.join(chosen)[:80]}); call the rows one of "
            f"{', '.join(KNOWN)}, or save them alone."
        )
    member = f"{chosen[0]}.npy"
    check_memory(path, sizes[member])
    with _damage_said(path, "no .npz file of numbers"), zipfile.ZipFile(path) as opened:
        array = _member(opened, member, sizes[member])
    return _rows(path, array, are_series)


def _series_of(path: Path, names: list[str], sizes: dict[str, int]) -> list[np.ndarray]:
    """Return the arrays of series: values and offsets, or those without names; empty if they are none."""
    if set(names) >= RAGGED:
        wanted = ["values", "offsets"]
    elif len(names) > 1 and set(names) == {f"arr_{i}" for i in range(len(names))}:
        wanted = [f"arr_{i}" for i in range(len(names))]
    else:
        return []
    check_memory(path, sum(sizes[f"{name}.npy"] for name in wanted))
    with _damage_said(path, "no .npz file of numbers"), zipfile.ZipFile(path) as opened:
        arrays = [_member(opened, f"{name}.npy", sizes[f"{name}.npy"]) for name in wanted]
    # Rows and their labels have two ranks, or as many rows as labels.
    alike = len({array.ndim for array in arrays}) == 1 and arrays[0].ndim in (1, 2)
    return arrays if wanted[0] == "values" or (alike and len({len(array) for array in arrays}) > 1) else []


def _member(opened: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    readers: dict[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with opened.open(name) as member:
        version = np.lib.format.read_magic(member)
        if version not in readers:
            raise ValueError(f"version {version} of the format is not known")
        shape, _, dtype = readers[version](member)
        # numpy reserves what the header says before it reads.
        if math.prod(shape) * dtype.itemsize > size:
            raise ValueError(f"{name} says its shape is {str(shape)[:40]}, and has {size} bytes")
    with opened.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def read_idx(path: Path) -> Rows:
    """Return the rows of an idx file, packed or not.

    The format: two zero bytes, a type, the number of dimensions, each length as 4 bytes,
    big-endian, and the values (http://yann.lecun.com/exdb/mnist/).
    """
    packed = path.suffix.lower() == ".gz"
    stored = path.stat().st_size
    most = DEFLATE_RATIO * stored + 1_024 if packed else stored
    with _damage_said(path, "no whole idx file", (OSError, EOFError, zlib.error)):  # noqa: SIM117
        with gzip.open(path) if packed else path.open("rb") as opened:
            array = _idx(path, opened, most)
    return _rows(path, array)


def _idx(path: Path, opened: IO[bytes], most: int) -> np.ndarray:
    head = opened.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
        raise ValueError(f"{path} is no idx file: it begins with {head.hex(' ') or 'nothing'}.")
    dtype = np.dtype(IDX_TYPES[head[2]])
    lengths = opened.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise ValueError(f"{path} is damaged: it ends within its header.")
    shape = np.frombuffer(lengths, ">u4").astype(int).tolist()
    needed = math.prod(shape) * dtype.itemsize
    if needed <= most:
        check_memory(path, needed)
        data = opened.read(needed + 1)
    if needed > most or len(data) != needed:
        got = "fewer" if needed > most or len(data) < needed else "more"
        raise ValueError(f"{path} is damaged: it says its shape is {shape}, and holds {got} bytes than that.")
    return np.frombuffer(data, dtype).reshape(shape)


def _rows(path: Path, array: np.ndarray, are_series: bool = False) -> Rows:
    """Return an array as rows, without the rows that are not finite."""
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        hint = " Reshape one column of values to (n, 1)." if array.ndim == 1 and len(array) else ""
        raise ValueError(
            f"{path} holds an array of shape {array.shape}, expected (n, columns) for a table or "
            f"(n, height, width[, channels]) for images, with at least one row.{hint}"
        )
    if array.dtype.kind in "US" and array.ndim == 2:
        return as_rows(np.asarray(array))
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {array.dtype}, expected numbers. Write such a table as .csv or .parquet.")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    may_miss = array.ndim == 2 or are_series
    bad = _not_finite(array, may_miss)
    if not bad.any():
        return ArrayRows(array)
    why = "infinity" if may_miss else "a pixel that is not finite"
    aside = [SetAside(f"row {i} (the first is 0)", why) for i in np.flatnonzero(bad)]
    if bad.all():
        raise ValueError(f"{path} has no row that can be used: each holds {why}.")
    return ArrayRows(array[~bad], aside, np.flatnonzero(~bad))


def _not_finite(array: np.ndarray, may_miss: bool) -> np.ndarray:
    """Return which rows hold infinity, or, where none may miss, NaN; in pieces, for mapped files."""
    bad = np.zeros(len(array), bool)
    if array.dtype.kind != "f":
        return bad
    test = np.isinf if may_miss else lambda piece: ~np.isfinite(piece)
    step = max(1, CHUNK_BYTES // array[0].nbytes)
    for begin in range(0, len(array), step):
        piece = array[begin : begin + step]
        bad[begin : begin + step] = test(piece).reshape(len(piece), -1).any(1)
    return bad


@contextmanager
def _damage_said(path: Path, what: str, errors: tuple[type[Exception], ...] = DAMAGED) -> Iterator[None]:
    """Turn what a reader of foreign bytes raises into one line that names the file."""
    try:
        yield
    except errors as error:
        said = " ".join(str(error).split())[:120]
        raise ValueError(f"{path} is damaged, or {what} ({said}).") from error
