"""From raw cells of a table to what the network reads, as tensors alone: the same as ``Tables.to_batch``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.modalities import Tables
from isthmus.modalities.columns import LIMIT, NEVER_SEEN

__all__ = ["MISSING", "Matrix", "Preparation"]

# The symbol of a category's cell that is missing.
MISSING = -1
SECONDS, MICROSECONDS = 86_400.0, 1e6
# Above this v + sqrt(v^2 + 1) is 2 v, and the square of v may overflow.
STRAIGHT = 1e8


class Preparation(nn.Module):
    """Encode cells: numbers in standard deviations, categories as their ranks.

    Parameters
    ----------
    modality : Tables
        Fitted.

    Notes
    -----
    Inputs are ``numbers``, float64 ``(b, m)``: the columns that are no categories, in their
    order, NaN where missing, booleans 0 or 1, dates in seconds since 1970; and ``symbols``,
    int64 ``(b, k)``: 0 for a category never seen while fitting, -1 where missing. asinh is written as a
    logarithm, since runtimes have none for float64. What Python refuses cannot be refused here: infinity is
    a million standard deviations, a boolean that is neither 0 nor 1 one that was never seen.
    """

    def __init__(self, modality: Tables):
        super().__init__()
        columns = modality.columns
        numeric = [i for i, column in enumerate(columns) if column["kind"] != "category"]
        symbolic = [i for i, column in enumerate(columns) if column["kind"] == "category"]
        facts = [columns[i] for i in numeric]
        self.n_numbers, self.n_symbols = len(numeric), len(symbolic)
        order = [*numeric, *symbolic]
        self._in_order = order == sorted(order)
        self.register_buffer("place", torch.tensor(sorted(range(len(order)), key=order.__getitem__)))
        self._is: dict[str, bool] = {}
        for name in ("boolean", "date", "datetime"):
            self._mark(name, [column["kind"] == name for column in facts])
        self._mark("squash", [bool(column.get("squash")) for column in facts])
        # A boolean is not scaled.
        for name, otherwise in (("center", 0.0), ("scale", 1.0)):
            self._numbers(name, [column.get(name, otherwise) for column in facts])
        for i, name in enumerate(("middle", "unit")):
            self._numbers(name, [column["squash"][i] if column.get("squash") else float(i) for column in facts])

    def forward(self, numbers: Tensor | None, symbols: Tensor | None) -> Batch:
        """Return the batch ``(b, c)``, in float32; either input is None where there is no such column."""
        cells, missing = [], []
        if numbers is not None:
            missing.append(numbers.isnan())
            cells.append(self._scaled(numbers).masked_fill(missing[0], 0).clamp(-LIMIT, LIMIT).float())
        if symbols is not None:
            missing.append(symbols == MISSING)
            cells.append(symbols.clamp(min=0).float())
        x, mask = (pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1) for pieces in (cells, missing))
        if not self._in_order:
            x, mask = x.index_select(1, self.place), mask.index_select(1, self.place)
        return Batch(x, ~mask)

    def _scaled(self, values: Tensor) -> Tensor:
        if self._is["date"]:
            values = torch.where(self.date, (values / SECONDS).floor(), values)
        if self._is["datetime"]:
            values = torch.where(self.datetime, (values * MICROSECONDS).round(), values)
        if self._is["boolean"]:
            unseen = self.boolean & (values != 0) & (values != 1)
            values = torch.where(unseen, NEVER_SEEN, values)
        if self._is["squash"]:
            values = torch.where(self.squash, _asinh((values - self.middle) / self.unit), values)
        return (values - self.center) / self.scale

    def _mark(self, name: str, which: list[bool]) -> None:
        self._is[name] = any(which)
        self.register_buffer(name, torch.tensor(which, dtype=torch.bool))

    def _numbers(self, name: str, values: list[float]) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=torch.float64))


class Matrix(nn.Module):
    """Rows as one matrix, as ``matrix_of`` gives it; only that the categories come last.

    Parameters
    ----------
    modality : Tables
        Fitted.

    Attributes
    ----------
    order : Tensor
        Where each of our columns is in that of ``matrix_of``.
    numbers : int
        How many of the first of our columns are numbers; booleans follow.
    """

    def __init__(self, modality: Tables):
        super().__init__()
        kinds = modality.example().get("categories") or [0] * len(modality.columns)
        starts = [sum(max(kind, 1) for kind in kinds[:i]) for i in range(len(kinds))]
        plain = [*(i for i, kind in enumerate(kinds) if kind == 0), *(i for i, kind in enumerate(kinds) if kind == 1)]
        hot = [(i, symbol) for i, kind in enumerate(kinds) if kind > 1 for symbol in range(kind)]
        self.numbers = kinds.count(0)
        self.order = torch.tensor([*(starts[i] for i in plain), *(starts[i] + symbol for i, symbol in hot)])
        self._is_plain = plain == list(range(len(kinds)))
        self._has_symbols = bool(hot)
        self.register_buffer("plain", torch.tensor(plain, dtype=torch.long))
        self.register_buffer("column", torch.tensor([i for i, _ in hot], dtype=torch.long))
        self.register_buffer("symbol", torch.tensor([float(symbol) for _, symbol in hot]))

    def forward(self, batch: Batch, expected: Tensor) -> Tensor:
        """Return ``(b, columns)``, missing cells as they are expected."""
        x = torch.where(batch.mask, batch.x, expected)
        if self._is_plain:
            return x
        plain = x.index_select(1, self.plain)
        if not self._has_symbols:
            return plain
        return torch.cat([plain, torch.eq(x.index_select(1, self.column), self.symbol).float()], 1)


def _asinh(values: Tensor) -> Tensor:
    size = values.abs()
    near = (size + (size * size + 1).sqrt()).log()
    return values.sign() * torch.where(size > STRAIGHT, size.log() + math.log(2), near)
