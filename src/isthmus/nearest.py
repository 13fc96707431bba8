"""Nearest neighbours by blocked products of matrices: exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["METRICS", "Index", "among", "nearest", "pack_bits", "unpack_bits"]

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
    return Index(index, metric).nearest(queries, n_neighbors, own=own)


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
    return Index(index, metric).among(queries, candidates, n_neighbors, own=own)


def pack_bits(bits: Tensor) -> Tensor:
    """Return booleans ``(n, d)`` as bytes ``(n, ceil(d / 8))``, the first bit the lowest; filled up with zeros."""
    padded = F.pad(bits.to(torch.uint8), (0, -bits.shape[1] % 8)).view(len(bits), -1, 8)
    return (padded << torch.arange(8, dtype=torch.uint8)).sum(2, dtype=torch.uint8)


def unpack_bits(packed: Tensor) -> Tensor:
    """Return bytes ``(n, k)`` as booleans ``(n, 8 k)``."""
    return ((packed[:, :, None] >> torch.arange(8, dtype=torch.uint8)) & 1).bool().flatten(1)


class Index:
    """Rows that are searched more than once: what every search would begin with is done at the first.

    Parameters
    ----------
    rows : Tensor of shape (n, d)
        As for :func:`nearest`.
    metric : str, default='euclidean'
        Likewise.
    symbols : Tensor of shape (n, q), optional
        Of 'euclidean': categories beside the numbers, ``int64``, from 0. Two that differ are
        as far apart as their one-hot numbers would be; no product is taken of these.

    Examples
    --------
    >>> index = Index(torch.tensor([[0.0], [1.0], [3.0]]), symbols=torch.tensor([[2], [2], [0]]))
    >>> index.nearest(torch.tensor([[2.0]]), 1, symbols=torch.tensor([[2]]))
    (tensor([[1.]]), tensor([[1]]))
    """

    def __init__(self, rows: Tensor, metric: str = "euclidean", symbols: Tensor | None = None):
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
        self.metric, self.symbols = metric, symbols
        # Far from the origin the products would be large and their difference coarse.
        self._center = rows.mean(0) if metric == "euclidean" else None
        self.rows = self._prepared(rows)
        self._n = len(rows)
        self._whole: _Piece | None = None

    def __len__(self) -> int:
        return self._n

    def nearest(
        self, queries: Tensor, n_neighbors: int, *, own: bool = False, symbols: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return distances and positions of the nearest rows, as :func:`nearest`; ``symbols`` are the queries'."""
        most = len(self) - own
        if not 1 <= n_neighbors <= most:
            raise ValueError(f"n_neighbors must be from 1 to {most}, the rows to choose from, got {n_neighbors}.")
        queries = self._prepared(queries)
        size = max(1, BLOCK // min(len(self), INDEX_ROWS))
        begins = range(0, len(queries), size)
        found: list[tuple[Tensor, Tensor] | None] = [None for _ in begins]
        wanted = n_neighbors + own + SPARE
        # The index outside: a piece of it is made ready for products once.
        for rows in self._pieces():
            for i, begin in enumerate(begins):
                block = slice(begin, begin + size)
                found[i] = rows.improve(queries[block], None if symbols is None else symbols[block], found[i], wanted)
        if not found:
            return queries.new_zeros(0, n_neighbors), torch.zeros((0, n_neighbors), dtype=torch.int64)
        positions = torch.cat([candidates for _, candidates in (pair for pair in found if pair is not None)])
        return self._settled(queries, symbols, positions, n_neighbors, own)

    def among(
        self, queries: Tensor, candidates: Tensor, n_neighbors: int, *, own: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest of each query's candidates, as :func:`among`."""
        return self._settled(self._prepared(queries), None, candidates, n_neighbors, own)

    def distances(self, queries: Tensor, symbols: Tensor | None = None) -> Tensor:
        """Return the euclidean distances to all rows, ``(m, n)``: for an index of few."""
        apart = torch.cdist(self._prepared(queries), self.rows, compute_mode="donot_use_mm_for_euclid_dist")
        if symbols is None or self.symbols is None:
            return apart
        differ = torch.cdist(symbols.to(apart), self.symbols.to(apart), p=0)
        return (apart.square() + 2 * differ).sqrt()

    def _prepared(self, rows: Tensor) -> Tensor:
        if self._center is not None:
            return rows - self._center
        return F.normalize(rows) if self.metric == "cosine" else rows

    def _pieces(self) -> Iterator[_Piece]:
        """Yield the rows as products need them; an index of one piece keeps it."""
        if self._whole is not None:
            yield self._whole
            return
        for first in range(0, len(self), INDEX_ROWS):
            part = slice(first, first + INDEX_ROWS)
            piece = _Piece(self.rows[part], first, self.metric, None if self.symbols is None else self.symbols[part])
            self._whole = piece if len(self) <= INDEX_ROWS else None
            yield piece

    def _settled(
        self, queries: Tensor, symbols: Tensor | None, candidates: Tensor, n_neighbors: int, own: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest of the candidates by their distances themselves."""
        width = self.rows.shape[1] * (8 if self.metric == "hamming" else 1)
        size = max(1, BLOCK // max(1, candidates.shape[1] * width))
        pieces = []
        for begin in range(0, len(queries), size):
            # By position first: the sort by distance that follows is stable.
            positions = candidates[begin : begin + size].sort(1).values
            distances = self._distances(queries[begin : begin + size], positions)
            if symbols is not None and self.symbols is not None:
                differ = symbols[begin : begin + size, None] != self.symbols[positions]
                distances = (distances.square() + 2 * differ.sum(2)).sqrt()
            if own:
                itself = torch.arange(begin, begin + len(positions), device=positions.device)[:, None]
                distances = distances.masked_fill(positions == itself, torch.inf)
            distances, order = distances.sort(dim=1, stable=True)
            pieces.append((distances[:, :n_neighbors], positions.gather(1, order[:, :n_neighbors])))
        return torch.cat([one for one, _ in pieces]), torch.cat([other for _, other in pieces])

    def _distances(self, queries: Tensor, positions: Tensor) -> Tensor:
        """Return the distances to these rows, one by one."""
        rows = self.rows[positions]
        if self.metric == "hamming":
            differ = unpack_bits((queries[:, None] ^ rows).flatten(0, 1))
            return differ.sum(1).view(positions.shape).float()
        if self.metric == "cosine":
            return (1 - torch.einsum("md,mkd->mk", queries, rows)).clamp(0, 2)
        return torch.linalg.vector_norm(queries[:, None] - rows, dim=2)


class _Piece:
    """A piece of an index, as products need it."""

    def __init__(self, rows: Tensor, first: int, metric: str, symbols: Tensor | None):
        self.first, self.metric = first, metric
        if metric == "hamming":
            # Of signs, the product counts bits that agree less those that differ: exact up to 2**24 bits.
            rows = _signs(rows)
        self.n, gap = len(rows), -len(rows) % GROUP
        squares = rows.square().sum(1) if metric == "euclidean" else rows.new_zeros(len(rows))
        # The last group is filled with what is infinitely far.
        self.squares = F.pad(squares, (0, gap), value=torch.inf)
        self.factors = F.pad(rows.T, (0, gap)) * (-2 if metric == "euclidean" else -1)
        self.table: Tensor | None = None
        if symbols is not None:
            # A symbol that no row has is one more of its column.
            self.most = symbols.amax(0) + 1
            self.begins = (self.most + 1).cumsum(0) - self.most - 1
            self.table = self.factors.new_zeros(int((self.most + 1).sum()), self.factors.shape[1])
            self.table[symbols + self.begins, torch.arange(self.n)[:, None]] = -2

    def improve(
        self, queries: Tensor, symbols: Tensor | None, found: tuple[Tensor, Tensor] | None, wanted: int
    ) -> tuple[Tensor, Tensor]:
        """Return the best of the candidates found so far and of these rows: costs and positions."""
        values, positions = _smallest(self._costs(queries, symbols), min(wanted, self.n))
        positions = positions + self.first
        if found is not None:
            values, positions = torch.cat([found[0], values], 1), torch.cat([found[1], positions], 1)
            values, order = values.topk(min(wanted, values.shape[1]), largest=False)
            positions = positions.gather(1, order)
        return values, positions

    def _costs(self, queries: Tensor, symbols: Tensor | None) -> Tensor:
        """Return ``(m, n)`` numbers that order rows as their distances do."""
        costs = torch.addmm(self.squares, _signs(queries) if self.metric == "hamming" else queries, self.factors)
        if symbols is None or self.table is None:
            return costs
        return costs.add_(F.embedding_bag(symbols.minimum(self.most) + self.begins, self.table, mode="sum"))


def _signs(packed: Tensor) -> Tensor:
    return unpack_bits(packed).float().mul_(2).sub_(1)


def _smallest(costs: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Return the smallest of each row, of whole groups, and their positions, in no order."""
    m, n = costs.shape
    if n < 4 * GROUP * wanted:
        values, positions = costs.topk(wanted, largest=False, sorted=False)
        return values, positions
    body = costs.view(m, -1, GROUP)
    chosen = body.amin(2).topk(wanted, largest=False, sorted=False).indices
    members = body.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    values, order = members.topk(wanted, largest=False, sorted=False)
    return values, chosen.gather(1, order // GROUP) * GROUP + order % GROUP
