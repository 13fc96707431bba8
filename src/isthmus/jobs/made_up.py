"""Anomalies made up of normal rows: what a detector is tried on where nobody knows a real one."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.estimator import AutoEncoder

__all__ = ["made_up"]

# Standard deviations; and a share of all ranks.
NOISE, NEAR_RANK = 0.1, 0.02
# Columns that vary less do not vary.
EQUAL = 1e-6


def made_up(estimator: AutoEncoder, stored: Batch, reference: Batch, seed: int) -> dict[str, Batch]:
    """Return rows of a table that nobody should take for normal, by what is wrong with them.

    Parameters
    ----------
    estimator : AutoEncoder
        Knows which columns are numbers.
    stored : Batch
        Normal rows, as stored.
    reference : Batch
        More of them.
    seed : int
        Of all choices.

    Returns
    -------
    dict of str to Batch
        ``swapped``: one cell is that of another row. ``noisy``: to each number a tenth of a standard
        deviation is added, times a normal number; a value that comes more than once gives way to one of
        a near rank instead, or what is off the grid would be found by that alone.
        ``between``: numbers are half way between those of two rows, other cells are the first
        one's. ``outside``: one number is a standard deviation beyond all that are in ``reference``, or 1
        where they are all equal. The last three are left out where there are no numbers.
    """
    random = torch.Generator().manual_seed(seed)
    n, columns = stored.x.shape
    kinds = estimator.modality_.example().get("categories") or [0] * columns
    is_number = torch.tensor([kind == 0 for kind in kinds])

    def some() -> Batch:
        return reference[torch.randint(len(reference), (n,), generator=random)]

    donor, every = some(), torch.arange(columns)
    found = {"swapped": _with_a_cell(stored, donor, _one_of(every, n, columns, random))}
    if is_number.any():
        noisy = _noisy(stored.x, reference.x, random)
        found["noisy"] = Batch(torch.where(is_number, noisy, stored.x), stored.mask)
        first, second = some(), some()
        mask = None if first.mask is None or second.mask is None else first.mask & (second.mask | ~is_number)
        found["between"] = Batch(torch.where(is_number, (first.x + second.x) / 2, first.x), mask)
        beyond = Batch(_beyond(reference.x, n, random), None if mask is None else torch.ones_like(mask))
        found["outside"] = _with_a_cell(stored, beyond, _one_of(every[is_number], n, columns, random))
    return found


def _one_of(which: Tensor, n: int, columns: int, random: torch.Generator) -> Tensor:
    """Return a true cell in each row, in one of those columns."""
    hit = torch.zeros(n, columns, dtype=torch.bool)
    hit[torch.arange(n), which[torch.randint(len(which), (n,), generator=random)]] = True
    return hit


def _with_a_cell(rows: Batch, others: Batch, hit: Tensor) -> Batch:
    """Return rows with some cells of others."""
    mask = None
    if rows.mask is not None and others.mask is not None:
        mask = torch.where(hit, others.mask, rows.mask)
    return Batch(torch.where(hit, others.x, rows.x), mask)


def _beyond(reference: Tensor, n: int, random: torch.Generator) -> Tensor:
    """Return cells that are a standard deviation above or below all of the reference."""
    spread = reference.std(0, correction=0)
    spread = torch.where(spread > EQUAL, spread, torch.ones_like(spread))
    is_above = torch.rand(n, reference.shape[1], generator=random) < 0.5
    return torch.where(is_above, reference.amax(0) + spread, reference.amin(0) - spread)


def _noisy(x: Tensor, reference: Tensor, random: torch.Generator) -> Tensor:
    """Return cells with a little noise, or of a near rank where they come more than once."""
    noisy = x + NOISE * torch.randn(x.shape, generator=random, dtype=x.dtype)
    for column in range(x.shape[1]):
        values, known = x[:, column].contiguous(), reference[:, column].sort().values
        first, last = (torch.searchsorted(known, values, right=right) for right in (False, True))
        near = _near_rank(first, last, known, random)
        noisy[:, column] = torch.where(last - first > 1, near, noisy[:, column])
    return noisy


def _near_rank(first: Tensor, last: Tensor, known: Tensor, random: torch.Generator) -> Tensor:
    """Return known values whose ranks are a few hundredths of all from between ``first`` and ``last``."""
    rank = first + (torch.rand(len(first), generator=random) * (last - first + 1)).long()
    moved = rank + (torch.randn(len(first), generator=random) * NEAR_RANK * len(known)).round().long()
    return known[moved.clamp(0, len(known) - 1)]
