"""Real numbers: the Gaussian likelihood, whose error is the sum of squares."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import bounded, check_choice
from isthmus.part import Part

__all__ = ["GaussianLikelihood"]

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class GaussianLikelihood(Part):
    r"""Numbers around the decoder's output, with one spread or one per channel.

    Parameters
    ----------
    sigma : float, default=1.0
        Standard deviation of the error, in the units of the batch. With ``learned``, where
        learning starts.
    learned : bool, default=False
        Learn one standard deviation per channel: each is then the channel's own typical
        error, and channels that can be predicted well count for more.
    link : {'identity', 'sigmoid'}, default='identity'
        How the decoder's output becomes the mean; 'sigmoid' holds it between 0 and 1.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Must be zeros: every channel is a number.

    Raises
    ------
    ValueError
        If sigma is not positive.

    Notes
    -----
    .. math:: -\log p = \sum_i \tfrac12 (x_i - \hat x_i)^2 / \sigma_i^2
                        + \log \sigma_i + \tfrac12 \log 2\pi

    summed over the observed values of an example. With ``sigma=1`` this is half the sum of
    squares and a constant. A learned sigma is kept above exp(-7), so that a channel that is
    reproduced exactly does not make the likelihood infinite.

    References
    ----------
    Rybkin, Daniilidis & Levine, "Simple and effective VAE training with calibrated
    decoders", ICML 2021, https://arxiv.org/abs/2006.13202 (learned sigma).

    Examples
    --------
    >>> loss = GaussianLikelihood().build(shape=[3])
    >>> loss(torch.ones(1, 3), Batch(torch.zeros(1, 3)))
    tensor([4.2568])
    """

    def __init__(self, sigma: float = 1.0, learned: bool = False, link: str = "identity"):
        super().__init__()
        self.sigma = sigma
        self.learned = learned
        self.link = link

    def setup(self, shape, categories=None) -> None:
        """Create the standard deviations, where they are learned."""
        if not self.sigma > 0:
            raise ValueError(f"sigma must be above 0, got {self.sigma}.")
        check_choice("link", self.link, ("identity", "sigmoid"))
        if any(categories or ()):
            raise ValueError("a Gaussian likelihood is for numbers; use cell_likelihood for a table with categories.")
        self.width = shape[-1]
        constant = math.prod(shape) * (HALF_LOG_TWO_PI + math.log(self.sigma))
        self.register_buffer("constant", torch.tensor(constant, dtype=torch.float64), persistent=False)
        if self.learned:
            self.log_sigma = nn.Parameter(torch.full((self.width,), math.log(self.sigma)))

    def forward(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        if target.mask is not None or self.learned:
            return self.cells(output, target).flatten(1).sum(1)
        squares = F.mse_loss(self.mean(output), target.x, reduction="none").flatten(1)
        return torch.add(self.constant, squares.sum(1), alpha=0.5 / self.sigma**2)

    def cells(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats of each value, ``(b, *p, c)``; zero where nothing was observed."""
        log_sigma = self._log_sigma(output)
        scaled = (self.mean(output) - target.x) * torch.exp(-log_sigma)
        return observed(0.5 * scaled * scaled + log_sigma + HALF_LOG_TWO_PI, target)

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return the sum of squared differences over the observed values, ``(b,)``."""
        return observed((self.mean(output) - target.x).square(), target).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected values, ``(b, *p, c)``."""
        return output.sigmoid() if self.link == "sigmoid" else output

    def draw(self, output: Tensor) -> Tensor:
        """Return values drawn from the likelihood; with a fixed sigma, the expected ones."""
        mean = self.mean(output)
        if not self.learned:
            return mean
        return mean + torch.randn_like(output) * torch.exp(self._log_sigma(output))

    def guess(self, target: Batch) -> Tensor:
        """Return an output that would fit the target: where a decoder starts."""
        # The tangent of the logit at one half, for a sigmoid.
        return target.x if self.link == "identity" else 4 * (target.x - 0.5)

    def _log_sigma(self, like: Tensor) -> Tensor:
        # Below exp(-7) a float32 residual is rounding noise, and its weight would explode.
        return bounded(self.log_sigma, -7, 7) if self.learned else like.new_tensor(math.log(self.sigma))


def observed(values: Tensor, target: Batch) -> Tensor:
    """Zero the values whose mask is False; a mask over positions covers all channels."""
    if target.mask is None:
        return values
    mask = target.mask if target.mask.shape == values.shape else target.mask.unsqueeze(-1)
    return values.masked_fill(~mask, 0)
