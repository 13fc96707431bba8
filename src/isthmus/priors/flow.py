"""A normalising flow: any smooth shape of the codes, with an exact density and exact draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isthmus.layers import bounded, check_widths
from isthmus.part import Part

__all__ = ["Flow"]

MOST_LAYERS = 100
# A layer's log-scale lies within this of zero: a factor of 7 a layer, either way.
STEEPEST = 2.0


class Flow(Part):
    r"""``log p(z) = log N(u; 0, 1) + log |det du/dz|``, ``u = f(z)``; each position by itself.

    Parameters
    ----------
    layers : int, default=6
        Affine couplings. Each moves one half of the dimensions by what the other half says.
    hidden : int, default=64
        Width of the two hidden layers that say how.

    Facts
    -----
    size : int
        Dimensions of the code.

    Raises
    ------
    ValueError
        If layers is not within 1 and 100, or hidden is below 1.

    Notes
    -----
    .. math:: u_A = z_A, \qquad u_B = (z_B - t(z_A)) \, e^{-s(z_A)}, \qquad
              \log |\det| = -\sum s(z_A)

    with :math:`s = 2 \tanh(\cdot)`. Before the first coupling each dimension is shifted and
    scaled; that begins at mean and spread of the started codes, and the couplings at the
    identity, so that the flow begins as a normal prior. Two couplings after one another share
    a split into halves and swap them; the next two have another. A code of one dimension has
    no halves: its prior is the normal one.

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", ICLR 2017,
    https://arxiv.org/abs/1605.08803, equations 4 to 8. Differs: no batch normalisation, no
    scales of an image. As the prior of a variational auto-encoder: Chen et al., "Variational
    lossy autoencoder", ICLR 2017, https://arxiv.org/abs/1611.02731, section 3.2.

    Examples
    --------
    >>> prior = Flow(layers=4, hidden=32).build(size=3)
    >>> prior.log_prob(torch.zeros(2, 3)).shape, prior.sample(5, (7,)).shape
    (torch.Size([2]), torch.Size([5, 7, 3]))
    """

    def __init__(self, layers: int = 6, hidden: int = 64):
        super().__init__()
        self.layers = layers
        self.hidden = hidden

    def setup(self, size: int) -> None:
        """Create the couplings."""
        if not 1 <= self.layers <= MOST_LAYERS:
            raise ValueError(f"layers must be a whole number from 1 to {MOST_LAYERS}, got {self.layers}.")
        (hidden,) = check_widths("hidden", self.hidden, 1, 1)
        self.shift = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(size))
        order = torch.arange(size)
        # Of the layers' number alone: the splits are no weights, and must come back as they were.
        generator = torch.Generator().manual_seed(0)
        self.couplings = nn.ModuleList()
        for layer in range(self.layers if size > 1 else 0):
            order = order.flip(0) if layer % 2 else torch.randperm(size, generator=generator)
            self.couplings.append(_Coupling(order, hidden))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of codes ``(b, *p, d)`` in nats, ``(b,)``."""
        u, log_det = self.transform(z.reshape(-1, z.shape[-1]))
        nats = 0.5 * (u.square() + math.log(2 * math.pi)).sum(1) - log_det
        return -nats.view(len(z), -1).sum(1)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``u`` of codes ``(n, d)``, standard normal for the prior's own, and ``log |det du/dz|`` ``(n,)``."""
        log_scale = self._log_scale()
        u = (z - self.shift) * (-log_scale).exp()
        log_det = -log_scale.sum().expand(len(z))
        for coupling in self.couplings:
            u, log_scales = coupling(u)
            log_det = log_det - log_scales
        return u, log_det

    def invert(self, u: Tensor) -> Tensor:
        """Return the codes ``(n, d)`` that :meth:`transform` turns into ``u``."""
        for coupling in reversed(self.couplings):
            u = coupling.invert(u)
        return self.shift + u * self._log_scale().exp()

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)``."""
        noise = torch.randn(n * math.prod(positions), len(self.shift)).to(self.shift)
        return self.invert(noise).view(n, *positions, -1)

    @torch.no_grad()
    def start(self, z: Tensor, features: Tensor) -> None:
        """Begin at mean and spread of codes ``(b, *p, d)``."""
        flat = z.flatten(0, -2)
        self.shift.copy_(flat.mean(0))
        # A dimension that is constant now may not stay so.
        self.log_scale.copy_(flat.std(0, correction=0).clamp_min(0.1).log())

    def _log_scale(self) -> Tensor:
        return bounded(self.log_scale, -7, 7)


class _Coupling(nn.Module):
    """Shift and scale one half of the dimensions by what the other half says; comes back permuted."""

    def __init__(self, order: Tensor, hidden: int):
        super().__init__()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)
        self.kept = len(order) // 2
        moved = len(order) - self.kept
        self.says = nn.Sequential(
            nn.Linear(self.kept, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * moved),
        )
        nn.init.zeros_(self.says[-1].weight)
        nn.init.zeros_(self.says[-1].bias)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the moved dimensions among the others, and the sum of their log-scales ``(n,)``."""
        kept, moved = self._halves(z)
        shift, log_scale = self._said(kept)
        moved = (moved - shift) * (-log_scale).exp()
        return torch.cat([kept, moved], 1)[:, self.back], log_scale.sum(1)

    def invert(self, u: Tensor) -> Tensor:
        kept, moved = self._halves(u)
        shift, log_scale = self._said(kept)
        return torch.cat([kept, moved * log_scale.exp() + shift], 1)[:, self.back]

    def _halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z[:, self.order]
        return z[:, : self.kept], z[:, self.kept :]

    def _said(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.says(kept).chunk(2, 1)
        return shift, STEEPEST * torch.tanh(raw / STEEPEST)
