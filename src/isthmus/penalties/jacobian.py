"""How much a code moves with its input: the encoder's Jacobian, and how saturated its units are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from isthmus.batch import Batch

__all__ = ["directional", "has_closed_form", "jacobian_norms", "saturation", "slopes", "unit_directions"]


def has_closed_form(encoder: Any, bottleneck: Any) -> bool:
    """Whether from input to code there is one linear layer and a sigmoid or tanh."""
    return getattr(encoder, "is_identity", False) and getattr(bottleneck, "activation", None) in ("sigmoid", "tanh")


def slopes(z: Tensor, activation: str) -> Tensor:
    """Return the derivative of a sigmoid or tanh whose value is ``z``."""
    return z * (1 - z) if activation == "sigmoid" else 1 - z.square()


def unit_directions(z: Tensor) -> Iterator[Tensor]:
    """Yield, for each value of a code, the direction of it alone, in the shape of ``z``."""
    for j in range(z[0].numel()):
        direction = torch.zeros_like(z)
        direction.flatten(1)[:, j] = 1
        yield direction


def directional(z: Tensor, x: Tensor, direction: Tensor, keep: bool = True) -> Tensor:
    """Return ``v^T J`` for each example, in the shape of ``x``: the input's gradient of ``v^T z``.

    Parameters
    ----------
    z, x, direction : Tensor
        The code, the input that it was computed from, and v.
    keep : bool, default=True
        Keep the graph, so that the result can be differentiated again.

    Raises
    ------
    ValueError
        If the code does not depend on ``x``.
    """
    (gradient,) = torch.autograd.grad(z, x, direction, create_graph=keep, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError("contractive needs numbers in the data: the code does not depend on any through x.")
    return gradient


def jacobian_norms(encoder: Any, bottleneck: Any, source: Batch) -> Tensor:
    r"""Return :math:`\|dz/dx\|_F` at each example, ``(b,)``, exactly.

    Parameters
    ----------
    encoder, bottleneck : Part
        Built; as in ``AutoEncoder.module_``.
    source : Batch
        Expanded: what the encoder reads.

    Notes
    -----
    One layer and a sigmoid or tanh: in closed form. Otherwise one backward pass for each value
    of a code. Examples must not see each other: in evaluation mode they do not.

    Examples
    --------
    >>> from isthmus.bottlenecks import Linear
    >>> from isthmus.networks import MLPEncoder
    >>> encoder = MLPEncoder((8,)).build(shape=[5])
    >>> jacobian_norms(encoder, Linear(2).build(width=8), Batch(torch.zeros(3, 5))).shape
    torch.Size([3])
    """
    x = source.x.detach().requires_grad_()
    with torch.enable_grad():
        z = bottleneck(encoder(source.with_x(x))).z
        if has_closed_form(encoder, bottleneck):
            rows = bottleneck.linear.weight.square().sum(1)
            return (slopes(z, bottleneck.activation).square() @ rows).sqrt().detach()
        squares = [directional(z, x, one, keep=False).flatten(1).square().sum(1) for one in unit_directions(z)]
    return torch.stack(squares).sum(0).sqrt()


def saturation(z: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return the share of each example's units within a twentieth of an end of their range, ``(b,)``.

    Parameters
    ----------
    z : Tensor
        Codes of a sigmoid, or of a tanh with ``low=-1``, ``(b, *p, d)``.
    low, high : float
        The range.
    """
    margin = 0.05 * (high - low)
    return ((z < low + margin) | (z > high - margin)).flatten(1).double().mean(1)
