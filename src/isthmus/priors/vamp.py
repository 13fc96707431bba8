"""The VampPrior: a mixture of the posteriors of examples that are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.part import Part
from isthmus.priors.mixture import check_components, log_components

__all__ = ["VampPrior"]


class VampPrior(Part):
    r"""``p(z) = sum_k w_k q(z | u_k)``: what the posterior makes of learned pseudo-features.

    The prior that is best for the evidence lower bound is the average of the posteriors of
    all examples. This is an average of a few, of examples that training makes up.

    Parameters
    ----------
    pseudo_inputs : int, default=500
        Components of the mixture.

    Facts
    -----
    size : int
        Dimensions of the code.
    width : int
        Channels of the features that the bottleneck reads.
    positions : list of int, default=()
        Shape of the positions of a code. A component is of a whole code, all positions
        together; only positions beyond these are taken for independent.

    Raises
    ------
    ValueError
        If pseudo_inputs is not within 1 and 100,000, the prior is used without a bottleneck,
        or codes have other positions than it was built for.

    Notes
    -----
    The bottleneck that the prior belongs to gives the components' means and variances, by its
    ``posterior``; the prior has none of its own. The pseudo-features begin at the features of
    rows chosen at random, the weights equal.

    References
    ----------
    Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018, https://arxiv.org/abs/1705.07120,
    equation 9. Differs: the learned examples are **features**, the bottleneck's input, and not
    rows, which would pass through the encoder again at every step; so a step costs hardly
    more than without, any modality will do, and what is learned is not held to what the
    encoder can reach. And the weights ``w_k`` learn.

    Examples
    --------
    >>> from isthmus.bottlenecks import Gaussian
    >>> code = Gaussian(3, prior=VampPrior(pseudo_inputs=20)).build(width=16)
    >>> code.sample(5).shape
    torch.Size([5, 3])
    """

    def __init__(self, pseudo_inputs: int = 500):
        super().__init__()
        self.pseudo_inputs = pseudo_inputs

    def setup(self, size: int, width: int, positions: Sequence[int] = ()) -> None:
        """Create the pseudo-features and the weights."""
        check_components(self.pseudo_inputs, "pseudo_inputs")
        self.positions = tuple(positions)
        self.features = nn.Parameter(torch.randn(self.pseudo_inputs, *positions, width))
        self.logits = nn.Parameter(torch.zeros(self.pseudo_inputs))
        # Kept outside the module tree, for its weights are the bottleneck's.
        self._watched: tuple[Any, ...] = ()

    def watch(self, bottleneck: Part) -> None:
        """Take the posterior of this bottleneck; called once, after both were built."""
        self._watched = (bottleneck,)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of codes ``(b, *p, d)`` in nats, ``(b,)``."""
        self._check_positions(tuple(z.shape[1:-1]))
        mean, log_variance = self._components()
        log_components_ = log_components(z.reshape(-1, mean.shape[1]), mean, 0.5 * log_variance)
        return (self.logits.log_softmax(0) + log_components_).logsumexp(1).view(len(z), -1).sum(1)

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)``."""
        self._check_positions(tuple(positions))
        mean, log_variance = self._components()
        count = n * math.prod(positions) // math.prod(self.positions)
        chosen = torch.multinomial(self.logits.softmax(0), count, replacement=True)
        mean, scale = mean[chosen], (0.5 * log_variance[chosen]).exp()
        z = mean + scale * torch.randn_like(mean)
        return z.view(n, *positions, -1)

    @torch.no_grad()
    def start(self, z: Tensor, features: Tensor) -> None:
        """Begin at the features ``(b, *p, width)`` of rows chosen at random."""
        rows = features.reshape(-1, *self.features.shape[1:])
        order = torch.randperm(len(rows)).to(features.device)
        # Where there are fewer rows than components, several begin at one row.
        self.features.copy_(rows[order[torch.arange(self.pseudo_inputs, device=order.device) % len(rows)]])

    def _components(self) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the components' codes, each ``(k, values of a code)``."""
        if not self._watched:
            raise ValueError("a VampPrior needs the posterior of a bottleneck: use it as Gaussian(prior=VampPrior()).")
        mean, log_variance = self._watched[0].posterior(self.features)
        return mean.flatten(1), log_variance.flatten(1)

    def _check_positions(self, positions: tuple[int, ...]) -> None:
        own = self.positions
        if positions[len(positions) - len(own) :] != own:
            raise ValueError(f"this VampPrior is for codes with positions {own}, got {positions}; build it for those.")
