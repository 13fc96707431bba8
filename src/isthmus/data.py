"""Stored examples for the loop: all in memory, or loaded as they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.part import Part
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows

__all__ = ["Resident", "Streamed", "blocks", "gathered", "joined", "label_codes", "load"]

PROBE = 32
BLOCK_BYTES = 2**26
COPY_BYTES = 2**26


class Resident:
    """Examples held as one batch: a mini-batch is a slice of a gathered block."""

    def __init__(self, batch: Batch):
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch)

    def take(self, index: Tensor) -> Batch:
        """Return the examples at these positions."""
        return self.batch.take(index)


class Streamed:
    """Examples that a modality makes from rows whenever they are asked for."""

    def __init__(self, rows: Rows, modality: Part, dtype: torch.dtype, labels: Tensor | None = None):
        self._rows, self._modality, self._dtype, self._labels = rows, modality, dtype, labels

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, index: Tensor) -> Batch:
        """Return the examples at these positions."""
        chosen = _Chosen(self._rows, index.numpy())
        batch = self._modality.to_batch(chosen, self._dtype)
        return batch if self._labels is None else replace(batch, condition=self._labels[index])


class _Chosen:
    """Some of the rows, in a given order."""

    def __init__(self, rows: Rows, index):
        self._rows, self._index = rows, index
        self.set_aside = ()

    def __len__(self) -> int:
        return len(self._index)

    def take(self, index):
        return self._rows.take(self._index[index])


def load(
    rows: Rows, modality: Part, dtype: torch.dtype, device: str = "cpu", labels: Tensor | None = None
) -> Resident | Streamed:
    """Return rows as examples: resident, unless they take more than half of the free memory.

    A large array (or series end to end) is not copied either where the arithmetic runs on the processor: what its
    rows become is made anew for every block, which costs no more time than gathering them.
    """
    expected = _bytes_per_row(rows, modality, dtype) * len(rows)
    at_hand = device == "cpu" and isinstance(rows, ArrayRows | SequenceRows)
    if expected > (COPY_BYTES if at_hand else _free_memory() // 2):
        return Streamed(rows, modality, dtype, labels)
    batch = modality.to_batch(rows, dtype)
    return Resident(batch if labels is None else replace(batch, condition=labels))


def blocks(rows: Rows, modality: Part, dtype: torch.dtype) -> Iterator[Batch]:
    """Yield rows as batches: at once if they are in memory already, else some 64 MiB at a time."""
    loaded = isinstance(rows, FrameRows) or (isinstance(rows, ArrayRows) and not isinstance(rows.array, np.memmap))
    if loaded:
        yield modality.to_batch(rows, dtype)
        return
    size = max(1, int(BLOCK_BYTES / _bytes_per_row(rows, modality, dtype)))
    for begin in range(0, len(rows), size):
        yield modality.to_batch(_Chosen(rows, np.arange(begin, min(begin + size, len(rows)))), dtype)


def gathered(modality: Part, rows: Rows) -> Rows:
    """Return rows as a modality counts them: for one that gathers, a row may be many records of a table."""
    return modality.gather(rows) if hasattr(modality, "gather") else rows


def joined(pieces: list[Any], rows: Rows | None = None) -> Any:
    """Return pieces of rows as one; with the rows that they were made from, series as long as theirs."""
    if len(pieces) == 1:
        whole = pieces[0]
    elif isinstance(pieces[0], np.ndarray):
        whole = np.concatenate(pieces)
    elif isinstance(pieces[0], pl.DataFrame):
        whole = pl.concat(pieces)
    else:
        whole = [one for piece in pieces for one in piece]
    if isinstance(rows, SequenceRows):
        return [series[:steps] for series, steps in zip(whole, rows.lengths.tolist(), strict=True)]
    return whole


def label_codes(y: Any, n: int, classes: np.ndarray | None = None) -> tuple[np.ndarray, Tensor]:
    """Return the classes of labels, and each label's position among them, ``(n,)`` ``int64``.

    Parameters
    ----------
    y : array-like of n labels
        Texts, whole numbers or booleans; None, NaN and the number -1 stand for 'not known'
        (scikit-learn's sign for it), whose position is -1.
    n : int
        Rows.
    classes : ndarray, optional
        Those of an earlier call; by default those found, sorted.

    Raises
    ------
    ValueError
        If there are no labels, too few or too many, or one is not of ``classes``.
    """
    if y is None:
        raise ValueError("a part of this auto-encoder needs labels, got none: call fit(X, y), -1 where unknown.")
    labels = pl.Series(np.asarray(y).tolist(), strict=False) if np.ndim(y) == 1 else None
    if labels is None or len(labels) != n:
        raise ValueError(f"y must be one label for each of {n} rows, got shape {np.shape(y)}.")
    if labels.dtype.is_float():
        labels = labels.fill_nan(None)
    known = labels.is_not_null() & (labels != -1 if labels.dtype.is_numeric() else True)
    found = labels.filter(known).unique().sort().to_numpy()
    classes = found if classes is None else classes
    if not len(classes) or not np.isin(found, classes).all():
        raise ValueError(f"labels must be of the classes {list(classes)[:10]}, got {list(found)[:10]}.")
    codes = np.full(n, -1, dtype=np.int64)
    codes[known.to_numpy()] = np.searchsorted(classes, labels.filter(known).to_numpy())
    return classes, torch.from_numpy(codes)


def _bytes_per_row(rows: Rows, modality: Part, dtype: torch.dtype) -> float:
    probe = modality.to_batch(_Chosen(rows, np.arange(min(PROBE, len(rows)))), dtype)
    return max(1.0, probe.nbytes / len(probe))


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
