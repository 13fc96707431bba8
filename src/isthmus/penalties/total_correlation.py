"""Total correlation of a Gaussian code, estimated within the mini-batch (beta-TC-VAE)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.pieces import observed_positions, over_positions
from isthmus.penalties.sparse import check_weight

__all__ = ["Decomposition", "TotalCorrelation", "decompose"]

LOG_TWO_PI = math.log(2 * math.pi)


class Decomposition(NamedTuple):
    """The three terms that a drawn ``log q(z|x) - log p(z)`` is the sum of, in nats.

    Attributes
    ----------
    information : Tensor
        ``log q(z|x) - log q(z)``: on average the mutual information of row and code.
    total_correlation : Tensor
        ``log q(z) - sum_j log q(z_j)``: how much the dimensions say about each other.
    marginals : Tensor
        ``sum_j log q(z_j) - log p(z_j)``: each dimension's divergence from the standard normal.
    """

    information: Tensor
    total_correlation: Tensor
    marginals: Tensor


class TotalCorrelation(Part):
    r"""Weights for the three terms of the Gaussian code's divergence; independent dimensions.

    Parameters
    ----------
    weight : float, default=5.0
        Of the total correlation.
    information : float, default=0.0
        Of the mutual information between rows and codes.
    marginals : float, default=0.0
        Of the divergence of each dimension from the standard normal.
    n : int, optional
        Rows of the training data, at least as many as a batch has. With it, stratified
        sampling of the aggregate posterior; without, weighted.

    Facts
    -----
    None.

    Raises
    ------
    ValueError
        If the weight of the total correlation is negative, n is below 2, or the bottleneck has
        no normal ``posterior``.

    Notes
    -----
    Weights add to what the bottleneck charges. The divergence is the sum of the three terms,
    so the paper's objective with its beta, alpha = gamma = 1, is ``gaussian(beta=1)`` with
    ``total_correlation(weight=beta - 1)``; any (alpha, beta, gamma) is ``gaussian(beta=0)`` with
    ``total_correlation(weight=beta, information=alpha, marginals=gamma)``.

    The aggregate posterior :math:`q(z) = \frac1n \sum_j q(z|x_j)` is estimated from a batch of
    m + 1 rows, of which one is the code's own:

    .. math:: q(z_i) \approx w\, q(z_i|x_i) + \frac{1 - w}{m} \sum_{j \ne i} q(z_i|x_j),

    and so is that of each dimension. Stratified: :math:`w = 1/n`, an unbiased estimate of q(z),
    which is the paper's (equation S7) averaged over which row is taken for the last. Weighted:
    :math:`w = 1/(m + 1)`, the paper's (equation S3) but for a factor 1/n without a gradient; it
    thinks of the code's own row as often seen as a batch has it, so that no term is larger than
    the logarithm of the batch size. The paper trains with it, and it needs no n.

    Nats are summed over positions, each estimated across the batch by itself.

    References
    ----------
    Chen et al., "Isolating sources of disentanglement in variational autoencoders", NeurIPS
    2018, https://arxiv.org/abs/1802.04942, equations 2 to 4 and appendix C.

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> model = AutoEncoder(bottleneck="gaussian(size=10)", penalties=["total_correlation(weight=5.0)"])
    """

    def __init__(self, weight: float = 5.0, information: float = 0.0, marginals: float = 0.0, n: int | None = None):
        super().__init__()
        self.weight = weight
        self.information = information
        self.marginals = marginals
        self.n = n

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)
        if self.n is not None and self.n < 2:
            raise ValueError(f"n must be at least 2, the rows of the training data, got {self.n}.")

    def watch(self, bottleneck: Part) -> None:
        """Read the posterior of this bottleneck."""
        if not hasattr(bottleneck, "posterior"):
            raise ValueError(
                f"{self!r} needs a bottleneck with a normal posterior, such as gaussian; got {bottleneck!r}."
            )
        # A plain tuple: the weights stay the bottleneck's.
        self._bottleneck = (bottleneck,)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        (bottleneck,) = self._bottleneck
        z = step.code.z
        observed = observed_positions(step, z)
        mean, log_variance = bottleneck.posterior(step.features)
        terms = decompose(z, mean, log_variance, self.n, observed)
        nats = self.weight * terms.total_correlation
        if self.information:
            nats = nats + self.information * terms.information
        if self.marginals:
            nats = nats + self.marginals * terms.marginals
        return over_positions(nats, observed)


def decompose(
    z: Tensor, mean: Tensor, log_variance: Tensor, n: int | None = None, observed: Tensor | None = None
) -> Decomposition:
    """Return the three terms of each code and position, ``(b, *p)``.

    Parameters
    ----------
    z : Tensor
        Codes drawn from their posteriors, ``(b, *p, d)``.
    mean, log_variance : Tensor
        Of the posteriors, of the same shape.
    n : int, optional
        Rows that the batch was taken from; None as in :class:`TotalCorrelation`.
    observed : Tensor, optional
        Which codes to look at, ``(b, *p)``.
    """
    shape = z.shape[:-1]
    z, mean, log_variance = (rearrange(one, "b ... d -> (...) b d") for one in (z, mean, log_variance))
    # Of code i under the posterior of row j: (p, i, j, d).
    off = (z.unsqueeze(2) - mean.unsqueeze(1)) * (-0.5 * log_variance).exp().unsqueeze(1)
    log_q = -0.5 * (off.square() + log_variance.unsqueeze(1) + LOG_TWO_PI)
    log_weights = _log_weights(z, n, observed)
    joint = log_q.sum(-1)
    aggregate = (joint + log_weights).logsumexp(2)
    dimensions = (log_q + log_weights.unsqueeze(-1)).logsumexp(2).sum(-1)
    prior = -0.5 * (z.square() + LOG_TWO_PI).sum(-1)
    own = joint.diagonal(dim1=1, dim2=2)
    terms = (own - aggregate, aggregate - dimensions, dimensions - prior)
    return Decomposition(*(term.mT.reshape(shape) for term in terms))


def _log_weights(z: Tensor, n: int | None, observed: Tensor | None) -> Tensor:
    """Return how much row j counts in the aggregate posterior at code i, ``(p or 1, b, b)``."""
    eye = torch.eye(z.shape[1]).to(z)
    others = 1 - eye.unsqueeze(0)
    if observed is not None:
        others = others * rearrange(observed, "b ... -> (...) 1 b").to(z)
    m = others.sum(-1, keepdim=True)
    own = 1 / (m + 1) if n is None else torch.full_like(m, 1 / n)
    # A code alone in its batch is all that is known of the aggregate.
    own = torch.where(m > 0, own, torch.ones_like(own))
    return (own * eye + (1 - own) / m.clamp_min(1) * others).log()
