"""Squared error of pixels, in the units that rates are weighed against."""

from __future__ import annotations

import math

from torch import Tensor

from isthmus.batch import Batch
from isthmus.losses.gaussian import observed
from isthmus.losses.pixels import PixelError

__all__ = ["SquaredError"]

LEVELS = 255


class SquaredError(PixelError):
    r"""Squared error of values between 0 and 1, as if in bits a pixel; the output is cut to that range.

    Parameters
    ----------
    weight : float, default=1.0
        Bits a pixel that a mean squared error of one (in steps of 8-bit values) costs, where the
        bottleneck does not weigh examples itself.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Must be zeros: every channel is a number.

    Raises
    ------
    ValueError
        If weight is not positive, or a channel has categories.

    Notes
    -----
    .. math:: w \ln 2 \, \frac{1}{c} \sum_i (255 (\hat x_i - x_i))^2

    With a rate of R nats over n pixels, R + nats = n ln 2 (bits a pixel + w MSE): what image
    codecs minimise. It is a Gaussian's likelihood without its constants, which a bottleneck that
    weighs examples would weigh too. The gradient passes the cut: an output beyond the range is
    drawn back, but only as far as that is wrong.

    References
    ----------
    Theis et al., 2017, https://arxiv.org/abs/1703.00395, section 2 (the gradient of clipping
    is taken to be 1).

    Examples
    --------
    >>> import torch
    >>> loss = SquaredError().build(shape=[2, 3])
    >>> nats = loss(torch.full((1, 2, 3), 1 / 255), Batch(torch.zeros(1, 2, 3)))
    >>> round(float(nats / (2 * math.log(2))), 4)
    1.0
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def setup(self, shape, categories=None) -> None:
        """Remember how many values the decoder must give."""
        if not self.weight > 0:
            raise ValueError(f"weight must be above 0, got {self.weight}.")
        if any(categories or ()):
            raise ValueError("a squared error is for numbers; use cell_likelihood for a table with categories.")
        self.width = shape[-1]
        self.factor = self.weight * math.log(2) * LEVELS**2 / self.width

    def forward(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        return self.error(output, target) * self.factor

    def cells(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats of each value, ``(b, *p, c)``; zero where nothing was observed."""
        return observed((self.mean(output) - target.x).square(), target) * self.factor
