"""The cells of a mixed table: numbers, booleans and categories, each by its own likelihood."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.batch import Batch
from isthmus.losses.gaussian import GaussianLikelihood, observed
from isthmus.part import Part

__all__ = ["CellLikelihood"]

# Nats of a boolean that is neither 0 nor 1: one in a million.
NEVER = 13.8


class CellLikelihood(Part):
    r"""Gaussian for numbers, Bernoulli for booleans, cross-entropy for categories.

    Parameters
    ----------
    sigma : float, default=1.0
        As in :class:`GaussianLikelihood`, for the numbers.
    learned : bool, default=False
        As in :class:`GaussianLikelihood`.

    Facts
    -----
    shape : list of int
        ``(c,)``: the columns.
    categories : list of int, optional
        For each column, how many symbols it has: 0 for a number, 1 for a boolean, whose cells are
        0 and 1, and 2 for "never seen while fitting", which costs 13.8 nats whatever the output;
        ``k >= 2`` for a category whose cells are ``0..k-1``, where 0 is "never seen while fitting".

    Raises
    ------
    ValueError
        If the examples are not rows of cells, or sigma is not positive.

    Notes
    -----
    The output has one value for a number (its mean), one for a boolean (its logit) and ``k``
    for a category (its logits), in the order of the columns.

    Examples
    --------
    >>> loss = CellLikelihood().build(shape=[2], categories=[1, 3])
    >>> loss.width
    4
    >>> loss(torch.zeros(1, 4), Batch(torch.tensor([[1.0, 2.0]])))
    tensor([1.7918])
    """

    def __init__(self, sigma: float = 1.0, learned: bool = False):
        super().__init__()
        self.sigma = sigma
        self.learned = learned

    def setup(self, shape, categories=None) -> None:
        """Remember where each column stands in the output."""
        if len(shape) != 1:
            raise ValueError(f"a cell likelihood needs rows of cells, got examples of shape {tuple(shape)}.")
        kinds = list(categories or [0] * shape[0])
        if len(kinds) != shape[0]:
            raise ValueError(f"categories must name each of the {shape[0]} columns, got {len(kinds)}.")
        ends = list(itertools.accumulate(max(1, kind) for kind in kinds))
        starts = [0, *ends[:-1]]
        self.width = ends[-1]
        self.columns = len(kinds)
        self._symbols = [(column, starts[column], kind) for column, kind in enumerate(kinds) if kind > 1]
        numbers, booleans = ([column for column, kind in enumerate(kinds) if kind == wanted] for wanted in (0, 1))
        order = [*numbers, *booleans, *(column for column, _, _ in self._symbols)]
        for name, places in {
            "numbers": numbers,
            "booleans": booleans,
            "numbers_at": [starts[column] for column in numbers],
            "booleans_at": [starts[column] for column in booleans],
            "place": sorted(range(len(kinds)), key=order.__getitem__),
        }.items():
            self.register_buffer(name, torch.tensor(places, dtype=torch.long), persistent=False)
        learned = self.learned and bool(numbers)
        self.gaussian = GaussianLikelihood(self.sigma, learned).build(shape=[max(1, len(numbers))])

    def forward(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        return self.cells(output, target).sum(1)

    def cells(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats of each cell, ``(b, c)``; zero where nothing was observed."""
        return self._per_cell(
            output,
            target,
            lambda mean, x: self.gaussian.cells(mean, Batch(x)),
            _bernoulli,
            lambda logits, x: F.cross_entropy(logits, x, reduction="none"),
        )

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return the sum of squared differences over the observed cells, ``(b,)``.

        Of a boolean and a category: between its probabilities and its one-hot value.
        """
        return self._per_cell(
            output,
            target,
            lambda mean, x: (mean - x).square(),
            lambda logit, x: (logit.sigmoid() - x).square(),
            lambda logits, x: (logits.softmax(1) - F.one_hot(x, logits.shape[1])).square().sum(1),
        ).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the cells ``(b, c)``: mean, probability of True, most probable category."""
        # The symbol 0 stands for "never seen", which nobody wants back.
        return self._decode(output, torch.sigmoid, lambda logits: 1 + logits[:, 1:].argmax(1))

    def draw(self, output: Tensor) -> Tensor:
        """Return cells drawn from the likelihood; with a fixed sigma, numbers at their mean."""
        drawn = self._decode(
            output,
            lambda logit: torch.bernoulli(logit.sigmoid()),
            lambda logits: 1 + torch.multinomial(logits[:, 1:].softmax(1), 1).squeeze(1),
        )
        if self.learned and len(self.numbers):
            drawn[:, self.numbers] = self.gaussian.draw(drawn[:, self.numbers])
        return drawn

    def guess(self, target: Batch) -> Tensor:
        """Return an output that would fit the target: where a decoder starts."""
        output = target.x.new_zeros(len(target), self.width)
        output[:, self.numbers_at] = target.x[:, self.numbers]
        output[:, self.booleans_at] = 4 * (target.x[:, self.booleans] - 0.5)
        for column, start, kind in self._symbols:
            output[:, start : start + kind] = 4 * (F.one_hot(target.x[:, column].long(), kind) - 0.5)
        return output

    def probabilities(self, output: Tensor) -> dict[int, Tensor]:
        """Return ``(b, k)`` probabilities of each category column, by its position."""
        return {column: output[:, start : start + kind].softmax(1) for column, start, kind in self._symbols}

    def _per_cell(self, output: Tensor, target: Batch, number, boolean, category) -> Tensor:
        """Apply each kind of column's function, then put the columns back in order."""
        pieces = []
        if len(self.numbers):
            pieces.append(number(output[:, self.numbers_at], target.x[:, self.numbers]))
        if len(self.booleans):
            pieces.append(boolean(output[:, self.booleans_at], target.x[:, self.booleans]))
        for column, start, kind in self._symbols:
            given = category(output[:, start : start + kind], target.x[:, column].long())
            pieces.append(given.unsqueeze(1))
        return observed(torch.cat(pieces, 1).index_select(1, self.place), target)

    def _decode(self, output: Tensor, boolean, category) -> Tensor:
        cells = output.new_zeros(len(output), self.columns)
        cells[:, self.numbers] = output[:, self.numbers_at]
        cells[:, self.booleans] = boolean(output[:, self.booleans_at])
        for column, start, kind in self._symbols:
            cells[:, column] = category(output[:, start : start + kind]).to(cells)
        return cells


def _bernoulli(logit: Tensor, x: Tensor) -> Tensor:
    nats = F.binary_cross_entropy_with_logits(logit, x.clamp(max=1), reduction="none")
    return nats.masked_fill(x > 1, NEVER)
