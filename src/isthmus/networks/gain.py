"""Divisive normalisation across channels, and its inverse."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.layers import bounded

__all__ = ["SimplifiedGDN"]

LEAST = 1e-4


class SimplifiedGDN(nn.Module):
    r"""Divide each channel by how much goes on in all of them: ``(b, c, h, w)``.

    .. math:: y_i = x_i / (\beta_i + \sum_j \gamma_{ij} |x_j|)

    with beta and gamma kept positive; the inverse multiplies.

    References
    ----------
    Johnston et al., "Computationally efficient neural image compression", 2019,
    https://arxiv.org/abs/1912.08771, section 4: no square and no root, as good as the
    normalisation of Balle et al., 2016, https://arxiv.org/abs/1511.06281.
    """

    def __init__(self, channels: int, inverse: bool = False):
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(0.1 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        beta = bounded(self.beta, LEAST, math.inf)
        gamma = bounded(self.gamma, 0.0, math.inf)
        activity = F.conv2d(x.abs(), gamma[:, :, None, None], beta)
        return x * activity if self.inverse else x / activity
