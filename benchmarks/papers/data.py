"""The data of the papers, from the folder that ISTHMUS_DATA names."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np

from benchmarks.harness import Missing
from isthmus.reading import read

__all__ = ["fashion", "folder", "idx", "mnist"]


def folder(name: str) -> Path:
    """Return the folder of a data set.

    Raises
    ------
    Missing
        If ISTHMUS_DATA is not set, or has no such folder.
    """
    root = os.environ.get("ISTHMUS_DATA")
    if not root:
        raise Missing("set ISTHMUS_DATA to the folder of data sets")
    path = Path(root) / name
    if not path.is_dir():
        raise Missing(f"the folder of ISTHMUS_DATA has no {name}")
    return path


def mnist(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return ``uint8`` images ``(n, 28, 28)`` and ``int64`` labels of 'train' (60,000) or 'test' (10,000)."""
    stem, path = "t10k" if part == "test" else "train", folder("mnist")
    return read(path / f"{stem}-images-idx3-ubyte.gz").take(slice(None)), idx(path / f"{stem}-labels-idx1-ubyte.gz")


def fashion(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of Fashion-MNIST, as :func:`mnist` does."""
    stem, path = "t10k" if part == "test" else "train", folder("fashion_mnist")
    files = sorted(path.glob(f"{stem}-images-idx3-ubyte*.gz"))
    return np.concatenate([read(file).take(slice(None)) for file in files]), idx(path / f"{stem}-labels-idx1-ubyte.gz")


def idx(path: Path) -> np.ndarray:
    """Return the labels of an idx file, which has one dimension."""
    data = gzip.decompress(path.read_bytes())
    return np.frombuffer(data, np.uint8, offset=8).astype(np.int64)
