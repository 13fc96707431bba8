"""Discrete codes that say as much of an example as they can: sure symbols, all equally frequent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.pieces import observed_positions, over_positions
from isthmus.penalties.sparse import check_weight

__all__ = ["Information"]

# The slope of the entropy is infinite at zero.
LEAST = 1e-12


class Information(Part):
    r"""How far the information that a discrete code has of an example falls short of what it could be.

    Parameters
    ----------
    weight : float, default=1.0
        Weight of the whole.
    balance : float, default=4.0
        Weight of the shortfall from equally frequent symbols, beside that of being unsure.
        Above 1, so that it is not worth while to merge symbols for the sake of sureness.
    redundancy : float, default=1.0
        Weight of what two symbols of a position say of each other, for codes of several
        symbols a position: bits that repeat each other carry nothing new.

    Raises
    ------
    ValueError
        If a weight is negative, or the code has no symbols and is not within 0 and 1 either.

    Notes
    -----
    A code within 0 and 1 (``linear(activation='sigmoid')``) counts as the probabilities of bits.

    With :math:`q_g` the probabilities of symbol g of a position and :math:`\bar q_g` their mean
    over the batch,

    .. math:: \sum_g H(q_g) + \text{balance} \sum_g (\log K - H(\bar q_g))
              + \text{redundancy} \sum_{g < h} I_{\bar q}(g; h)

    where :math:`I_{\bar q}` is the mutual information of two symbols that are independent given
    the example, over the batch. With ``balance=1`` the first two are a constant less the mutual
    information of code and example; all three with weight 1 its expansion to second order. The
    means are those of a batch, which must be large against the number of symbols.

    References
    ----------
    Krause, Perona & Gomes, "Discriminative clustering by regularized information maximization",
    NIPS 2010; Hu et al., ICML 2017, https://arxiv.org/abs/1702.08720, equations 7 and 10 and
    appendix. Differs: a shortfall, which is never negative, rather than minus an information.

    Examples
    --------
    >>> Information(balance=4.0).build()
    Information()
    """

    def __init__(self, weight: float = 1.0, balance: float = 4.0, redundancy: float = 1.0):
        super().__init__()
        self.weight = weight
        self.balance = balance
        self.redundancy = redundancy

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)
        if not min(self.balance, self.redundancy) >= 0:
            raise ValueError(f"balance and redundancy must be at least 0, got {self.balance} and {self.redundancy}.")
        self._watched: tuple = ()

    def watch(self, encoder: Part, bottleneck: Part) -> None:
        """Remember where probabilities come from, if the code has some besides its values."""
        if hasattr(bottleneck, "log_probs"):
            # A plain tuple: the weights stay the bottleneck's.
            self._watched = (bottleneck,)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``; what the batch has in common is the same for each example."""
        q = self._watched[0].log_probs(step.features).exp() if self._watched else _bits(step.code.z)
        observed = observed_positions(step, step.code.z)
        unsure = over_positions(torch.special.entr(q.clamp_min(LEAST)).sum((-2, -1)), observed)
        rows = q.flatten(0, -3) if observed is None else q[observed]
        mean = rows.mean(0)
        shared = self.balance * (math.log(q.shape[-1]) - torch.special.entr(mean.clamp_min(LEAST)).sum(-1)).sum()
        if self.redundancy and len(mean) > 1:
            shared = shared + self.redundancy * _redundancy(rows)
        # Nats are summed over positions; the means are over them.
        return self.weight * (unsure + over_positions(shared.expand(q.shape[:-2]), observed))


def _bits(z: Tensor) -> Tensor:
    """Return probabilities ``(b, *p, d, 2)`` of a code that consists of probabilities to be on."""
    if bool((z < 0).any() | (z > 1).any()):
        raise ValueError(
            f"information needs a code of symbols, or one within 0 and 1, got {z.min():.3g} to {z.max():.3g}; "
            "use the bottleneck one_hot(), binary() or linear(activation='sigmoid')."
        )
    return torch.stack([1 - z, z], -1)


def _redundancy(q: Tensor) -> Tensor:
    """Return the sum of the mutual informations of all pairs of symbols, given rows ``(n, groups, k)``."""
    n, groups, k = q.shape
    flat = q.flatten(1)
    joint = (flat.T @ flat / n).view(groups, k, groups, k).transpose(1, 2)
    mean = q.mean(0)
    # Of each symbol with itself this is no joint probability; the diagonal is left out below.
    total = torch.special.entr(joint.clamp_min(LEAST)).sum((2, 3))
    single = torch.special.entr(mean.clamp_min(LEAST)).sum(1)
    pairs = single[:, None] + single[None, :] - total
    return pairs.triu(1).sum()
