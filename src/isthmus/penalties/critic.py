"""The other side of an adversarial penalty: a critic, and how it and the model take turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from isthmus.layers import activation_layer, check_choice, check_widths, reverse_gradient

__all__ = ["UPDATES", "DenseCritic", "Game", "check_rate"]

UPDATES = ("reversal", "alternating", "simultaneous")


class Judge(Protocol):
    """A critic as a function: of values, in a graph or out of it."""

    def __call__(self, values: Tensor, /, **more: Any) -> Tensor:
        """Return logits."""
        ...


class DenseCritic(nn.Module):
    """Dense layers on the last axis: ``(..., width)`` to logits ``(..., outputs)``.

    Parameters
    ----------
    width : int
        Channels of what is judged.
    hidden : tuple of int
        Width of each layer; none makes it linear.
    outputs : int, default=1
        Logits.

    Notes
    -----
    No normalisation over the batch: it would tell the critic which rows came together.
    """

    def __init__(self, width: int, hidden: tuple[int, ...], outputs: int = 1):
        super().__init__()
        widths = (width, *check_widths("hidden", hidden))
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), activation_layer("leaky_relu")]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.layers(x)


class Game(nn.Module):
    r"""A critic C that learns to judge values v, and a model that learns to be judged otherwise.

    Parameters
    ----------
    critic : nn.Module
        What judges.
    updates : {'reversal', 'alternating', 'simultaneous'}
        Who learns when, and from what, with :math:`c(C, v)` the critic's cost and
        :math:`m(C, v)` what the model minimises instead:

        - ``'reversal'``: ``c(C, v)`` at each step, and its gradient at v times ``-weight``
          goes on to the model: one pass, a minimax game.
        - ``'alternating'``: ``c(C, v.detach())`` at odd steps, ``weight * m(C fixed, v)`` at
          even ones.
        - ``'simultaneous'``: both of these at each step, for a second pass of the critic.

    Attributes
    ----------
    turn : Tensor
        Steps taken; a buffer, so that a resumed fit goes on with the right player.

    Notes
    -----
    One optimizer holds both players. At the model's turn the critic has no gradient, but the
    running mean of its gradients (AdamW's) still moves it a little.

    References
    ----------
    Ganin & Lempitsky, 2015, https://arxiv.org/abs/1409.7495, equation 12 (reversal);
    Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661, section 3 (the model's own cost,
    which does not saturate where the critic is sure).
    """

    is_game = True
    turn: Tensor

    def __init__(self, critic: nn.Module, updates: str):
        super().__init__()
        check_choice("updates", updates, UPDATES)
        self.critic = critic
        self.updates = updates
        # Not saved: a fitted model plays no more. A checkpoint holds every buffer.
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(
        self,
        values: Tensor,
        weight: float,
        critic_cost: Callable[[Judge, Tensor], Tensor],
        model_cost: Callable[[Judge, Tensor], Tensor],
    ) -> Tensor:
        """Return nats ``(b,)`` of the player, or players, whose turn it is.

        Parameters
        ----------
        values : Tensor
            What is judged; the model learns through them.
        weight : float
            Of the model's side alone: the critic learns as fast whatever it is.
        critic_cost, model_cost : callable
            Of a judge and the values, nats ``(b,)``.
        """
        if self.updates == "reversal":
            return critic_cost(self.critic, reverse_gradient(values, weight))
        if self.updates == "simultaneous":
            return critic_cost(self.critic, values.detach()) + weight * model_cost(self.fixed, values)
        if int(self.turn) % 2 == 0:  # the first step is the critic's
            return critic_cost(self.critic, values.detach())
        return weight * model_cost(self.fixed, values)

    def fixed(self, values: Tensor, /, **more: Any) -> Tensor:
        """Judge by the critic as it is: gradients reach the values, not its weights."""
        weights = {name: parameter.detach() for name, parameter in self.critic.named_parameters()}
        return functional_call(self.critic, weights, (values,), more)

    def after_step(self, progress: float) -> None:
        """Count the step."""
        self.turn += 1


def check_rate(value: float) -> None:
    """Raise ValueError unless value can scale a learning rate."""
    if not value > 0:
        raise ValueError(f"learning_rate_scale must be above 0, got {value}.")
