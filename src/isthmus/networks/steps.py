"""What the networks over sequences share: reading a mask, summing up steps, shortcuts, teacher forcing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.networks.blocks import LinearShortcut, Stem
from isthmus.part import Part

__all__ = [
    "Inlet",
    "Outlet",
    "TeacherForcing",
    "check_count",
    "one_later",
    "own_size",
    "positions",
    "read_steps",
    "series_shape",
    "spread",
    "steps_within",
]

# Added to the size of an example, in standard deviations of the data: one of zeros has a size too.
LEAST_SIZE = 0.1


def series_shape(shape) -> tuple[int, int]:
    """Return steps and channels, or raise ValueError."""
    if len(shape) != 2:
        raise ValueError(
            f"this network needs series (steps, channels), got examples of shape {tuple(shape)}. "
            "Use mlp_encoder and mlp_decoder for these, or the sequences modality."
        )
    return shape[0], shape[1]


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise ValueError unless a number is at least this."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


def read_steps(source: Batch, missing: bool) -> tuple[Tensor, Tensor | None]:
    """Return what a network reads, and the length of each example (None: all of them whole).

    Values that were not observed are zero; where values may be missing, ``(b, t, c)`` becomes
    ``(b, t, 2c)``: the mask is read too. A length is one more than the last observed step.
    """
    x, mask = source.x, source.mask
    if mask is None:
        return (torch.cat([x, torch.ones_like(x)], -1) if missing else x), None
    seen = mask.any(-1) if mask.ndim == x.ndim else mask
    mask = mask if mask.ndim == x.ndim else mask.unsqueeze(-1)
    x = x * mask
    lengths = (seen * torch.arange(1, x.shape[1] + 1, device=x.device)).amax(1)
    return (torch.cat([x, mask.to(x).expand_as(x)], -1) if missing else x), lengths


def steps_within(lengths: Tensor | None, steps: int) -> Tensor | None:
    """Return which of so many steps lie within each example, ``(b, steps)``."""
    if lengths is None:
        return None
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


def positions(steps: int, width: int) -> Tensor:
    """Return the sinusoids of each step, ``(steps, width)`` (Vaswani et al., 2017, section 3.5)."""
    rates = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
    angles = torch.arange(steps)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width].clone()


def one_later(x: Tensor) -> Tensor:
    """Return ``(b, t, c)`` with each position moved to the next, and zeros at the first."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


def spread(z: Tensor, steps: int) -> Tensor:
    """Return a code for every step, ``(b, steps, d)``: the one there is, or the one of that part of time."""
    if z.ndim == 2:
        return z.unsqueeze(1).expand(-1, steps, -1)
    if z.ndim != 3:
        raise ValueError(f"a series is written from a code (d,) or (t, d), got one of shape {tuple(z.shape[1:])}.")
    place = torch.arange(steps, device=z.device) * z.shape[1] // steps
    return z.index_select(1, place)


def own_size(batch: Batch) -> Tensor:
    """Return the root mean square of each example's observed values, ``(b, 1, 1)``, never zero."""
    x, mask = batch.x.flatten(1), batch.mask
    squares = x.square()
    if mask is None:
        mean = squares.mean(1)
    else:
        mask = mask if mask.ndim == batch.x.ndim else mask.unsqueeze(-1)
        mask = mask.expand_as(batch.x).flatten(1)
        mean = (squares * mask).sum(1) / mask.sum(1).clamp_min(1)
    return (mean + LEAST_SIZE**2).sqrt().view(-1, 1, 1)


class Inlet(nn.Module):
    """The end of an encoder: features of steps summed up in a vector, with a linear path beside.

    Parameters
    ----------
    shape : list of int
        Of an example.
    missing : bool
        Whether values may be unobserved.
    steps, features : int
        Of what the network before gives.
    summary : {'steps', 'mean', 'flat', 'last'}
        ``(b, steps, features)`` as it is; the mean over the steps of an example; a linear map
        of all steps to ``width``; or a vector that the network gives itself.
    width : int
        Length of the vector of 'flat'; the others have ``features``.
    shortcut : bool
        With a vector, a linear path from all values, which starts at the principal components.
    """

    def __init__(self, shape, missing: bool, steps: int, features: int, summary: str, width: int, shortcut: bool):
        super().__init__()
        check_count("width", width)
        self.summary = summary
        self.shortcut = shortcut and summary != "steps"
        self.width = width if summary == "flat" else features
        if summary == "flat":
            self.flat = nn.Linear(steps * features, width)
        if self.shortcut:
            self.stem = Stem(shape, None, missing)
            self.linear = LinearShortcut(self.stem.width, self.width)
            self.scale = nn.Parameter(torch.zeros(self.width))

    def forward(self, source: Batch, features: Tensor, within: Tensor | None) -> Tensor:
        """Return ``(b, steps, features)`` or ``(b, width)``; ``within`` says which steps an example has."""
        if within is not None and self.summary != "last":
            features = features * within.unsqueeze(-1)
        if self.summary == "steps":
            return features
        if self.summary == "flat":
            features = self.flat(features.flatten(1))
        elif self.summary == "mean":
            n = features.shape[1] if within is None else within.sum(1, keepdim=True).clamp_min(1)
            features = features.sum(1) / n
        return torch.addcmul(self.linear(self.stem(source)), features, self.scale) if self.shortcut else features

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the principal components of ``source``."""
        if self.shortcut:
            self.linear.start_at_components(self.stem(source))


class Outlet(nn.Module):
    """The end of a decoder: features of pieces of time to values, with a linear path beside.

    Parameters
    ----------
    code, shape : list of int
        Of a code and of the output.
    features : int
        Width of what the network before gives.
    piece : int
        Steps that one position of it stands for.
    shortcut : bool
        For a code that is one vector, a linear path to all values, which starts at least
        squares; the network beside it starts at zero.
    """

    def __init__(self, code, shape, features: int, piece: int, shortcut: bool):
        super().__init__()
        self.shape = tuple(shape)
        self.head = nn.Linear(features, piece * shape[1])
        self.shortcut = shortcut and len(code) == 1
        if self.shortcut:
            self.linear = LinearShortcut(code[0], math.prod(shape))
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def beside(self, z: Tensor) -> Tensor:
        """Return the linear path's values ``(b, t, w)``; zeros without one."""
        return self.linear(z).view(-1, *self.shape) if self.shortcut else z.new_zeros(len(z), *self.shape)

    def values(self, features: Tensor) -> Tensor:
        """Return values ``(b, pieces * piece, w)`` of features ``(b, pieces, features)``."""
        return self.head(features).view(len(features), -1, self.shape[1])

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        """Return the output ``(b, t, w)``."""
        return self.beside(z) + self.values(features)[:, : self.shape[0]]

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the least-squares map from ``z`` to ``guess``."""
        if self.shortcut:
            self.linear.start_at_least_squares(z, guess)


class TeacherForcing(nn.Module):
    """What an autoregressive decoder is told of the steps before: true ones while training, then its own.

    All is said in the space of the decoder's output, as the loss's ``guess``, so that numbers,
    probabilities and symbols are told in one way.

    Parameters
    ----------
    hidden : float or tuple of two floats
        Share of the true steps that are hidden while training, at its first and its last step.

    References
    ----------
    Williams & Zipser, 1989 (teacher forcing); Bowman et al., 2016,
    https://arxiv.org/abs/1511.06349, section 3.1 (hidden words make the decoder use the code).
    """

    def __init__(self, hidden):
        super().__init__()
        first, last = hidden if isinstance(hidden, tuple | list) else (hidden, hidden)
        if not (0 <= first <= 1 and 0 <= last <= 1):
            raise ValueError(f"step_dropout must be within 0 and 1, got {hidden!r}.")
        self._from_to = (float(first), float(last))
        self.register_buffer("share", torch.tensor(float(first)), persistent=False)
        # A plain list: the loss stays the line's own, saved and counted once.
        self._loss: list[Any] = []

    def listen(self, loss: Part) -> None:
        """Take the loss whose output is written; called once it is built."""
        self._loss = [loss]

    def after_step(self, progress: float) -> None:
        """Move the share of hidden steps along its schedule."""
        first, last = self._from_to
        self.share.fill_(first + progress * (last - first))

    def told(self, target: Batch) -> Tensor:
        """Return each step, and whether it is known: ``(b, t, w + 1)``.

        Nothing is known of what was not observed, and of what is hidden.
        """
        guess = self._loss[0].guess(target)
        known = guess.new_ones(guess.shape[:2]) if target.mask is None else _all_seen(target.mask).to(guess)
        known = known * (torch.rand_like(known) >= self.share)
        return torch.cat([guess * known.unsqueeze(-1), known.unsqueeze(-1)], -1)

    def own(self, output: Tensor) -> Tensor:
        """Return outputs ``(b, steps, w)`` as they are told to the steps after them, ``(b, steps, w + 1)``."""
        loss = self._loss[0]
        guess = loss.guess(Batch(loss.mean(output)))
        return torch.cat([guess, torch.ones_like(guess[..., :1])], -1)


def _all_seen(mask: Tensor) -> Tensor:
    return mask if mask.ndim == 2 else mask.all(-1)
