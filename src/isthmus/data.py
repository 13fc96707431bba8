"""Stored examples for the loop: all in memory, or loaded as they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.part import Part
from isthmus.rows import ArrayRows, FrameRows, Rows

__all__ = ["Resident", "Streamed", "blocks", "load"]

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

    def __init__(self, rows: Rows, modality: Part, dtype: torch.dtype):
        self._rows, self._modality, self._dtype = rows, modality, dtype

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, index: Tensor) -> Batch:
        """Return the examples at these positions."""
        chosen = _Chosen(self._rows, index.numpy())
        return self._modality.to_batch(chosen, self._dtype)


class _Chosen:
    """Some of the rows, in a given order."""

    def __init__(self, rows: Rows, index):
        self._rows, self._index = rows, index
        self.set_aside = ()

    def __len__(self) -> int:
        return len(self._index)

    def take(self, index):
        return self._rows.take(self._index[index])


def load(rows: Rows, modality: Part, dtype: torch.dtype, device: str = "cpu") -> Resident | Streamed:
    """Return rows as examples: resident, unless they take more than half of the free memory.

    A large array is not copied either where the arithmetic runs on the processor: what its
    rows become is made anew for every block, which costs no more time than gathering them.
    """
    expected = _bytes_per_row(rows, modality, dtype) * len(rows)
    at_hand = device == "cpu" and isinstance(rows, ArrayRows)
    if expected > (COPY_BYTES if at_hand else _free_memory() // 2):
        return Streamed(rows, modality, dtype)
    return Resident(modality.to_batch(rows, dtype))


def blocks(rows: Rows, modality: Part, dtype: torch.dtype) -> Iterator[Batch]:
    """Yield rows as batches: at once if they are in memory already, else some 64 MiB at a time."""
    loaded = isinstance(rows, FrameRows) or (isinstance(rows, ArrayRows) and not isinstance(rows.array, np.memmap))
    if loaded:
        yield modality.to_batch(rows, dtype)
        return
    size = max(1, int(BLOCK_BYTES / _bytes_per_row(rows, modality, dtype)))
    for begin in range(0, len(rows), size):
        yield modality.to_batch(_Chosen(rows, np.arange(begin, min(begin + size, len(rows)))), dtype)


def _bytes_per_row(rows: Rows, modality: Part, dtype: torch.dtype) -> float:
    probe = modality.to_batch(_Chosen(rows, np.arange(min(PROBE, len(rows)))), dtype)
    return max(1.0, probe.nbytes / len(probe))


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
