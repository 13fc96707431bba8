"""The plain code: a linear map of the features, through an activation if asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.layers import activation_layer, principal_components
from isthmus.part import Part

__all__ = ["Linear", "start_at_components"]


class Linear(Part):
    """``z = activation(W features + b)``, at no cost.

    Parameters
    ----------
    size : int, optional
        Dimensions of the code. By default as many as principal components hold 95 % of the
        data's variance, at most 32 (the fact ``rank``).
    activation : str, default='identity'
        relu, gelu, silu, elu, leaky_relu, softplus, tanh, sigmoid or identity. A sigmoid
        and a sparsity penalty make a sparse code.
    whiten : bool, default=True
        Begin at principal components of variance one. False: at a rotation onto them, which keeps
        distances (all of them, if the code is as wide as the features).

    Facts
    -----
    width : int
        Channels of the features.
    rank : int, optional
        The size to take when ``size`` is None.

    Raises
    ------
    ValueError
        If the size is below 1.

    Examples
    --------
    >>> Linear(3).build(width=16)(torch.zeros(5, 16)).z.shape
    torch.Size([5, 3])
    """

    def __init__(self, size: int | None = None, activation: str = "identity", whiten: bool = True):
        super().__init__()
        self.size = size
        self.activation = activation
        self.whiten = whiten

    def setup(self, width: int, rank: int | None = None) -> None:
        """Create the layer."""
        self.linear = nn.Linear(width, code_size(self.size, rank))
        self.activate = activation_layer(self.activation)

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``."""
        return Code(self.activate(self.linear(features)), features.new_zeros(len(features)))

    def start(self, features: Tensor) -> None:
        """Begin at the principal components of the features."""
        (start_at_components if self.whiten else start_at_rotation)(self.linear, features)


def code_size(size: int | None, rank: int | None) -> int:
    """Return the code's size, or raise ValueError where it is no positive number."""
    size = (rank or 8) if size is None else size
    if not 1 <= size <= 1_000_000:
        raise ValueError(f"size must be a whole number from 1 to 1,000,000, got {size!r}.")
    return int(size)


@torch.no_grad()
def start_at_components(linear: nn.Linear, features: Tensor) -> None:
    """Let a layer read the principal components of ``features``, each with variance one.

    Where there are fewer components than outputs, the other outputs keep their random
    weights, so that training can put them to use. A layer wider than the features keeps all
    of them: the last components are noise, which unit variance would make as loud as the first.
    """
    if linear.out_features > linear.in_features:
        return
    components, scales, mean = principal_components(
        features.reshape(-1, features.shape[-1])[:4096], linear.out_features
    )
    # A component a millionth of the first is rounding noise, which unit variance would amplify.
    useful = scales > 1e-3 * scales[:1].clamp_min(1e-12)
    weight = (components[useful] / scales[useful, None]).to(linear.weight)
    linear.weight[: len(weight)] = weight
    linear.bias[: len(weight)] = -(weight @ mean.to(weight))


@torch.no_grad()
def start_at_rotation(linear: nn.Linear, features: Tensor) -> None:
    """Let a layer turn ``features`` onto their principal components, without moving or scaling them.

    Where there are fewer components than outputs, the rest of an orthonormal basis follows them. A
    layer wider than the features keeps its random weights.
    """
    size, width = linear.weight.shape
    if size > width:
        return
    components = principal_components(features.reshape(-1, width)[:4096], size)[0]
    basis, triangle = torch.linalg.qr(torch.cat([components.T, torch.eye(width).to(components)], 1))
    signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0)
    linear.weight.copy_((basis * signs)[:, :size].T)
    linear.bias.zero_()
