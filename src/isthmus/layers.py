"""Small mathematics that several slots share: activations, principal components, checks."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ACTIVATIONS",
    "BatchNorm",
    "activation_layer",
    "bounded",
    "check_choice",
    "check_widths",
    "in_full",
    "principal_components",
    "reverse_gradient",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}

# Rows or columns, whichever are fewer, that principal components are computed from.
LARGEST_GRAM = 1_024


def check_choice(name: str, value: Any, choices) -> None:
    """Raise ValueError unless value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_widths(name: str, value: Any, least: int = 0, most: int = 100) -> tuple[int, ...]:
    """Return value as a tuple of ``least`` to ``most`` layer widths, or raise ValueError."""
    widths = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not least <= len(widths) <= most or not all(width > 0 for width in widths):
        raise ValueError(f"{name} must be {least} to {most} positive whole numbers, got {value!r:.80}.")
    return tuple(int(width) for width in widths)


def activation_layer(name: str) -> nn.Module:
    """Return the activation of this name."""
    check_choice("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()


class BatchNorm(nn.Module):
    """Batch normalisation of ``(b, c)`` or ``(b, c, h, w)`` that takes a batch of one.

    One example has no spread of its own: it is normalised by the running statistics. The
    last batch of a pass over the data may well have one example.
    """

    def __init__(self, channels: int, over_images: bool = False):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if over_images else nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        norm = self.norm
        if self.training and len(x) == 1:
            return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return norm(x)


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp to ``low..high``, with the gradient of ``x`` itself.

    A plain clamp has no gradient outside: what has once left the range would stay there.
    """
    held = x.detach()
    return held.clamp(low, high) + (x - held)


def in_full(like: Tensor) -> AbstractContextManager[Any]:
    """Return a context without autocast: for densities, whose terms are large and nearly cancel."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def reverse_gradient(x: Tensor, scale: float = 1.0) -> Tensor:
    """Return ``x`` itself; its gradient is ``-scale`` times what arrives.

    Ganin & Lempitsky, 2015, https://arxiv.org/abs/1409.7495, equation 12: what comes after
    minimises a cost, what comes before maximises it.
    """
    return _Reverse.apply(x, scale)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, scale: float) -> Tensor:
        context.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return -context.scale * gradients[0], None


def principal_components(x: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return components ``(k, c)``, their standard deviations ``(k,)``, and the mean ``(c,)``.

    ``k`` is at most ``size`` and at most the numerical rank; float64 throughout. The sign of
    a component is fixed, so that one data set has one answer. Exact for up to 1,024 columns
    or rows; of wider data, 1,024 rows spread evenly are looked at.
    """
    x = x.flatten(1)
    if min(x.shape) > LARGEST_GRAM:
        # The eigenvectors of a matrix this size take half a second, and the cube of its size.
        x = x[:: math.ceil(len(x) / LARGEST_GRAM)]
    x = x.double()
    mean = x.mean(0)
    centred = x - mean
    rows, columns = centred.shape
    # The smaller Gram matrix has the same non-zero spectrum as the covariance.
    if columns <= rows:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        vectors = vectors[:, -size:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        vectors = F.normalize(centred.T @ vectors[:, -size:].flip(1), dim=0)
    values = values[-size:].flip(0).clamp_min(0)
    # Below these are the rounding of the sums, and that of the mean where all is constant.
    keep = values > (1e-9 * values[:1]).clamp_min(rows * 1e-24 * (mean.abs().max() ** 2 + 1e-6))
    values, vectors = values[keep], vectors[:, keep]
    largest = vectors.abs().argmax(0)
    vectors = vectors * vectors.gather(0, largest[None]).sign()
    return vectors.T, (values / max(rows - 1, 1)).sqrt(), mean
