"""How far each cell of each row lies from what the code says of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.estimator import AutoEncoder
from isthmus.jobs.job import choose
from isthmus.module import AutoEncoderModule
from isthmus.rows import Rows

__all__ = ["Cells", "TypicalErrors", "cells_of", "cells_of_stored", "errors_of", "exact"]

CHUNK = 4_096
# Of the typical error, in pseudo-rows: a handful of held-out rows is no measure of a cell.
PRIOR_ROWS = 5
# Below a hundredth of a standard deviation an error is rounding, not a reason for an alarm.
LEAST = 1e-4


class Cells(NamedTuple):
    """Some rows as the network saw them.

    Attributes
    ----------
    start : int
        Position of the first of them.
    batch : Batch
        The rows as the modality keeps them.
    output : Tensor
        The decoder's output.
    expected : ndarray
        ``(b, *p, c)``: what the decoder expects; of a boolean the probability of True, of a
        category the most probable symbol.
    error : ndarray
        ``(b, *p, c)``: the squared difference of a number, in the units of the batch, and
        minus the log-probability of a boolean's or a category's value; 0 where missing.
    observed : ndarray
        ``(b, *p, c)``, bool: where there was a value.
    code : ndarray
        ``(b, q)``: the codes, flattened.
    """

    start: int
    batch: Batch
    output: Tensor
    expected: np.ndarray
    error: np.ndarray
    observed: np.ndarray
    code: np.ndarray


def cells_of(estimator: AutoEncoder, rows: Rows) -> Iterator[Cells]:
    """Yield the cells of rows, piece by piece, so that a folder of images need not fit in memory."""
    modality = estimator.modality_
    dtype = next(estimator.module_.parameters()).dtype
    for begin in range(0, len(rows), CHUNK):
        some = rows
        if len(rows) > CHUNK:
            some = choose(rows, np.arange(begin, min(begin + CHUNK, len(rows))))
        yield from cells_of_stored(estimator, modality.to_batch(some, dtype), begin)


def cells_of_stored(estimator: AutoEncoder, stored: Batch, begin: int = 0) -> Iterator[Cells]:
    """Yield the cells of rows that are stored already, the first of them at position ``begin``."""
    for piece, step in estimator.steps(stored):
        found = (*errors_of(estimator.module_, step.output, step.target), step.code.z.flatten(1).double())
        expected, error, observed, code = (tensor.cpu().numpy() for tensor in found)
        yield Cells(begin + piece.start, stored[piece], step.output.cpu(), expected, error, observed, code)


def exact(estimator: AutoEncoder) -> AutoEncoder:
    """Return an auto-encoder with the same weights that computes in double precision, where it is on a processor.

    Logarithms of small errors hang on the last digits of float32, and these on how many rows are computed at once.
    """
    weight = next(estimator.module_.parameters())
    if weight.device.type != "cpu" or weight.dtype == torch.float64:
        return estimator
    found = copy.copy(estimator)
    found.module_ = copy.deepcopy(estimator.module_).double()
    return found


def errors_of(module: AutoEncoderModule, output: Tensor, target: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return what an output expects of the cells, its errors, and which cells were observed."""
    expected = module.loss.mean(output)
    error = (expected - target.x).square()
    symbols = module.modality.example().get("categories")
    if symbols:
        is_number = torch.tensor([kind == 0 for kind in symbols], device=error.device)
        error = torch.where(is_number, error, module.loss.cells(output, target).to(error))
    observed = torch.ones_like(error, dtype=torch.bool)
    if target.mask is not None:
        mask = target.mask
        observed = mask if mask.shape == error.shape else mask.unsqueeze(-1).expand_as(error)
        error = error.masked_fill(~observed, 0)
    return expected.double(), error.double(), observed


class TypicalErrors:
    """The mean error of each cell over rows that were never trained on.

    Parameters
    ----------
    total : ndarray
        ``(*p, c)``: the summed errors.
    count : ndarray
        ``(*p, c)``: over how many observed cells.

    Notes
    -----
    A cell's mean is drawn towards the mean of all cells with the weight of five rows, and is
    at least 1e-4: a column that the held-out rows reproduce exactly would otherwise turn
    rounding into alarms.
    """

    def __init__(self, total: np.ndarray, count: np.ndarray):
        self.total = total
        self.count = count

    @classmethod
    def measure(cls, estimator: AutoEncoder, rows: Rows) -> TypicalErrors:
        """Return the typical errors of these rows."""
        total, count = 0.0, 0
        for cells in cells_of(estimator, rows):
            total = total + cells.error.sum(0)
            count = count + cells.observed.sum(0)
        return cls(np.asarray(total, np.float64), np.asarray(count, np.float64))

    @cached_property
    def mean(self) -> np.ndarray:
        """The typical error of each cell, ``(*p, c)``."""
        return self._mean(self.total, self.count)

    def scaled(self, cells: Cells, leave_out: bool = False) -> np.ndarray:
        """Return errors as multiples of the typical ones, ``(b, *p, c)``.

        With ``leave_out`` the rows are those that were measured, and each is compared with
        the others alone: what its own error adds to the mean would make it look normal.
        """
        if not leave_out:
            return cells.error / self.mean
        return cells.error / self._mean(self.total - cells.error, self.count - cells.observed)

    def cost(self, cells: Cells, leave_out: bool = False) -> np.ndarray:
        """Return the mean over a row's observed cells of the scaled errors, ``(b,)``; 1 where nothing was observed."""
        seen = cells.observed.reshape(len(cells.error), -1).sum(1)
        sums = self.scaled(cells, leave_out).reshape(len(cells.error), -1).sum(1)
        return np.where(seen > 0, sums / np.maximum(seen, 1), 1.0)

    def _mean(self, total: np.ndarray, count: np.ndarray) -> np.ndarray:
        axes = tuple(range(total.ndim - self.total.ndim, total.ndim))
        overall = total.sum(axes, keepdims=True) / np.maximum(count.sum(axes, keepdims=True), 1)
        return np.maximum((total + PRIOR_ROWS * overall) / (count + PRIOR_ROWS), LEAST)
