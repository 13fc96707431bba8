"""The contractive penalty: codes that hardly move when the input does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.jacobian import directional, has_closed_form, slopes, unit_directions
from isthmus.penalties.sparse import check_weight

__all__ = ["Contractive"]


class Contractive(Part):
    r"""``weight * ||dz/dx||_F^2``, the squared Frobenius norm of the encoder's Jacobian.

    Parameters
    ----------
    weight : float, default=0.1
        Weight of the squared norm.
    n_probes : int, default=1
        Random directions of the code a step, where the norm is estimated. As many as the code
        has values, or more: each value's own direction instead, and the norm is exact.
    curvature : float, default=0.0
        Weight of the squared change of the Jacobian from an input to a noisy one (CAE+H).
    noise : float, default=0.1
        Standard deviation of that noise, in the units that the encoder reads.

    Raises
    ------
    ValueError
        If weight or curvature is negative, noise is not above 0, n_probes is below 1, or the
        data has categories only.

    Notes
    -----
    From input to code one linear layer W and a sigmoid or tanh: the closed form

    .. math:: \sum_j s'(a_j)^2 \sum_i W_{ji}^2, \qquad
              s' = z (1 - z) \text{ or } 1 - z^2

    in ``O(inputs * code)``. Any other encoder: Hutchinson's estimate
    :math:`\mathrm{E}_v \|v^T J\|^2` with v of independent signs, unbiased, one double
    backward pass a probe; it takes encoders whose examples do not see each other (no batch
    normalisation).

    With curvature the cost has :math:`\|J(x) - J(x + \epsilon)\|_F^2` besides, for one draw of
    the noise a step, in the same closed form or by the same probes; one more pass of the encoder.

    With untied weights the encoder can shrink and the decoder grow, so that the penalty
    vanishes without any contraction; use ``mlp_decoder(tied=True, shortcut=False)``.

    :func:`isthmus.penalties.jacobian.jacobian_norms` measures what came of it, and
    :func:`~isthmus.penalties.jacobian.saturation` the share of saturated units.

    References
    ----------
    Rifai et al., "Contractive auto-encoders", ICML 2011, equation 7 and section 5.3; Rifai et
    al., "Higher order contractive auto-encoder", ECML 2011, equation 6 (curvature, with one
    noisy input for several); Hutchinson, 1990.

    Examples
    --------
    >>> Contractive(0.1).build()
    Contractive()
    """

    needs_source_gradient = True

    def __init__(self, weight: float = 0.1, n_probes: int = 1, curvature: float = 0.0, noise: float = 0.1):
        super().__init__()
        self.weight = weight
        self.n_probes = n_probes
        self.curvature = curvature
        self.noise = noise

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)
        if self.n_probes < 1:
            raise ValueError(f"n_probes must be at least 1, got {self.n_probes}.")
        if not self.curvature >= 0 or not self.noise > 0:
            raise ValueError(f"curvature must be at least 0 and noise above 0, got {self.curvature} and {self.noise}.")
        self._line: tuple[Any, ...] = ()

    def watch(self, encoder: Part, bottleneck: Part) -> None:
        """Remember the way from input to code: it may have a closed form, and noisy inputs go it too."""
        # A plain tuple: the weights stay theirs.
        self._line = (encoder, bottleneck)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        noisy = self._noisy(step) if self.curvature else None
        if self._line and has_closed_form(*self._line):
            return self._closed_form(step.code.z, noisy)
        return self._estimate(step.code.z, step.source.x, noisy)

    def _noisy(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return an input with noise, and its code."""
        encoder, bottleneck = self._line
        x = step.source.x.detach()
        x = (x + self.noise * torch.randn_like(x)).requires_grad_()
        return x, bottleneck(encoder(step.source.with_x(x))).z

    def _closed_form(self, z: Tensor, noisy: tuple[Tensor, Tensor] | None) -> Tensor:
        _, layer = self._line
        rows = layer.linear.weight.square().sum(1)
        slope = slopes(z, layer.activation)
        nats = self.weight * (slope.square() @ rows)
        if noisy is not None:
            change = slope - slopes(noisy[1], layer.activation)
            nats = nats + self.curvature * (change.square() @ rows)
        return nats

    def _estimate(self, z: Tensor, x: Tensor, noisy: tuple[Tensor, Tensor] | None) -> Tensor:
        exact = z[0].numel() <= self.n_probes
        directions = unit_directions(z) if exact else (_signs(z) for _ in range(self.n_probes))
        total = z.new_zeros(len(z))
        for direction in directions:
            slope = directional(z, x, direction)
            total = total + self.weight * slope.flatten(1).square().sum(1)
            if noisy is not None:
                change = slope - directional(noisy[1], noisy[0], direction)
                total = total + self.curvature * change.flatten(1).square().sum(1)
        return total if exact else total / self.n_probes


def _signs(z: Tensor) -> Tensor:
    return torch.empty_like(z).bernoulli_(0.5).mul_(2).sub_(1)
