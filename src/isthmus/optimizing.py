"""The optimizer's side of the loop: AdamW, clipping and averaging on one flat vector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["FlatAdamW"]

BETAS = (0.9, 0.999)
EPSILON = 1e-8
LARGE = 16_384


class FlatAdamW:
    """AdamW over all parameters of a module, small ones laid end to end.

    A small network's step is mostly calls, not arithmetic. With its parameters and gradients
    as views into one vector, clipping, the update and the moving average are one call each,
    whatever the number of layers.

    Parameters
    ----------
    module : nn.Module
        Its parameters become views; :meth:`release` gives them their own storage back.
        Parameters whose part has an attribute ``learning_rate_scale`` learn at that multiple.
    weight_decay : float
        Decoupled decay of all weights.
    clip : float
        Gradients longer than this many times their own running mean length are cut to that.
        Zero: never. (A limit in absolute units would depend on the size of an example, as
        costs are sums.)
    ema : float
        Decay a step of the moving average of the weights; zero: no average.

    References
    ----------
    Loshchilov & Hutter, 2019, https://arxiv.org/abs/1711.05101. The clipping limit follows
    the run's own gradients, as in Seetharaman et al., 2020, https://arxiv.org/abs/2007.14469,
    with a mean for their percentile. The average's decay warms up as in TensorFlow's
    ExponentialMovingAverage: ``min(ema, (1 + t) / (10 + t))``.
    """

    def __init__(self, module: nn.Module, weight_decay: float = 1e-4, clip: float = 5.0, ema: float = 0.999):
        self.weight_decay, self.clip, self.ema = weight_decay, clip, ema
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter, scale in _scaled(module):
            groups.setdefault(scale, []).append(parameter)
        self._groups = [_Group(scale, members) for scale, members in groups.items()]
        values = self._values()
        self._averages = [value.clone() for value in values] if ema else []
        self._typical = values[0].new_zeros(())
        self._steps = 0
        # Averaging a large network at every step would cost a twentieth of it.
        self._every = 1 if sum(value.numel() for value in values) < 200_000 else 8

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for group in self._groups:
            group.zero_grad()

    def step(self, learning_rate: float) -> None:
        """Clip, update, average."""
        if self.clip:
            self._clip()
        for group in self._groups:
            # torch's own update without the class around it, whose bookkeeping takes longer
            # than the arithmetic of a small network.
            adamw(
                group.values,
                group.gradients(),
                group.means,
                group.squares,
                [],
                group.steps,
                fused=True,
                amsgrad=False,
                maximize=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                eps=EPSILON,
                lr=learning_rate * group.scale,
                weight_decay=self.weight_decay,
            )
        self._steps += 1
        if self._averages and self._steps % self._every == 0:
            decay = min(self.ema, (1 + self._steps) / (10 + self._steps)) ** self._every
            torch._foreach_lerp_(self._averages, self._values(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the averaged weights in the module for a while."""
        kept = self.weights() if self._averages else []
        self.put(self._averages)
        try:
            yield
        finally:
            self.put(kept)

    def weights(self) -> list[Tensor]:
        """Return a copy of all weights, as :meth:`put` takes them."""
        return [value.clone() for value in self._values()]

    @torch.no_grad()
    def put(self, weights: list[Tensor]) -> None:
        """Write weights into the module; an empty list leaves them."""
        for value, given in zip(self._values(), weights, strict=False):
            value.copy_(given)

    def state(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on, by name."""
        return {name: value.clone() for name, value in self._named()} | {"steps": torch.tensor(self._steps)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        self._steps = int(state["steps"])
        for name, value in self._named():
            value.copy_(state[name])

    @torch.no_grad()
    def release(self) -> None:
        """Give every parameter its own storage back, without gradients."""
        for group in self._groups:
            group.release()

    def _values(self) -> list[Tensor]:
        return [value for group in self._groups for value in group.values]

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        yield "typical", self._typical
        for i, average in enumerate(self._averages):
            yield f"average.{i}", average
        for g, group in enumerate(self._groups):
            for kind in ("values", "means", "squares", "steps"):
                for i, value in enumerate(getattr(group, kind)):
                    yield f"{kind}.{g}.{i}", value

    def _clip(self) -> None:
        gradients = [gradient for group in self._groups for gradient in group.gradients()]
        norms = torch._foreach_norm(gradients)
        norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        if self._steps == 0:
            self._typical.copy_(norm)
        limit = self.clip * self._typical
        # On the processor a scalar is read for nothing, and an ordinary gradient left as it is.
        if norm.device.type != "cpu" or not norm <= limit:
            torch._foreach_mul_(gradients, (limit / norm.clamp_min(1e-30)).clamp_max(1))
        self._typical.lerp_(torch.minimum(norm, limit), 0.05)


class _Group:
    """Parameters with one learning-rate scale: small ones end to end in one vector, each large one alone.

    A large gradient is left to autograd, which hands over the tensor it made: adding it into
    a vector would cost more than the call that is saved.
    """

    def __init__(self, scale: float, members: list[nn.Parameter]):
        self.scale = scale
        self._small = [parameter for parameter in members if parameter.numel() < LARGE]
        self._large = [parameter for parameter in members if parameter.numel() >= LARGE]
        self._flat: Tensor | None = None
        self._gradient: Tensor | None = None
        if self._small:
            self._flat, self._gradient = _lay_out(self._small)
        for parameter in self._large:
            parameter.grad = None
        self.values = ([] if self._flat is None else [self._flat]) + [large.data for large in self._large]
        self.means = [torch.zeros_like(value) for value in self.values]
        self.squares = [torch.zeros_like(value) for value in self.values]
        self.steps = [torch.zeros((), dtype=torch.float32, device=value.device) for value in self.values]

    def zero_grad(self) -> None:
        if self._gradient is not None:
            self._gradient.zero_()
        for parameter in self._large:
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the gradients beside ``values``; zeros for a large parameter that was not used."""
        for parameter in self._large:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        first = [] if self._gradient is None else [self._gradient]
        return first + [parameter.grad for parameter in self._large if parameter.grad is not None]

    def release(self) -> None:
        for parameter in self._small:
            parameter.data = parameter.data.clone()
        for parameter in (*self._small, *self._large):
            parameter.grad = None


def _scaled(module: nn.Module) -> Iterator[tuple[nn.Parameter, float]]:
    """Yield every trained parameter once, with its learning-rate scale."""
    seen: set[nn.Parameter] = set()

    def walk(part: nn.Module, scale: float) -> Iterator[tuple[nn.Parameter, float]]:
        scale *= getattr(part, "learning_rate_scale", 1.0)
        for parameter in part.parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield parameter, scale
        for child in part.children():
            yield from walk(child, scale)

    return walk(module, 1.0)


@torch.no_grad()
def _lay_out(members: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Return one vector of these parameters and one of their gradients; the members become views."""
    flat = torch.cat([parameter.detach().flatten() for parameter in members])
    gradient = torch.zeros_like(flat)
    begin = 0
    for parameter in members:
        piece = slice(begin, begin + parameter.numel())
        parameter.data = flat[piece].view_as(parameter)
        parameter.grad = gradient[piece].view_as(parameter)
        begin = piece.stop
    return flat, gradient
