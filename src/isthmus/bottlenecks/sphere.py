"""Codes on a sphere: directions, drawn from a power spherical posterior or plainly normalised."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.linear import code_size, start_at_components
from isthmus.layers import bounded
from isthmus.part import Part

__all__ = ["Directions", "Hyperspherical"]

# Of the logarithm of the concentration: from nearly uniform to a hundredth of a radian.
LOG_CONCENTRATION = (-5.0, 9.0)


class Hyperspherical(Part):
    r"""A power spherical posterior on the unit sphere, held to the uniform distribution there.

    Parameters
    ----------
    size : int, optional
        Dimensions of the space around the sphere, at least 2: the code is a unit vector of that
        length. By default as for :class:`Linear`.
    beta : float, default=1.0
        Weight of the KL divergence. 1 is the evidence lower bound.

    Facts
    -----
    width : int
        Channels of the features.
    rank : int, optional
        The size to take when ``size`` is None.

    Raises
    ------
    ValueError
        If the size is below 2, or beta is negative.

    Notes
    -----
    With direction :math:`\mu`, concentration :math:`\kappa`, :math:`\beta = (d - 1) / 2` and
    :math:`\alpha = \beta + \kappa`,

    .. math:: q(z) = N^{-1} (1 + \mu^T z)^\kappa, \qquad
              \log N = (\alpha + \beta) \log 2 + \beta \log \pi
              + \log \Gamma(\alpha) - \log \Gamma(\alpha + \beta)

    .. math:: KL = -\log N + \kappa (\log 2 + \psi(\alpha) - \psi(\alpha + \beta)) + \log A_d,
              \qquad A_d = 2 \pi^{d/2} / \Gamma(d / 2)

    A draw is a Beta variable along :math:`\mu` and a uniform direction across it, reflected to
    its place; gradients pass it exactly. The von Mises-Fisher distribution, which has
    :math:`\exp(\kappa \mu^T z)` there, needs Bessel functions and rejection and is of much the
    same shape. Concentrations stay within exp(-5) and exp(9), and their gradient passes these
    bounds. In evaluation z is :math:`\mu`.

    The divergence has no way to zero but :math:`\kappa = 0`, and depends on :math:`\kappa`
    alone: unlike a normal posterior's it does not draw the means together.

    References
    ----------
    De Cao & Aziz, "The power spherical distribution", 2020, https://arxiv.org/abs/2006.04437,
    equations 5, 8, 13 and algorithm 1; Davidson et al., "Hyperspherical variational
    auto-encoders", UAI 2018, https://arxiv.org/abs/1804.00891.

    Examples
    --------
    >>> code = Hyperspherical(3).build(width=16)(torch.randn(5, 16))
    >>> code.z.shape, code.z.norm(dim=-1).allclose(torch.ones(5)), code.penalty.shape
    (torch.Size([5, 3]), True, torch.Size([5]))
    """

    def __init__(self, size: int | None = None, beta: float = 1.0):
        super().__init__()
        self.size = size
        self.beta = beta

    def setup(self, width: int, rank: int | None = None) -> None:
        """Create the layers."""
        if not self.beta >= 0:
            raise ValueError(f"beta must be at least 0, got {self.beta}.")
        self.dimensions = _dimensions(self.size, rank)
        self.linear = nn.Linear(width, self.dimensions)
        self.log_concentration = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``: drawn while training, else the direction."""
        direction, concentration = self.posterior(features)
        z = _drawn(direction, concentration) if self.training else direction
        return Code(z, self.beta * self._divergence(concentration))

    def draw(self, features: Tensor) -> Code:
        """Return the code drawn from its posterior, in evaluation too, with its ``log_ratio``."""
        direction, concentration = self.posterior(features)
        z = _drawn(direction, concentration)
        # The rounding of a dot product may put it below -1.
        along = (direction * z).sum(-1, keepdim=True).double().clamp_min(-1 + 1e-6)
        exact = concentration.double()
        log_q = exact * along.log1p() - _log_normaliser(exact, self.dimensions)
        ratio = (log_q + _log_area(self.dimensions)).flatten(1).sum(1).to(z)
        return Code(z, self.beta * self._divergence(concentration), log_ratio=ratio)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return direction ``(b, *p, d)`` and concentration ``(b, *p, 1)`` of q(z|x)."""
        # Not in bfloat16, in which no Beta variable can be drawn.
        direction, log_concentration = (_full(layer(features)) for layer in (self.linear, self.log_concentration))
        return F.normalize(direction, dim=-1), bounded(log_concentration, *LOG_CONCENTRATION).exp()

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)`` from the uniform distribution on the sphere."""
        return _uniform(n, positions, self.linear.weight)

    def start(self, features: Tensor) -> None:
        """Begin at the principal components of the features, normalised, in a narrow posterior."""
        start_at_components(self.linear, features)
        with torch.no_grad():
            self.log_concentration.weight.zero_()
            # About the spread of exp(-1) an axis that a normal posterior begins with, relative to the radius.
            self.log_concentration.bias.fill_(math.log(4.0 * self.dimensions))

    def _divergence(self, concentration: Tensor) -> Tensor:
        """Return the divergence from the uniform distribution, ``(b,)``."""
        beta = (self.dimensions - 1) / 2
        # Tens of nats are left of gammas of tens of thousands: float32 would round them off.
        exact = concentration.double()
        alpha = exact + beta
        mean_log = math.log(2) + torch.digamma(alpha) - torch.digamma(alpha + beta)
        negentropy = exact * mean_log - _log_normaliser(exact, self.dimensions)
        return (negentropy + _log_area(self.dimensions)).flatten(1).sum(1).to(concentration)


class Directions(Part):
    """``z = (W features + b) / |W features + b|``: a plain code of which only the direction counts.

    Parameters
    ----------
    size : int, optional
        Dimensions of the space around the sphere, at least 2; by default as for :class:`Linear`.

    Facts
    -----
    width : int
        Channels of the features.
    rank : int, optional
        The size to take when ``size`` is None.

    Raises
    ------
    ValueError
        If the size is below 2.

    Notes
    -----
    For codes that are compared by their cosine. It has no penalty and no posterior; ``sample``
    is uniform on the sphere, which codes resemble where a penalty spreads them.

    Examples
    --------
    >>> Directions(3).build(width=16)(torch.randn(5, 16)).z.norm(dim=-1).allclose(torch.ones(5))
    True
    """

    def __init__(self, size: int | None = None):
        super().__init__()
        self.size = size

    def setup(self, width: int, rank: int | None = None) -> None:
        """Create the layer."""
        self.linear = nn.Linear(width, _dimensions(self.size, rank))

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``."""
        return Code(F.normalize(self.linear(features), dim=-1), features.new_zeros(len(features)))

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)`` from the uniform distribution on the sphere."""
        return _uniform(n, positions, self.linear.weight)

    def start(self, features: Tensor) -> None:
        """Begin at the principal components of the features, normalised."""
        start_at_components(self.linear, features)


def _dimensions(size: int | None, rank: int | None) -> int:
    # The rank is at least 2 here: in one dimension the sphere is two points.
    dimensions = code_size(size, max(2, rank or 8))
    if dimensions < 2:
        raise ValueError(f"size must be at least 2, got {size}: the sphere of one dimension is two points; use binary.")
    return dimensions


def _log_normaliser(concentration: Tensor, dimensions: int) -> Tensor:
    beta = (dimensions - 1) / 2
    alpha = concentration + beta
    gammas = torch.lgamma(alpha) - torch.lgamma(alpha + beta)
    return (alpha + beta) * math.log(2) + beta * math.log(math.pi) + gammas


def _log_area(dimensions: int) -> float:
    """Return the logarithm of the area of the unit sphere in so many dimensions."""
    return math.log(2) + dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2)


def _drawn(direction: Tensor, concentration: Tensor) -> Tensor:
    """Return draws ``(b, *p, d)``, with gradients to both parameters."""
    beta = (direction.shape[-1] - 1) / 2
    alpha = concentration + beta
    along = 2 * torch.distributions.Beta(alpha, torch.full_like(alpha, beta)).rsample() - 1
    across = F.normalize(torch.randn_like(direction[..., 1:]), dim=-1)
    # The floor: at along = 1 the slope of the root is infinite.
    height = (1 - along.square()).clamp_min(1e-12).sqrt()
    upright = torch.cat([along, height * across], -1)
    # A Householder reflection takes the first axis to the direction.
    first = torch.zeros_like(direction)
    first[..., 0] = 1
    normal = F.normalize(first - direction, dim=-1)
    return upright - 2 * (upright * normal).sum(-1, keepdim=True) * normal


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _uniform(n: int, positions: tuple[int, ...], like: Tensor) -> Tensor:
    return F.normalize(torch.randn(n, *positions, len(like)).to(like), dim=-1)
