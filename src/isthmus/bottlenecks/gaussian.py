"""The Gaussian code of the variational auto-encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.linear import code_size, start_at_components
from isthmus.layers import bounded, in_full
from isthmus.part import Part

__all__ = ["Gaussian"]

LOG_TWO_PI = math.log(2 * math.pi)


class Gaussian(Part):
    r"""A normal posterior over the code, held to a prior.

    Parameters
    ----------
    size : int, optional
        Dimensions of the code; by default as for :class:`Linear`.
    beta : float, default=1.0
        Weight of the KL divergence. 1 is the evidence lower bound; above 1 is the beta-VAE.
    free_bits : float, default=0.0
        Nats per dimension that cost nothing more to use: while training, the KL divergence
        of a dimension, averaged over the batch, is raised to at least this.
    warm_up : float, default=0.0
        Share of the training over which beta rises from 0, so that the code is put to use
        before it is charged for. Held-out costs are at the full beta throughout.
    prior : Part, optional
        What codes are like: one of ``isthmus.priors``; by default the standard normal.

    Facts
    -----
    width : int
        Channels of the features.
    rank : int, optional
        The size to take when ``size`` is None.
    positions : list of int, default=()
        Shape of the positions that have a code each; priors may look at it.

    Raises
    ------
    ValueError
        If the size is below 1, beta or free_bits is negative, warm_up is not within 0 and 1, or
        free_bits come with a prior.

    Notes
    -----
    .. math:: z = \mu + \sigma \epsilon, \qquad
              KL = \tfrac12 \sum_j \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1

    With a prior the divergence has no closed form: it is the draw's own
    ``-H(q) - log p(z)``, with q's entropy exact and p at the draw while training, at the mean
    otherwise.

    Heads, divergence and prior are computed in the weights' own precision also where the
    networks run in bfloat16, whose two to three digits a divergence does not survive.

    While training, z is drawn; otherwise it is the mean, so that codes are deterministic.
    The log-variance is kept within -10 and 10, and its gradient passes that bound, so that
    a posterior that has left it is pulled back.

    References
    ----------
    Kingma & Welling, 2014, https://arxiv.org/abs/1312.6114, appendix B; Higgins et al., 2017,
    https://openreview.net/forum?id=Sy2fzU9gl (beta); Kingma et al., 2016,
    https://arxiv.org/abs/1606.04934, appendix C.8 (free bits, one group per dimension); Sonderby
    et al., 2016, https://arxiv.org/abs/1602.02282, section 2.3 (warm-up).

    Examples
    --------
    >>> code = Gaussian(3, beta=4.0).build(width=16)(torch.zeros(5, 16))
    >>> code.z.shape, code.penalty.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(
        self,
        size: int | None = None,
        beta: float = 1.0,
        free_bits: float = 0.0,
        warm_up: float = 0.0,
        prior: Part | None = None,
    ):
        super().__init__()
        self.size = size
        self.beta = beta
        self.free_bits = free_bits
        self.warm_up = warm_up
        self.prior = prior

    def setup(self, width: int, rank: int | None = None, positions: Sequence[int] = ()) -> None:
        """Create the layers."""
        if self.free_bits and self.prior is not None:
            raise ValueError("free_bits hold for the standard normal prior only; leave one of free_bits and prior out.")
        if not self.beta >= 0 or not self.free_bits >= 0:
            raise ValueError(f"beta and free_bits must be at least 0, got {self.beta} and {self.free_bits}.")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up is a share of the training, within 0 and 1, got {self.warm_up}.")
        size = code_size(self.size, rank)
        self.linear = nn.Linear(width, size)
        self.log_variance = nn.Linear(width, size)
        self.dimensions = size
        # The share of beta that counts while training; a buffer, for a resumed fit to go on from.
        self.register_buffer("risen", torch.tensor(0.0 if self.warm_up else 1.0), persistent=False)
        if self.prior is not None:
            self.prior.build_with({"size": size, "width": width, "positions": list(positions)})
            if hasattr(self.prior, "watch"):
                self.prior.watch(self)

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``: drawn while training, else the mean."""
        with in_full(features):
            mean, log_variance = self.posterior(features)
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
            log_p = None if self.prior is None else self.prior.log_prob(z)
            return Code(z, self._penalty(mean, log_variance, log_p))

    def draw(self, features: Tensor) -> Code:
        """Return the code drawn from its posterior, in evaluation too, with its ``log_ratio``."""
        with in_full(features):
            mean, log_variance = self.posterior(features)
            noise = torch.randn_like(mean)
            z = mean + noise * (0.5 * log_variance).exp()
            log_q = -0.5 * (noise.square() + log_variance + LOG_TWO_PI).flatten(1).sum(1)
            if self.prior is None:
                log_p = -0.5 * (z.square() + LOG_TWO_PI).flatten(1).sum(1)
                return Code(z, self._penalty(mean, log_variance, None), log_ratio=log_q - log_p)
            log_p = self.prior.log_prob(z)
            return Code(z, self._penalty(mean, log_variance, log_p), log_ratio=log_q - log_p)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), each ``(b, *p, d)``."""
        features = features.to(self.linear.weight.dtype)
        # Wider, one example could outweigh all others, or its exp overflow.
        return self.linear(features), bounded(self.log_variance(features), -10, 10)

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)`` from the prior."""
        if self.prior is not None:
            return self.prior.sample(n, positions)
        return torch.randn(n, *positions, self.dimensions).to(self.linear.weight)

    def start(self, features: Tensor) -> None:
        """Begin at the principal components of the features, with a posterior narrower than the prior."""
        start_at_components(self.linear, features)
        with torch.no_grad():
            self.log_variance.weight.zero_()
            self.log_variance.bias.fill_(-2.0)
        if self.prior is not None:
            # Drawn, as the prior will meet them.
            self.prior.start(self.draw(features).z, features)

    def after_step(self, progress: float) -> None:
        """Let beta rise."""
        if self.warm_up:
            self.risen.fill_(min(1.0, progress / self.warm_up))

    def _penalty(self, mean: Tensor, log_variance: Tensor, log_p: Tensor | None) -> Tensor:
        """Return beta times the divergence from the prior, ``(b,)``; ``log_p`` for one that is not the standard."""
        beta = self.beta * self.risen if self.training and self.warm_up else self.beta
        if log_p is not None:
            # The entropy is exact, which varies less than log q at the draw.
            return beta * (-0.5 * (log_variance + LOG_TWO_PI + 1).flatten(1).sum(1) - log_p)
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
        # Not in evaluation: the cost of an example would depend on the others beside it.
        if self.free_bits and self.training:
            mean_divergence = divergence.mean(0, keepdim=True)
            divergence = divergence + (self.free_bits - mean_divergence).clamp_min(0)
        return beta * divergence.flatten(1).sum(1)
