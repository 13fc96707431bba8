"""Codebooks of sums of codes: level by level by k-means, then all at once by least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.guards import seeded
from isthmus.jobs.additive import SYMBOLS, AdditiveCode

__all__ = ["learn"]

# Vectors that are learned from, and residuals that one codebook is.
MOST_VECTORS, MOST_RESIDUALS = 2**17, 2**17
ITERATIONS = 10
# Beyond this the equations of all codes at once take too long to solve.
MOST_JOINT = 16
# Vectors' worth of weight of the code that was, in the equations of the next.
RIDGE = 10.0
ROWS = 2**13


def learn(x: Tensor, depth: int, beam: int = 5, rounds: int = 2, seed: int = 0) -> AdditiveCode:
    r"""Return a code of ``depth`` bytes for vectors like these.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        float32; of more than 131,072 these, spread evenly, are looked at.
    depth : int
        Codebooks.
    beam : int, default=5
        Beginnings of each vector's sum that the next codebook is learned from.
    rounds : int, default=2
        Rounds of least squares at the end; none beyond 16 bytes, where the equations take too long.
    seed : int, default=0
        Of all that is random.

    Notes
    -----
    Each codebook is k-means on what those before it leave over: of all the ``beam`` beginnings that
    the search for symbols keeps, not of the best alone, for any of them may turn out to be a
    vector's. That also keeps the later codebooks from fitting the noise of single vectors: on MNIST
    (64 principal components, 20,000 vectors to learn from, 8 bytes) the error of other vectors fell by
    11 % for a beam of 5 rather than 1, that of the vectors learned from by 7 %. k-means that begins in
    few components and doubles them (Liu, Lu & Shao, 2015) helped a beam of 1, and not one of 5.

    A round is a search for all vectors' symbols, then the codebooks that minimise the squared error
    given these, :math:`(B^\top B + \lambda I) C = B^\top X + \lambda C_0`, B being which codes
    each vector takes, :math:`C_0` the codebooks before.

    References
    ----------
    Babenko & Lempitsky, "Additive quantization for extreme vector compression", CVPR 2014 (least
    squares); Liu, Lu & Shao, "Improved residual vector quantization for high-dimensional approximate
    nearest neighbor search", 2015, https://arxiv.org/abs/1509.05195.
    """
    if len(x) > MOST_VECTORS:
        x = x[torch.linspace(0, len(x) - 1, MOST_VECTORS, dtype=torch.float64).long()]
    with seeded(seed):
        books = [_centres(x)]
        while len(books) < depth:
            books.append(_centres(_left_over(x, AdditiveCode(torch.stack(books)), beam)))
        code = AdditiveCode(torch.stack(books))
        for _ in range(rounds if depth <= MOST_JOINT else 0):
            code = _refitted(x, code, code.encode(x, beam))
    return code


def _left_over(x: Tensor, code: AdditiveCode, beam: int) -> Tensor:
    """Return what the beginnings of each vector leave over, not too many of them."""
    symbols = code.beams(x, beam)
    rows = torch.arange(len(x)).repeat_interleave(symbols.shape[1])
    symbols = symbols.flatten(0, 1)
    if len(rows) > MOST_RESIDUALS:
        chosen = torch.randperm(len(rows))[:MOST_RESIDUALS]
        rows, symbols = rows[chosen], symbols[chosen]
    return x[rows] - code.decode(symbols)


def _centres(x: Tensor) -> Tensor:
    """Return 256 centres of k-means."""
    if len(x) > MOST_RESIDUALS:
        x = x[torch.randperm(len(x))[:MOST_RESIDUALS]]
    # Over and over, for there may be fewer vectors than centres.
    order = torch.cat([torch.randperm(len(x)) for _ in range(-(-SYMBOLS // len(x)))])[:SYMBOLS]
    centres = x[order]
    for _ in range(ITERATIONS):
        centres = _moved(x, centres)
    return centres


def _moved(x: Tensor, centres: Tensor) -> Tensor:
    """Return the means of the vectors nearest to each centre; one that has none goes beside one that has many."""
    halves = centres.square().sum(1) / 2
    nearest = torch.cat([torch.addmm(halves, piece, centres.T, alpha=-1).argmin(1) for piece in x.split(ROWS)])
    counts = torch.bincount(nearest, minlength=SYMBOLS).to(x)
    means = torch.zeros_like(centres).index_add_(0, nearest, x) / counts.clamp_min(1)[:, None]
    dead = counts == 0
    if bool(dead.any()):
        beside = torch.multinomial(counts, int(dead.sum()), replacement=True)
        means[dead] = means[beside] + 0.01 * x.std(0) * torch.randn(len(beside), x.shape[1]).to(x)
    return means


def _refitted(x: Tensor, code: AdditiveCode, symbols: Tensor) -> AdditiveCode:
    """Return the codebooks of least squared error for these symbols, drawn a little to those before."""
    size = code.depth * SYMBOLS
    products, sums = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, code.width, dtype=torch.float64)
    for i in range(code.depth):
        own = slice(i * SYMBOLS, (i + 1) * SYMBOLS)
        sums[own].index_add_(0, symbols[:, i], x.double())
        for j in range(i, code.depth):
            pairs = torch.bincount(symbols[:, i] * SYMBOLS + symbols[:, j], minlength=SYMBOLS**2).double()
            pairs = pairs.view(SYMBOLS, SYMBOLS)
            other = slice(j * SYMBOLS, (j + 1) * SYMBOLS)
            products[own, other], products[other, own] = pairs, pairs.T
    products.diagonal().add_(RIDGE)
    before = code.codebooks.flatten(0, 1).double()
    solved = torch.linalg.solve(products, sums + RIDGE * before)
    return AdditiveCode(solved.to(x).view_as(code.codebooks))
