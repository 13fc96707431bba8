"""Nearest neighbours by blocked products of matrices: exact, in bounded memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["METRICS", "among", "nearest", "pack_bits", "unpack_bits"]

METRICS = ("euclidean", "cosine", "hamming")
# Numbers of one block of distances: 16 MiB of float32, which stay in a processor's outer cache.
BLOCK = 2**22
INDEX_ROWS = 2**16
GROUP = 64
# Candidates beyond those asked for, against the rounding of products.
SPARE = 4


def nearest(
    queries: Tensor, index: Tensor, n_neighbors: int, metric: str = "euclidean", *, own: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Return the nearest rows of an index, nearest first.

    Parameters
    ----------
    queries : Tensor of shape (m, d)
        Floating point; for 'hamming' packed bits, as :func:`pack_bits` gives them.
    index : Tensor of shape (n, d)
        Likewise.
    n_neighbors : int
        At most n, or n - 1 with ``own``.
    metric : {'euclidean', 'cosine', 'hamming'}
        Cosine: one minus the cosine, 1 where a row is zero. Hamming: the number of bits that
        differ.
    own : bool, default=False
        The queries are the rows of the index, and no row is its own neighbour.

    Returns
    -------
    distances : Tensor of shape (m, n_neighbors)
        Of the type of the queries; ``float32`` for 'hamming'.
    positions : Tensor of shape (m, n_neighbors)
        ``int64``. Equally near rows come in the order of the index; which of them are the
        last that fit in is not said.

    Raises
    ------
    ValueError
        If there is no such metric, or n_neighbors is out of range.

    Notes
    -----
    Of squared distances :math:`|q|^2 + |x|^2 - 2 q \cdot x` the product takes nearly all
    the time. The k smallest of a row are among the k groups of 64 whose smallest are
    smallest, so that hardly any of the distances is looked at twice. What a product rounds
    off is put right by the distances themselves of a few more candidates than asked for.

    Examples
    --------
    >>> points = torch.tensor([[0.0], [1.0], [3.0]])
    >>> nearest(points, points, 1, own=True)[1].flatten().tolist()
    [1, 0, 1]
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    most = len(index) - own
    if not 1 <= n_neighbors <= most:
        raise ValueError(f"n_neighbors must be from 1 to {most}, the rows to choose from, got {n_neighbors}.")
    queries, index = _prepared(queries, index, metric)
    size = max(1, BLOCK // min(len(index), INDEX_ROWS))
    begins = range(0, len(queries), size)
    found: list[tuple[Tensor, Tensor] | None] = [None for _ in begins]
    wanted = n_neighbors + own + SPARE
    # The index outside: a piece of it is made ready for products once.
    for first in range(0, len(index), INDEX_ROWS):
        rows = _Piece(index[first : first + INDEX_ROWS], first, metric)
        for i, begin in enumerate(begins):
            found[i] = rows.improve(queries[begin : begin + size], found[i], wanted)
    positions = [candidates for _, candidates in (pair for pair in found if pair is not None)]
    if not positions:
        return torch.zeros((0, n_neighbors)), torch.zeros((0, n_neighbors), dtype=torch.int64)
    return _settled(queries, index, torch.cat(positions), n_neighbors, metric, own)


def among(
    queries: Tensor,
    index: Tensor,
    candidates: Tensor,
    n_neighbors: int,
    metric: str = "euclidean",
    *,
    own: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the nearest of each query's candidates, as :func:`nearest` does of all rows.

    Parameters
    ----------
    queries, index, n_neighbors, metric, own
        As for :func:`nearest`.
    candidates : Tensor of shape (m, more than n_neighbors)
        ``int64`` positions in the index, no two of a row alike.
    """
    return _settled(*_prepared(queries, index, metric), candidates, n_neighbors, metric, own)


def pack_bits(bits: Tensor) -> Tensor:
    """Return booleans ``(n, d)`` as bytes ``(n, ceil(d / 8))``, the first bit the lowest; filled up with zeros."""
    padded = F.pad(bits.to(torch.uint8), (0, -bits.shape[1] % 8)).view(len(bits), -1, 8)
    return (padded << torch.arange(8, dtype=torch.uint8)).sum(2, dtype=torch.uint8)


def unpack_bits(packed: Tensor) -> Tensor:
    """Return bytes ``(n, k)`` as booleans ``(n, 8 k)``."""
    return ((packed[:, :, None] >> torch.arange(8, dtype=torch.uint8)) & 1).bool().flatten(1)


class _Piece:
    """A piece of the index, as products need it."""

    def __init__(self, rows: Tensor, first: int, metric: str):
        self.first, self.metric = first, metric
        self.rows = _signs(rows) if metric == "hamming" else rows
        self.squares = rows.square().sum(1)[None] if metric == "euclidean" else None

    def improve(self, queries: Tensor, found: tuple[Tensor, Tensor] | None, wanted: int) -> tuple[Tensor, Tensor]:
        """Return the best of the candidates found so far and of these rows: costs and positions."""
        costs = self._costs(queries)
        values, positions = _smallest(costs, min(wanted, costs.shape[1]))
        positions = positions + self.first
        if found is not None:
            values, positions = torch.cat([found[0], values], 1), torch.cat([found[1], positions], 1)
            values, order = values.topk(min(wanted, values.shape[1]), largest=False)
            positions = positions.gather(1, order)
        return values, positions

    def _costs(self, queries: Tensor) -> Tensor:
        """Return ``(m, n)`` numbers that order rows as their distances do."""
        if self.squares is not None:
            return torch.addmm(self.squares, queries, self.rows.T, alpha=-2)
        # Of signs, the product counts bits that agree less those that differ: exact up to 2**24 bits.
        queries = _signs(queries) if self.metric == "hamming" else queries
        return -(queries @ self.rows.T)


def _prepared(queries: Tensor, index: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    if metric == "cosine":
        return F.normalize(queries), F.normalize(index)
    if metric == "euclidean":
        # Far from the origin the products would be large and their difference coarse.
        center = index.mean(0)
        return queries - center, index - center
    return queries, index


def _settled(
    queries: Tensor, index: Tensor, candidates: Tensor, n_neighbors: int, metric: str, own: bool
) -> tuple[Tensor, Tensor]:
    """Return the nearest of the candidates by their distances themselves."""
    size = max(1, BLOCK // max(1, candidates.shape[1] * index.shape[1] * (8 if metric == "hamming" else 1)))
    pieces = []
    for begin in range(0, len(queries), size):
        # By position first: the sort by distance that follows is stable.
        positions = candidates[begin : begin + size].sort(1).values
        distances = _distances(queries[begin : begin + size], index, positions, metric)
        if own:
            itself = torch.arange(begin, begin + len(positions), device=positions.device)[:, None]
            distances = distances.masked_fill(positions == itself, torch.inf)
        order = distances.argsort(dim=1, stable=True)[:, :n_neighbors]
        pieces.append((distances.gather(1, order), positions.gather(1, order)))
    return torch.cat([one for one, _ in pieces]), torch.cat([other for _, other in pieces])


def _distances(queries: Tensor, index: Tensor, positions: Tensor, metric: str) -> Tensor:
    """Return the distances to these rows of the index, one by one."""
    rows = index[positions]
    if metric == "hamming":
        differ = unpack_bits((queries[:, None] ^ rows).flatten(0, 1))
        return differ.sum(1).view(positions.shape).float()
    if metric == "cosine":
        return (1 - torch.einsum("md,mkd->mk", queries, rows)).clamp(0, 2)
    return (queries[:, None] - rows).norm(dim=2)


def _signs(packed: Tensor) -> Tensor:
    return unpack_bits(packed).float().mul_(2).sub_(1)


def _smallest(costs: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Return the smallest of each row and their positions, in no order."""
    m, n = costs.shape
    if n < 4 * GROUP * wanted:
        values, positions = costs.topk(wanted, largest=False, sorted=False)
        return values, positions
    groups = n // GROUP
    body = costs[:, : groups * GROUP].view(m, groups, GROUP)
    chosen = body.amin(2).topk(wanted, largest=False, sorted=False).indices
    members = chosen[:, :, None] * GROUP + torch.arange(GROUP, device=costs.device)
    rest = torch.arange(groups * GROUP, n, device=costs.device).expand(m, -1)
    positions = torch.cat([members.flatten(1), rest], 1)
    values, order = costs.gather(1, positions).topk(wanted, largest=False, sorted=False)
    return values, positions.gather(1, order)
