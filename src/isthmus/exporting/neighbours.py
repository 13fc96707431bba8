"""Searches among reference rows with what every ONNX runtime has: products, top-k, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.jobs.measures import FEW, RankScale
from isthmus.nearest import SPARE

__all__ = ["Draws", "Nearest", "Quantiles", "Search"]

# Below this a distance is rounding: of codes, whose unit is their standard deviation, of equal rows. Measures
# are compared by their logarithms, to which it would matter.
NOISE = 1e-5


class Nearest(nn.Module):
    """The nearest rows of an index, as :func:`isthmus.nearest.nearest` finds them.

    Parameters
    ----------
    index : Tensor of shape (n, d)
        float32.
    n_neighbors : int
        How many to find, at most n.
    """

    def __init__(self, index: Tensor, n_neighbors: int):
        super().__init__()
        self.n_neighbors, self._wanted = min(n_neighbors, len(index)), min(n_neighbors + SPARE, len(index))
        center = index.mean(0)
        index = index - center
        self.register_buffer("center", center)
        self.register_buffer("index", index)
        # One product gives |x|^2 - 2 q x: runtimes are slower where a sum follows.
        self.register_buffer("products", torch.cat([-2 * index, index.square().sum(1, keepdim=True)], 1).T.contiguous())

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances ``(b, n_neighbors)``, nearest first, and positions."""
        points = points - self.center
        # Ordered by products, which round; then by the distances themselves of a few more than wanted.
        order = F.pad(points, (0, 1), value=1.0) @ self.products
        candidates = order.topk(self._wanted, largest=False, sorted=False).indices
        distances = (points[:, None] - F.embedding(candidates, self.index)).square().sum(2).sqrt()
        distances, chosen = distances.topk(self.n_neighbors, largest=False)
        return F.threshold(distances, NOISE, 0.0), candidates.gather(1, chosen)


class Draws(nn.Module):
    """The median over draws of few rows of the distance to the nearest of each.

    Parameters
    ----------
    index : Tensor of shape (draws * FEW, d)
        The draws, one after the other.
    """

    def __init__(self, index: Tensor):
        super().__init__()
        index = index.double()
        center = index.mean(0)
        index = index - center
        self._few = min(FEW, len(index))
        self._draws = len(index) // self._few
        self.register_buffer("center", center)
        self.register_buffer("squares", index.square().sum(1))
        # In double, where the rounding of products is that of float32's distances: 400 rows cost little.
        self.register_buffer("products", (-2 * index).T.contiguous())

    def forward(self, points: Tensor) -> Tensor:
        """Return ``(b,)``, float64."""
        points = points.double() - self.center
        squares = self.squares + points @ self.products + points.square().sum(1, keepdim=True)
        nearest = squares.view(-1, self._draws, self._few).amin(2).clamp(min=0).sqrt()
        half = self._draws // 2
        lower = F.threshold(nearest, NOISE, 0.0).topk(half + 1, dim=1, largest=False).values
        return lower[:, half] if self._draws % 2 else lower[:, half - 1 :].mean(1)


class Search(nn.Module):
    """Where values stand among the sorted values of their column, in two looks at about the root of all.

    Parameters
    ----------
    columns : sequence of ndarray
        Of each column the values, ascending, no two alike.
    dtype : torch.dtype
        Of the values.

    Notes
    -----
    The place of a value between the i-th and the next is ``2 i``, that of the i-th itself
    ``2 i - 1``, counted from 1.
    """

    def __init__(self, columns: Sequence[np.ndarray], dtype: torch.dtype):
        super().__init__()
        most = max(len(values) for values in columns)
        self._size = max(1, round((most + 1) ** 0.5))
        # At least one place is infinite, so that each value is in some block.
        blocks = most // self._size + 1
        table = np.full((len(columns), blocks * self._size), np.inf)
        for row, values in zip(table, columns, strict=True):
            row[: len(values)] = values
        pieces = torch.from_numpy(table).to(dtype).view(len(columns), blocks, self._size)
        self.register_buffer("last", pieces[:, :, -1].contiguous())
        self.register_buffer("blocks", pieces.flatten(0, 1).contiguous())
        self.register_buffer("first", torch.arange(len(columns)) * blocks)

    def forward(self, values: Tensor) -> Tensor:
        """Return the places of values ``(b, columns)``, int64."""
        values = values[..., None]
        # Counted in float32, where sums are fastest.
        block = (self.last < values).float().sum(2)
        inside = F.embedding(block.long() + self.first, self.blocks)
        below, upto = (inside < values).float(), (inside <= values).float()
        return (2 * self._size * block + (below + upto).sum(2)).long()


class Quantiles(nn.Module):
    """Numbers as normal quantiles of their ranks: :class:`isthmus.jobs.measures.RankScale`, looked up.

    Parameters
    ----------
    scale : RankScale
        Of the reference rows.
    """

    def __init__(self, scale: RankScale):
        super().__init__()
        columns = [np.unique(known) for known in scale.sorted.T]
        self.search = Search(columns, torch.float32)
        width = 2 * max(map(len, columns)) + 1
        table = np.zeros((len(columns), width))
        for i, values in enumerate(columns):
            table[i, : 2 * len(values) + 1] = scale.quantiles(i, _between(values))
        self.register_buffer("table", torch.from_numpy(table).float().view(-1, 1))
        self.register_buffer("start", torch.arange(len(columns)) * width)
        for name, values in {"low": scale.sorted[0], "high": scale.sorted[-1], "unit": scale.unit}.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)).float())

    def forward(self, values: Tensor) -> Tensor:
        """Return the numbers of rows, ``(b, columns to scale)``, scaled."""
        quantile = F.embedding(self.search(values) + self.start, self.table).squeeze(2)
        return quantile + (values - values.clamp(self.low, self.high)) / self.unit


def _between(values: np.ndarray) -> np.ndarray:
    """Return one value before, at, between and after those that are given: of each place one."""
    outer = np.concatenate([[values[0] - 1], values, [values[-1] + 1]])
    found = np.empty(2 * len(values) + 1)
    found[1::2] = values
    found[::2] = (outer[:-1] + outer[1:]) / 2
    return found
