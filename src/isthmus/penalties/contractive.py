"""The contractive penalty: codes that hardly move when the input does."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.sparse import check_weight

__all__ = ["Contractive"]


class Contractive(Part):
    r"""``weight * ||dz/dx||_F^2``, the squared Frobenius norm of the encoder's Jacobian.

    Parameters
    ----------
    weight : float, default=0.1
        Weight of the squared norm.
    n_probes : int, default=1
        Random directions of the code a step, where the norm is estimated.

    Raises
    ------
    ValueError
        If weight is negative, n_probes is below 1, or the data has categories only.

    Notes
    -----
    From input to code one linear layer W and a sigmoid or tanh: the closed form

    .. math:: \sum_j s'(a_j)^2 \sum_i W_{ji}^2, \qquad
              s' = z (1 - z) \text{ or } 1 - z^2

    in ``O(inputs * code)``. Any other encoder: Hutchinson's estimate
    :math:`\mathrm{E}_v \|v^T J\|^2` with v of independent signs, unbiased, one double
    backward pass a probe; it takes encoders whose examples do not see each other (no batch
    normalisation).

    With untied weights the encoder can shrink and the decoder grow, so that the penalty
    vanishes without any contraction; use ``mlp_decoder(tied=True, shortcut=False)``.

    References
    ----------
    Rifai et al., "Contractive auto-encoders", ICML 2011, equation 7 and section 5.3;
    Hutchinson, 1990.

    Examples
    --------
    >>> Contractive(0.1).build()
    Contractive()
    """

    needs_source_gradient = True

    def __init__(self, weight: float = 0.1, n_probes: int = 1):
        super().__init__()
        self.weight = weight
        self.n_probes = n_probes

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)
        if self.n_probes < 1:
            raise ValueError(f"n_probes must be at least 1, got {self.n_probes}.")
        self._one_layer: tuple = ()

    def watch(self, encoder: Part, bottleneck: Part) -> None:
        """Use the closed form where it holds: no layer before the bottleneck's only one."""
        activation = getattr(bottleneck, "activation", None)
        if getattr(encoder, "is_identity", False) and activation in ("sigmoid", "tanh"):
            # A plain tuple: the weights stay the bottleneck's.
            self._one_layer = (bottleneck,)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        if self._one_layer:
            return self.weight * self._closed_form(step.code.z)
        return self.weight * self._estimate(step.code.z, step.source.x)

    def _closed_form(self, z: Tensor) -> Tensor:
        (layer,) = self._one_layer
        slope = z * (1 - z) if layer.activation == "sigmoid" else 1 - z.square()
        return slope.square() @ layer.linear.weight.square().sum(1)

    def _estimate(self, z: Tensor, x: Tensor) -> Tensor:
        total = z.new_zeros(len(z))
        for _ in range(self.n_probes):
            signs = torch.empty_like(z).bernoulli_(0.5).mul_(2).sub_(1)
            (gradient,) = torch.autograd.grad(z, x, signs, create_graph=True, allow_unused=True)
            if gradient is None:
                raise ValueError("contractive needs numbers in the data: the code does not depend on any through x.")
            total = total + gradient.flatten(1).square().sum(1)
        return total / self.n_probes
