"""The Gaussian code of the variational auto-encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.linear import code_size, start_at_components
from isthmus.layers import bounded
from isthmus.part import Part

__all__ = ["Gaussian"]


class Gaussian(Part):
    r"""A normal posterior over the code, held to a standard normal prior.

    Parameters
    ----------
    size : int, optional
        Dimensions of the code; by default as for :class:`Linear`.
    beta : float, default=1.0
        Weight of the KL divergence. 1 is the evidence lower bound; above 1 is the beta-VAE.
    free_bits : float, default=0.0
        Nats per dimension that cost nothing more to use: while training, the KL divergence
        of a dimension, averaged over the batch, is raised to at least this.

    Facts
    -----
    width : int
        Channels of the features.
    rank : int, optional
        The size to take when ``size`` is None.

    Raises
    ------
    ValueError
        If the size is below 1, or beta or free_bits is negative.

    Notes
    -----
    .. math:: z = \mu + \sigma \epsilon, \qquad
              KL = \tfrac12 \sum_j \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1

    While training, z is drawn; otherwise it is the mean, so that codes are deterministic.
    The log-variance is kept within -10 and 10, and its gradient passes that bound, so that
    a posterior that has left it is pulled back.

    References
    ----------
    Kingma & Welling, 2014, https://arxiv.org/abs/1312.6114, appendix B; Higgins et al., 2017,
    https://openreview.net/forum?id=Sy2fzU9gl (beta); Kingma et al., 2016,
    https://arxiv.org/abs/1606.04934, appendix C.8 (free bits, one group per dimension).

    Examples
    --------
    >>> code = Gaussian(3, beta=4.0).build(width=16)(torch.zeros(5, 16))
    >>> code.z.shape, code.penalty.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, size: int | None = None, beta: float = 1.0, free_bits: float = 0.0):
        super().__init__()
        self.size = size
        self.beta = beta
        self.free_bits = free_bits

    def setup(self, width: int, rank: int | None = None) -> None:
        """Create the layers."""
        if not self.beta >= 0 or not self.free_bits >= 0:
            raise ValueError(f"beta and free_bits must be at least 0, got {self.beta} and {self.free_bits}.")
        size = code_size(self.size, rank)
        self.linear = nn.Linear(width, size)
        self.log_variance = nn.Linear(width, size)
        self.dimensions = size

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``."""
        mean = self.linear(features)
        # Wider, one example could outweigh all others, or its exp overflow.
        log_variance = bounded(self.log_variance(features), -10, 10)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
        # Not in evaluation: the cost of an example would depend on the others beside it.
        if self.free_bits and self.training:
            mean_divergence = divergence.mean(0, keepdim=True)
            divergence = divergence + (self.free_bits - mean_divergence).clamp_min(0)
        return Code(z, self.beta * divergence.flatten(1).sum(1))

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)`` from the prior."""
        return torch.randn(n, *positions, self.dimensions).to(self.linear.weight)

    def start(self, features: Tensor) -> None:
        """Begin at the principal components of the features, with a posterior narrower than the prior."""
        start_at_components(self.linear, features)
        with torch.no_grad():
            self.log_variance.weight.zero_()
            self.log_variance.bias.fill_(-2.0)
