"""Files that are whole or absent: atomic writes, and reading within bounds."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

__all__ = [
    "atomic",
    "atomic_folder",
    "check_regular",
    "digest",
    "read_json",
    "read_tensors",
    "write_json",
    "write_tensors",
]

MAX_JSON = 16 * 2**20
MAX_ITEMS = 1_000_000
MAX_HEADER = 16 * 2**20


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there becomes ``path`` at the end, or nothing does.

    Examples
    --------
    >>> with atomic(Path("figure.txt")) as part:  # doctest: +SKIP
    ...     part.write_text("whole")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers choose a format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _to_disk(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes ``path`` at the end, or nothing does.

    A folder that is there already gives way only then. Entries of it that the new one does
    not have are moved over: nobody's file is lost.

    Examples
    --------
    >>> with atomic_folder(Path("model")) as part:  # doctest: +SKIP
    ...     (part / "model.json").write_text("{}")
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield part
        for file in part.iterdir():
            _to_disk(file)
        part.chmod(0o777 & ~_umask())
        if path.exists():
            _exchange(part, path)
        else:
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_regular(path: Path) -> None:
    """Refuse what is no plain file: a folder, a link, a pipe, a device.

    Raises
    ------
    ValueError
        If it is one of these.
    FileNotFoundError
        If it is not there.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path} is no plain file; links, folders and pipes are not read. Put the file itself there.")


def write_json(path: Path, tree: Any) -> None:
    """Write a JSON file that :func:`read_json` can read, whole or not at all.

    Raises
    ------
    ValueError
        If it holds NaN or infinity, or is larger than what :func:`read_json` reads.
    """
    text = json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False)
    # A lone surrogate (from a file's name that is not UTF-8) becomes its JSON escape.
    data = text.encode("utf-8", errors="backslashreplace")
    _check_json_size(data, path)
    with atomic(path) as part:
        part.write_bytes(data)


def read_json(path: Path) -> Any:
    """Read a JSON file of at most 16 MiB and a million values.

    Raises
    ------
    ValueError
        If it is larger, no plain file, not JSON, or holds a number that is not finite or
        has more than 64 bits.
    FileNotFoundError
        If it is not there.
    """
    check_regular(path)
    with path.open("rb") as opened:
        data = opened.read(MAX_JSON + 1)
    _check_json_size(data, path)
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole_number
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged: it is not JSON ({_start(error)}). Make it again, or copy it whole from where it came."
        ) from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic(path) as part:
        safetensors.torch.save_file(plain, str(part), metadata)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file and its metadata; memory is bounded by the file's size.

    Raises
    ------
    ValueError
        If it is no plain file, no safetensors file, or a damaged one.
    FileNotFoundError
        If it is not there.
    """
    check_regular(path)
    try:
        _check_header(path)
        with safetensors.safe_open(str(path), framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged: it is no safetensors file ({_start(error)}). "
            "Make it again, or copy it whole from where it came."
        ) from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_json_size(data: bytes, path: Path) -> None:
    if len(data) > MAX_JSON:
        raise ValueError(f"{path} has more than the {MAX_JSON} bytes that such a file may have.")
    # Each of these takes a hundred times its bytes in memory: counted before they are made.
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_ITEMS:
        raise ValueError(f"{path} has more than the {MAX_ITEMS} values that such a file may have.")


def _check_header(path: Path) -> None:
    """Refuse a header so long that parsing it would take all memory; the format allows 100 MB."""
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
    if length > min(MAX_HEADER, path.stat().st_size - 8):
        raise ValueError(f"its header claims {length} bytes")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole_number(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def _start(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _exchange(new: Path, path: Path) -> None:
    """Put ``new`` where the folder ``path`` is, and into it what only the old folder has."""
    old = new.with_name(f"{new.name}-old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    for entry in old.iterdir():
        if not os.path.lexists(path / entry.name):
            entry.rename(path / entry.name)
    shutil.rmtree(old, ignore_errors=True)


def _to_disk(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
