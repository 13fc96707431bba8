"""Sparse codes: L1, L2, and the KL divergence to a wanted activity."""

from __future__ import annotations

from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part

__all__ = ["L1", "L2", "KLSparsity", "check_weight"]


def check_weight(value: float) -> None:
    """Raise ValueError unless value can weigh a penalty."""
    if not value >= 0:
        raise ValueError(f"weight must be at least 0, got {value}.")


class L1(Part):
    """``weight * sum |z|``: few code dimensions in use.

    Parameters
    ----------
    weight : float, default=0.01
        Nats per unit of code.

    Raises
    ------
    ValueError
        If weight is negative.

    Notes
    -----
    A penalty on the size of the code alone is escaped by small codes and a large decoder;
    weight decay in the fit holds the decoder.

    Examples
    --------
    >>> import torch
    >>> from isthmus.batch import Code
    >>> step = Step(None, None, None, Code(torch.tensor([[1.0, -2.0]]), None), None)
    >>> L1(0.1).build()(step)
    tensor([0.3000])
    """

    def __init__(self, weight: float = 0.01):
        super().__init__()
        self.weight = weight

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        return self.weight * step.code.z.flatten(1).abs().sum(1)


class L2(Part):
    """``weight / 2 * sum z**2``: small codes.

    Parameters
    ----------
    weight : float, default=0.01
        Nats per squared unit of code.

    Raises
    ------
    ValueError
        If weight is negative.

    Notes
    -----
    With ``weight=1`` and a deterministic code this is the prior term of a standard normal,
    as in Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020,
    https://arxiv.org/abs/1903.12436, equation 11.

    Examples
    --------
    >>> import torch
    >>> from isthmus.batch import Code
    >>> step = Step(None, None, None, Code(torch.tensor([[1.0, -2.0]]), None), None)
    >>> L2(0.1).build()(step)
    tensor([0.2500])
    """

    def __init__(self, weight: float = 0.01):
        super().__init__()
        self.weight = weight

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        return 0.5 * self.weight * step.code.z.flatten(1).square().sum(1)


class KLSparsity(Part):
    r"""Hold each code unit's mean activity to a wanted one.

    Parameters
    ----------
    activity : float, default=0.05
        Wanted mean of each unit over a batch, between 0 and 1.
    weight : float, default=1.0
        Weight of the divergence.

    Raises
    ------
    ValueError
        If activity is not between 0 and 1, or weight is negative, or the code is not
        within 0 and 1 (use ``linear(activation='sigmoid')``).

    Notes
    -----
    .. math:: \sum_j \rho \log \frac{\rho}{\hat\rho_j}
              + (1 - \rho) \log \frac{1 - \rho}{1 - \hat\rho_j}

    with :math:`\hat\rho_j` the batch mean of unit j: every example bears the same penalty.

    References
    ----------
    Ng, "Sparse autoencoder", CS294A lecture notes, 2011, page 15.

    Examples
    --------
    >>> import torch
    >>> from isthmus.batch import Code
    >>> step = Step(None, None, None, Code(torch.full((4, 2), 0.05), None), None)
    >>> KLSparsity(0.05).build()(step)
    tensor([0., 0., 0., 0.])
    """

    def __init__(self, activity: float = 0.05, weight: float = 1.0):
        super().__init__()
        self.activity = activity
        self.weight = weight

    def setup(self) -> None:
        """Check the params."""
        check_weight(self.weight)
        if not 0 < self.activity < 1:
            raise ValueError(f"activity must be between 0 and 1, got {self.activity}.")

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z = step.code.z
        if bool((z < 0).any() | (z > 1).any()):
            raise ValueError(
                f"kl_sparsity needs a code within 0 and 1, got {z.min():.3g} to {z.max():.3g}; "
                "use the bottleneck linear(activation='sigmoid')."
            )
        # A unit off, or on, in the whole batch would cost infinity. The lower bound is far down:
        # a sigmoid's own slope keeps the gradient finite there, and past the bound there is none.
        mean = z.flatten(0, -2).mean(0).clamp(1e-12, 1 - 1e-6)
        wanted = self.activity
        divergence = wanted * (wanted / mean).log() + (1 - wanted) * ((1 - wanted) / (1 - mean)).log()
        return (self.weight * divergence.sum()).expand(len(z))
