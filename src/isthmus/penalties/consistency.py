"""Codes that hold still where the meaning does, and that say as much as they can."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.batch import Batch, Step
from isthmus.part import Part
from isthmus.penalties.pieces import observed_positions, over_positions
from isthmus.penalties.sparse import check_weight

__all__ = ["Consistency"]


class Consistency(Part):
    r"""What the code loses when the example is changed a little: by chance, or for the worst.

    Parameters
    ----------
    corruption : Part, optional
        What changes an example and keeps its meaning: one of ``isthmus.corruptions``. By
        default the change is the small one that moves the code most (virtual adversarial).
    weight : float, default=1.0
        Weight of the divergence.
    radius : float, default=1.0
        Euclidean length of the adversarial change, in the units of the batch.

    Facts
    -----
    shape : list of int
        Of an example; for the corruption.
    categories : list of int, optional
        Symbols in each column of a table; for the corruption.

    Raises
    ------
    ValueError
        If weight is negative, radius is not above 0, or the data has categories only.

    Notes
    -----
    For codes with probabilities (one_hot, binary), summed over symbols and positions,

    .. math:: KL(q(z|x) \,\|\, q(z|x'))

    and for others the squared distance of the codes that evaluation would give. The first of
    the two is the goal of the second: no gradient passes it.

    The adversarial change is the radius times the direction of the gradient of that divergence
    at a tiny random change (one power iteration): two passes through the encoder more.

    References
    ----------
    Miyato et al., "Virtual adversarial training", 2018, https://arxiv.org/abs/1704.03976,
    algorithm 1; Hu et al., "Learning discrete representations via information maximizing
    self-augmented training", ICML 2017, https://arxiv.org/abs/1702.08720, equations 5 and 8.
    Differs: one radius for all examples, where the latter takes a quarter of the distance to
    the tenth neighbour.

    Examples
    --------
    >>> from isthmus.corruptions import GaussianNoise
    >>> Consistency(GaussianNoise(0.1)).build(shape=[3])
    Consistency(corruption=GaussianNoise())
    """

    def __init__(self, corruption: Part | None = None, weight: float = 1.0, radius: float = 1.0):
        super().__init__()
        self.corruption = corruption
        self.weight = weight
        self.radius = radius

    def setup(self, shape, categories=None) -> None:
        """Build the corruption."""
        check_weight(self.weight)
        if not self.radius > 0:
            raise ValueError(f"radius must be above 0, got {self.radius}.")
        if self.corruption is not None:
            self.corruption.build_with({"shape": shape, "categories": categories})
        elif categories and all(categories):
            raise ValueError("an adversarial change needs numbers in the data; give a corruption such as mask().")
        numbers = [float(not symbols) for symbols in categories or [0] * shape[-1]]
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)
        self._watched: tuple = ()

    def watch(self, encoder: Part, bottleneck: Part) -> None:
        """Remember what codes changed examples."""
        # A plain tuple: the weights stay theirs.
        self._watched = (encoder, bottleneck)
        self._has_symbols = hasattr(bottleneck, "log_probs")

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        goal = self._code(step.features).detach()
        changed = self._worst(step, goal) if self.corruption is None else self.corruption(step.target)
        return self.weight * self._divergence(goal, self._code(self._watched[0](changed)), step)

    def _code(self, features: Tensor) -> Tensor:
        """Return log-probabilities of symbols, or the code that evaluation would give."""
        bottleneck = self._watched[1]
        if self._has_symbols:
            return bottleneck.log_probs(features)
        was_training = bottleneck.training
        z = bottleneck.eval()(features).z
        bottleneck.train(was_training)
        return z

    def _divergence(self, goal: Tensor, other: Tensor, step: Step) -> Tensor:
        nats = (goal.exp() * (goal - other)).sum(-1) if self._has_symbols else (goal - other).square()
        return over_positions(nats.sum(-1), observed_positions(step, step.code.z))

    def _worst(self, step: Step, goal: Tensor) -> Batch:
        """Return the examples moved by ``radius`` along the gradient of the divergence."""
        encoder, target, x = self._watched[0], step.target, step.target.x
        # Categories are no numbers to be moved.
        tiny = (1e-2 * _unit(self.numbers * torch.randn_like(x))).requires_grad_()
        divergence = self._divergence(goal, self._code(encoder(target.with_x(x + tiny))), step)
        (direction,) = torch.autograd.grad(divergence.sum(), tiny)
        return target.with_x(x + self.radius * _unit(self.numbers * direction))


def _unit(x: Tensor) -> Tensor:
    """Return each example divided by its Euclidean length."""
    flat = x.flatten(1)
    return (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).view_as(x)
