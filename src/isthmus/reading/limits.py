"""Bounds on what a file may ask of the machine."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

__all__ = ["check_memory", "read_bytes"]

# Deflate cannot pack more than this many bytes into one (zlib's technical notes).
DEFLATE_RATIO = 1_032


def check_memory(path: Path, needed: int) -> None:
    """Raise ValueError if this many bytes are more than half of the machine's memory."""
    most = memory() // 2
    if needed > most:
        raise ValueError(
            f"{path} unpacks to {needed / 2**30:.1f} GiB, more than half of this machine's memory "
            f"({most / 2**30:.1f} GiB); split it, or save it as .npy, which is read as needed."
        )


def read_bytes(path: Path) -> bytes:
    """Return what a file holds, unpacked if its name ends in .gz.

    Raises
    ------
    ValueError
        If it is a damaged .gz file, or would take more than half of the memory.
    """
    size = path.stat().st_size
    if path.suffix.lower() != ".gz":
        check_memory(path, size)
        return path.read_bytes()
    most = min(memory() // 2, DEFLATE_RATIO * size + 1_024)
    try:
        with gzip.open(path) as opened:
            data = opened.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it is no whole gzip file ({str(error)[:80]}).") from error
    check_memory(path, len(data))
    return data


def memory() -> int:
    """Return the bytes of memory this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
