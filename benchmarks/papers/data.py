"""The data of the papers, from the folder that ISTHMUS_DATA names."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.harness import Missing

__all__ = ["fashion", "flat", "folder", "idx", "mnist", "pca_error", "squared_error"]


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
    images, labels = (idx(path / f"{stem}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return images, labels.astype(np.int64)


def fashion(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of Fashion-MNIST, as :func:`mnist` does."""
    stem, path = "t10k" if part == "test" else "train", folder("fashion_mnist")
    files = sorted(path.glob(f"{stem}-images-idx3-ubyte*.gz"))
    labels = idx(path / f"{stem}-labels-idx1-ubyte.gz")
    return np.concatenate([idx(file) for file in files]), labels.astype(np.int64)


def idx(path: Path) -> np.ndarray:
    """Return what a packed idx file of bytes holds; these files are known, and their names are not idx's own."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def flat(images: np.ndarray) -> np.ndarray:
    """Return ``uint8`` images as rows of numbers between 0 and 1."""
    return images.reshape(len(images), -1) / 255


def squared_error(given: np.ndarray, wanted: np.ndarray) -> float:
    """Return the sum of squares over a row, averaged over the rows: Hinton and Salakhutdinov's error."""
    return float(np.mean(np.sum(np.square(given - wanted), 1)))


def pca_error(train: np.ndarray, test: np.ndarray, size: int) -> float:
    """Return the error of test rows through the principal components of training rows."""
    pca = PCA(size, svd_solver="covariance_eigh").fit(train)
    return squared_error(pca.inverse_transform(pca.transform(test)), test)
