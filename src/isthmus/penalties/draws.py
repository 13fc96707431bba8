"""Draws from what codes should be like, for penalties that compare the two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.part import Part

__all__ = ["PriorDraws"]


class PriorDraws:
    """Draw codes from a part of ``isthmus.priors``, the standard normal, or a uniform one-hot.

    Parameters
    ----------
    prior : Part or None
        A prototype, which is built here; None for the standard normal.
    categorical : bool
        Draw one-hot vectors instead.
    size : int
        Dimensions of a code.
    positions : sequence of int
        Positions with a code each.
    width : int or None
        Channels of the features.

    Raises
    ------
    ValueError
        If both a prior and categorical draws are asked for.
    """

    def __init__(self, prior: Part | None, categorical: bool, size: int, positions: Sequence[int], width: int | None):
        if categorical and prior is not None:
            raise ValueError("categorical draws need no prior; leave one of categorical and prior out.")
        self.prior, self.categorical = prior, categorical
        if prior is not None:
            prior.build_with({"size": size, "width": width, "positions": list(positions)})
            # Learned, it would come to the codes instead.
            prior.requires_grad_(False)

    def watch(self, bottleneck: Part) -> None:
        """Let a prior look at the bottleneck, where it asks to."""
        if self.prior is not None and hasattr(self.prior, "watch"):
            self.prior.watch(bottleneck)

    @torch.no_grad()
    def like(self, z: Tensor) -> Tensor:
        """Return as many draws as there are codes in ``z``, ``(b, *p, d)``."""
        if self.categorical:
            return F.one_hot(torch.randint(z.shape[-1], z.shape[:-1], device=z.device), z.shape[-1]).to(z)
        if self.prior is not None:
            return self.prior.sample(len(z), tuple(z.shape[1:-1]))
        return torch.randn_like(z)
