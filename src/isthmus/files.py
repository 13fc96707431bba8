"""Files that are whole or absent: atomic writes, and reading within bounds."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

__all__ = ["atomic", "digest", "read_json", "read_tensors", "write_json", "write_tensors"]

MAX_JSON = 64 * 2**20


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
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, tree: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic(path) as part:
        part.write_text(json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of at most 64 MiB.

    Raises
    ------
    ValueError
        If it is larger, not JSON, or holds NaN or infinity.
    FileNotFoundError
        If it is not there.
    """
    size = path.stat().st_size
    if size > MAX_JSON:
        raise ValueError(f"{path} has {size} bytes, more than the {MAX_JSON} that such a file may have.")
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({str(error)[:120]}).") from error


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
        If it is no safetensors file, or a damaged one.
    FileNotFoundError
        If it is not there.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: it is no safetensors file ({str(error)[:120]}).") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
