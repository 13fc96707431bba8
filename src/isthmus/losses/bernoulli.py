"""Values between 0 and 1: the Bernoulli likelihood on logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from isthmus.batch import Batch
from isthmus.losses.gaussian import observed
from isthmus.part import Part

__all__ = ["BernoulliLikelihood"]


class BernoulliLikelihood(Part):
    r"""Binary cross-entropy; the decoder's output is logits.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Zeros or ones: no channel has more than two symbols.

    Raises
    ------
    ValueError
        If a channel has more than two symbols.

    Notes
    -----
    .. math:: -\log p = -\sum_i x_i \log s(a_i) + (1 - x_i) \log (1 - s(a_i))

    Targets between 0 and 1 (grey levels) give the cross-entropy, which is no density of
    them; it is the loss of Hinton & Salakhutdinov (2006) all the same.

    Examples
    --------
    >>> import torch
    >>> loss = BernoulliLikelihood().build(shape=[2])
    >>> loss(torch.zeros(1, 2), Batch(torch.ones(1, 2)))
    tensor([1.3863])
    """

    def setup(self, shape, categories=None) -> None:
        """Remember how many values the decoder must give."""
        if max(categories or [0]) > 1:
            raise ValueError("a Bernoulli likelihood is for values in 0..1; use cell_likelihood for categories.")
        self.width = shape[-1]

    def forward(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        return self.cells(output, target).flatten(1).sum(1)

    def cells(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats of each value, ``(b, *p, c)``; zero where nothing was observed."""
        return observed(F.binary_cross_entropy_with_logits(output, target.x, reduction="none"), target)

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return the sum of squared differences of value and probability, ``(b,)``."""
        return observed((output.sigmoid() - target.x).square(), target).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected values, ``(b, *p, c)``."""
        return output.sigmoid()

    def draw(self, output: Tensor) -> Tensor:
        """Return the expected values: grey levels are not drawn as black and white."""
        return output.sigmoid()

    def guess(self, target: Batch) -> Tensor:
        """Return an output that would fit the target: where a decoder starts."""
        # The tangent of the logit at one half.
        return 4 * (target.x - 0.5)
