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
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class FlatAdamW:
    """AdamW over all parameters of a module, laid end to end.

    A small network's step is mostly calls, not arithmetic. With parameters and gradients as
    views into one vector, clipping, the update and the moving average are one call each,
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
        self._scales = list(groups)
        self._members = list(groups.values())
        self._flats, self._gradients = map(list, zip(*map(_lay_out, self._members), strict=True))
        self._moments = [_no_moments(flat) for flat in self._flats]
        self._averages = [flat.clone() for flat in self._flats] if ema else []
        like = self._flats[0]
        self._typical = torch.zeros((), dtype=like.dtype, device=like.device)
        self._steps = 0
        # Averaging a large network at every step would cost a twentieth of it.
        self._every = 1 if sum(flat.numel() for flat in self._flats) < 200_000 else 8

    def zero_grad(self) -> None:
        """Set all gradients to zero, in place."""
        for gradient in self._gradients:
            gradient.zero_()

    def step(self, learning_rate: float) -> None:
        """Clip, update, average."""
        if self.clip:
            self._clip()
        for flat, gradient, moments, scale in zip(
            self._flats, self._gradients, self._moments, self._scales, strict=True
        ):
            # torch's own update without the class around it, whose bookkeeping takes longer
            # than the arithmetic of a small network.
            adamw(
                [flat],
                [gradient],
                [moments["exp_avg"]],
                [moments["exp_avg_sq"]],
                [],
                [moments["step"]],
                fused=True,
                amsgrad=False,
                maximize=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                eps=EPSILON,
                lr=learning_rate * scale,
                weight_decay=self.weight_decay,
            )
        self._steps += 1
        if self._averages and self._steps % self._every == 0:
            decay = min(self.ema, (1 + self._steps) / (10 + self._steps)) ** self._every
            for average, flat in zip(self._averages, self._flats, strict=True):
                average.lerp_(flat, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the averaged weights in the module for a while."""
        kept = [flat.clone() for flat in self._flats] if self._averages else []
        self.put(self._averages)
        try:
            yield
        finally:
            self.put(kept)

    def weights(self) -> list[Tensor]:
        """Return a copy of all weights, as :meth:`put` takes them."""
        return [flat.clone() for flat in self._flats]

    @torch.no_grad()
    def put(self, weights: list[Tensor]) -> None:
        """Write weights into the module; an empty list leaves them."""
        for flat, values in zip(self._flats, weights, strict=False):
            flat.copy_(values)

    def state(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on, by name."""
        state = {"steps": torch.tensor(self._steps), "typical": self._typical.clone()}
        for i, flat in enumerate(self._flats):
            state[f"weights.{i}"] = flat.clone()
            state |= {f"adam.{name}.{i}": value.clone() for name, value in self._moments[i].items()}
        return state | {f"average.{i}": average.clone() for i, average in enumerate(self._averages)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        self._steps = int(state["steps"])
        self._typical.copy_(state["typical"])
        self.put([state[f"weights.{i}"] for i in range(len(self._flats))])
        for i, average in enumerate(self._averages):
            average.copy_(state[f"average.{i}"])
        for i, moments in enumerate(self._moments):
            for name in MOMENTS:
                moments[name].copy_(state[f"adam.{name}.{i}"])

    @torch.no_grad()
    def release(self) -> None:
        """Give every parameter its own storage back, without gradients."""
        for members in self._members:
            for parameter in members:
                parameter.data = parameter.data.clone()
                parameter.grad = None

    def _clip(self) -> None:
        norms = [torch.linalg.vector_norm(gradient) for gradient in self._gradients]
        norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        if self._steps == 0:
            self._typical.copy_(norm)
        limit = self.clip * self._typical
        factor = (limit / norm.clamp_min(1e-30)).clamp_max(1)
        for gradient in self._gradients:
            gradient.mul_(factor)
        self._typical.lerp_(torch.minimum(norm, limit), 0.05)


def _no_moments(flat: Tensor) -> dict[str, Tensor]:
    step = torch.zeros((), dtype=torch.float32, device=flat.device)
    return {"step": step, "exp_avg": torch.zeros_like(flat), "exp_avg_sq": torch.zeros_like(flat)}


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
