"""Small mathematics that several slots share: activations, principal components, checks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "activation_layer", "check_choice", "check_widths", "principal_components"]

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


def check_choice(name: str, value: Any, choices) -> None:
    """Raise ValueError unless value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_widths(name: str, value: Any, most: int = 100) -> tuple[int, ...]:
    """Return value as a tuple of layer widths, or raise ValueError."""
    widths = tuple(value) if isinstance(value, tuple | list) else (value,)
    if len(widths) > most or not all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths):
        raise ValueError(f"{name} must be at most {most} positive whole numbers, got {value!r:.80}.")
    return widths


def activation_layer(name: str) -> nn.Module:
    """Return the activation of this name."""
    check_choice("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()


def principal_components(x: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return components ``(k, c)``, their standard deviations ``(k,)``, and the mean ``(c,)``.

    ``k`` is at most ``size`` and at most the numerical rank; float64 throughout. The sign of
    a component is fixed, so that one data set has one answer.
    """
    x = x.flatten(1).double()
    mean = x.mean(0)
    centred = x - mean
    rows, columns = centred.shape
    # The smaller Gram matrix has the same non-zero spectrum as the covariance.
    if columns <= rows:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        vectors = centred.T @ vectors
    order = values.argsort(descending=True)[:size]
    values, vectors = values[order].clamp_min(0), F.normalize(vectors[:, order], dim=0)
    keep = values > 1e-9 * values[:1].clamp_min(1e-30)
    values, vectors = values[keep], vectors[:, keep]
    largest = vectors.abs().argmax(0)
    vectors = vectors * vectors.gather(0, largest[None]).sign()
    return vectors.T, (values / max(rows - 1, 1)).sqrt(), mean
