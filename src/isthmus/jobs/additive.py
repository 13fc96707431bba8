"""Vectors as sums of codes: what stands for a vector, and which of these are nearest to a query."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SYMBOLS", "AdditiveCode", "Lookup"]

# A byte's worth.
SYMBOLS = 256
# Numbers that are worked on at once: they stay in a processor's outer cache.
BLOCK = 2**21
# Queries whose tables are made at once, and vectors that are looked up in them.
QUERIES, VECTORS = 64, 2**14
# Candidates beyond those asked for, against the rounding of sums.
SPARE = 4


class AdditiveCode:
    r"""``x = sum_k c_k[i_k]``: each of q bytes picks a vector of its codebook.

    Parameters
    ----------
    codebooks : Tensor of shape (q, 256, d)
        float32.

    Notes
    -----
    With all symbols but the last ones chosen, the error of a sum is

    .. math:: \|x - \sum_k c_k\|^2 = \|x\|^2 + 2 \sum_k \left( \tfrac12 \|c_k\|^2 - x \cdot c_k
              + \sum_{j < k} c_j \cdot c_k \right)

    so that products of the vector with all codes, one product of matrices, and those of codes with
    codes, a table, are all that a search for symbols takes, whatever the number of dimensions.
    Symbols are searched for from the first codebook to the last, and the ``beam`` best beginnings
    kept at each: the nearest code of each level alone is a beam of one.

    References
    ----------
    Babenko & Lempitsky, "Additive quantization for extreme vector compression", CVPR 2014 (beam
    search, tables); Chen, Guan & Wang, "Approximate nearest neighbor search by residual vector
    quantization", Sensors 10, 2010.

    Examples
    --------
    >>> code = AdditiveCode(torch.stack([256 * torch.arange(256.0), torch.arange(256.0)])[:, :, None])
    >>> code.encode(torch.tensor([[515.0]])), code.decode(torch.tensor([[2, 3]]))
    (tensor([[2, 3]]), tensor([[515.]]))
    """

    def __init__(self, codebooks: Tensor):
        self.codebooks = codebooks
        self.depth, _, self.width = codebooks.shape
        self._flat = codebooks.flatten(0, 1)
        self.shift = SYMBOLS * torch.arange(self.depth)
        self._halves = self._flat.square().sum(1) / 2
        # Of the codes of each codebook with those of all before it.
        self._crosses = [self._flat[: k * SYMBOLS] @ codebooks[k].T for k in range(self.depth)]

    def encode(self, x: Tensor, beam: int = 16) -> Tensor:
        """Return the symbols ``(n, q)`` whose sums are near ``x``, ``(n, d)``."""
        return self.beams(x, beam)[:, 0]

    def beams(self, x: Tensor, beam: int) -> Tensor:
        """Return the best symbols found, ``int64`` ``(n, at most beam, q)``, best first."""
        rows = max(1, BLOCK // (SYMBOLS * (beam + self.depth)))
        found = [self._search(piece, beam) for piece in x.split(rows)]
        return torch.cat(found) if found else torch.zeros((0, 1, self.depth), dtype=torch.int64)

    def decode(self, symbols: Tensor) -> Tensor:
        """Return the vectors ``(n, d)`` that symbols ``(n, q)`` stand for."""
        return F.embedding_bag(symbols + self.shift, self._flat, mode="sum")

    def tables(self, queries: Tensor) -> Tensor:
        """Return products of queries ``(m, d)`` with all codes, ``(q * 256, m)``."""
        return self._flat @ queries.T

    def _search(self, x: Tensor, beam: int) -> Tensor:
        own = (self._halves - x @ self._flat.T).view(len(x), self.depth, SYMBOLS)
        costs, chosen = own[:, 0].topk(min(beam, SYMBOLS), largest=False)
        chosen = chosen[:, :, None]
        for k in range(1, self.depth):
            crosses = F.embedding_bag(chosen.flatten(0, 1), self._crosses[k], mode="sum")
            wider = costs[:, :, None] + own[:, k, None] + crosses.view(len(x), -1, SYMBOLS)
            costs, places = wider.flatten(1).topk(beam, largest=False)
            before = chosen.gather(1, (places // SYMBOLS)[:, :, None].expand(-1, -1, k))
            chosen = torch.cat([before, (places % SYMBOLS + k * SYMBOLS)[:, :, None]], 2)
        return chosen - self.shift


class Lookup:
    r"""Vectors kept as symbols, and the nearest of them to queries, without decoding them all.

    Parameters
    ----------
    code : AdditiveCode
        What symbols stand for.
    symbols : Tensor of shape (n, q)
        ``uint8``.

    Notes
    -----
    .. math:: \|y - \hat x\|^2 = \|y\|^2 - 2 \sum_k y \cdot c_k[i_k] + \|\hat x\|^2

    For each query a table of its products with all codes; then q numbers are added up for each
    vector, whatever the number of dimensions. The squares of the vectors are worked out once.
    The query itself is not quantised (asymmetric distances). Distances of those found are measured again.

    References
    ----------
    Jégou, Douze & Schmid, "Product quantization for nearest neighbor search", TPAMI 2011, section 3.
    """

    def __init__(self, code: AdditiveCode, symbols: Tensor):
        self.code, self.symbols = code, symbols
        pieces = [code.decode(piece.long()).square().sum(1) for piece in symbols.split(VECTORS)]
        self._squares = torch.cat(pieces) if pieces else torch.zeros(0)

    def __len__(self) -> int:
        return len(self.symbols)

    def nearest(self, queries: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
        """Return distances and positions ``(m, n_neighbors)`` of the nearest, nearest first.

        Raises
        ------
        ValueError
            If there are not so many vectors.
        """
        if not 1 <= n_neighbors <= len(self):
            raise ValueError(f"n_neighbors must be from 1 to {len(self)}, the vectors there are, got {n_neighbors}.")
        found = [self._nearest(piece, n_neighbors) for piece in queries.split(QUERIES)]
        if not found:
            return queries.new_zeros(0, n_neighbors), torch.zeros((0, n_neighbors), dtype=torch.int64)
        return torch.cat([one for one, _ in found]), torch.cat([other for _, other in found])

    def _nearest(self, queries: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
        tables, wanted = -2 * self.code.tables(queries), n_neighbors + SPARE
        costs, positions = queries.new_zeros(len(queries), 0), torch.zeros((len(queries), 0), dtype=torch.int64)
        for begin, found in self._costs(tables):
            values, places = found.topk(min(wanted, found.shape[1]), largest=False)
            costs, positions = torch.cat([costs, values], 1), torch.cat([positions, places + begin], 1)
            costs, order = costs.topk(min(wanted, costs.shape[1]), largest=False)
            positions = positions.gather(1, order)
        # By position first, so that equally near ones come in order.
        positions = positions.sort(1).values
        vectors = self.code.decode(self.symbols[positions.flatten()].long()).view(*positions.shape, -1)
        distances, order = torch.linalg.vector_norm(queries[:, None] - vectors, dim=2).sort(dim=1, stable=True)
        return distances[:, :n_neighbors], positions.gather(1, order)[:, :n_neighbors]

    def _costs(self, tables: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield squared distances less those of the queries from 0, ``(m, vectors)``, piece by piece."""
        for begin in range(0, len(self), VECTORS):
            piece = slice(begin, begin + VECTORS)
            sums = F.embedding_bag(self.symbols[piece].long() + self.code.shift, tables, mode="sum")
            yield begin, (sums + self._squares[piece, None]).T.contiguous()
