"""The normal prior, as fixed as it is usual, or with a mean and a spread that learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isthmus.part import Part

__all__ = ["Normal"]


class Normal(Part):
    r"""``log p(z) = sum_j log N(z_j; m_j, s_j^2)``, each position of a code by itself.

    Parameters
    ----------
    learned : bool, default=False
        Learn mean and standard deviation of each dimension; they begin at those of the
        started codes. Otherwise they are 0 and 1.

    Facts
    -----
    size : int
        Dimensions of the code.

    Notes
    -----
    ``Gaussian()`` without a prior is the standard normal too, with its divergence in closed
    form, which varies less from draw to draw. This part is for the learned one, and for
    objectives and comparisons that want the drawn ratio.

    Examples
    --------
    >>> prior = Normal().build(size=3)
    >>> prior.log_prob(torch.zeros(2, 3))
    tensor([-2.7568, -2.7568])
    >>> prior.sample(4, (5,)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, learned: bool = False):
        super().__init__()
        self.learned = learned

    def setup(self, size: int) -> None:
        """Create mean and log standard deviation."""
        for name in ("mean", "log_scale"):
            value = torch.zeros(size)
            if self.learned:
                setattr(self, name, nn.Parameter(value))
            else:
                self.register_buffer(name, value, persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of codes ``(b, *p, d)`` in nats, ``(b,)``."""
        scaled = (z - self.mean) * (-self.log_scale).exp()
        return -(0.5 * (scaled.square() + math.log(2 * math.pi)) + self.log_scale).flatten(1).sum(1)

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)``."""
        noise = torch.randn(n, *positions, len(self.mean)).to(self.mean)
        return self.mean + self.log_scale.exp() * noise

    def start(self, z: Tensor, features: Tensor) -> None:
        """Begin a learned prior at mean and spread of codes ``(b, *p, d)``."""
        if self.learned:
            flat = z.flatten(0, -2)
            with torch.no_grad():
                self.mean.copy_(flat.mean(0))
                # A dimension that is constant now may not stay so.
                self.log_scale.copy_(flat.std(0, correction=0).clamp_min(0.1).log())
