"""Lower bounds on the log-likelihood, from one or several draws of the code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isthmus.batch import Code
from isthmus.part import Part

__all__ = ["ELBO", "ImportanceWeighted"]

MOST_DRAWS = 10_000


class ELBO(Part):
    r"""Minus the evidence lower bound: nats of the loss plus the code's penalty, averaged over draws.

    Parameters
    ----------
    draws : int, default=1
        Codes drawn of each example in a step.

    Raises
    ------
    ValueError
        If draws is not within 1 and 10,000, or the bottleneck cannot draw.

    Notes
    -----
    With one draw this is what training minimises when no objective is given.

    References
    ----------
    Kingma & Welling, 2014, https://arxiv.org/abs/1312.6114, equation 7.

    Examples
    --------
    >>> code = Code(torch.zeros(4, 2), torch.ones(4))
    >>> ELBO(draws=2).build()(torch.tensor([1.0, 3.0, 5.0, 5.0]), code)
    tensor([3., 6.])
    """

    def __init__(self, draws: int = 1):
        super().__init__()
        self.draws = draws

    def setup(self) -> None:
        """Check the params."""
        _check_draws(self.draws)

    def forward(self, nats: Tensor, code: Code) -> Tensor:
        """Return the cost ``(b,)`` of nats and codes of ``b * draws`` rows."""
        return (nats + code.penalty).view(-1, self.draws).mean(1)


class ImportanceWeighted(Part):
    r"""Minus the importance-weighted bound, which rises to the log-likelihood with the draws.

    Parameters
    ----------
    draws : int, default=5
        Codes drawn of each example in a step; 1 is the evidence lower bound with a drawn
        instead of an exact divergence.

    Raises
    ------
    ValueError
        If draws is not within 1 and 10,000, or the bottleneck cannot draw.

    Notes
    -----
    .. math:: -\log \frac1k \sum_{i=1}^k \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)}

    The bottleneck's ``beta`` and ``free_bits`` play no part in it: its weights are ratios of
    densities.

    References
    ----------
    Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016,
    https://arxiv.org/abs/1509.00519, equation 8.

    Examples
    --------
    >>> code = Code(torch.zeros(2, 2), torch.zeros(2), log_ratio=torch.zeros(2))
    >>> ImportanceWeighted(draws=2).build()(torch.tensor([3.0, 3.0]), code)
    tensor([3.])
    """

    def __init__(self, draws: int = 5):
        super().__init__()
        self.draws = draws

    def setup(self) -> None:
        """Check the params."""
        _check_draws(self.draws)

    def forward(self, nats: Tensor, code: Code) -> Tensor:
        """Return the cost ``(b,)`` of nats and codes of ``b * draws`` rows."""
        log_weights = -(nats + code.log_ratio).view(-1, self.draws)
        return math.log(self.draws) - torch.logsumexp(log_weights, 1)


def _check_draws(draws: int) -> None:
    if not 1 <= draws <= MOST_DRAWS:
        raise ValueError(f"draws must be a whole number from 1 to {MOST_DRAWS:,}, got {draws}.")
