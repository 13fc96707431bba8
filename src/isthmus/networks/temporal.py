"""Temporal convolution: networks over sequences that shorten time level by level."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import activation_layer, check_choice, check_widths
from isthmus.networks.steps import (
    Inlet,
    Outlet,
    check_count,
    read_steps,
    series_shape,
    spread,
    steps_within,
)
from isthmus.part import Part

__all__ = ["TemporalDecoder", "TemporalEncoder"]


class TemporalEncoder(Part):
    """Convolutions over time that take every second step: ``(b, t, c)`` to ``(b, width)``, or ``(b, t', channels)``.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64)
        Channels after each level.
    kernel : int, default=5
        Steps that a convolution sees, an odd number.
    stride : int, default=2
        Each level keeps every ``stride``-th step; ``t'`` is ``t`` divided so often, rounded up.
    residual : bool, default=True
        A residual block at each level, after the convolution that shortens.
    activation : str, default='silu'
        As in :class:`MLPEncoder`.
    summary : {'flat', 'mean', 'steps'}, default='flat'
        A linear map of all positions to ``width``; the mean of an example's own positions; or
        the positions themselves, ``(b, t', channels[-1])``.
    width : int, default=128
        Length of the vector of 'flat'.
    shortcut : bool, default=True
        With a vector, a linear path from all values to the features. It starts at the
        principal components and the network beside it at zero, as in :class:`MLPEncoder`.

    Facts
    -----
    shape : list of int
        ``(t, c)`` of an example.
    categories : list of int, optional
        Taken for every encoder; series have none.
    missing : bool, default=False
        Whether values may be unobserved; the mask is then read too.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or examples are not series.

    Notes
    -----
    Positions beyond an example's last observed step are zero at every level, so that an example
    is coded alike whatever it is padded to.

    References
    ----------
    Bai, Kolter & Koltun, 2018, https://arxiv.org/abs/1803.01271. Differs: strides in place of
    dilation, and steps see what comes after them, as an encoder may.

    Examples
    --------
    >>> import torch
    >>> series = Batch(torch.zeros(2, 30, 3))
    >>> TemporalEncoder().build(shape=[30, 3])(series).shape
    torch.Size([2, 128])
    >>> TemporalEncoder(summary="steps").build(shape=[30, 3])(series).shape
    torch.Size([2, 8, 64])
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64),
        kernel: int = 5,
        stride: int = 2,
        residual: bool = True,
        activation: str = "silu",
        summary: str = "flat",
        width: int = 128,
        shortcut: bool = True,
    ):
        super().__init__()
        self.channels = channels
        self.kernel = kernel
        self.stride = stride
        self.residual = residual
        self.activation = activation
        self.summary = summary
        self.width = width
        self.shortcut = shortcut

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        steps, channels = series_shape(shape)
        check_choice("summary", self.summary, ("flat", "mean", "steps"))
        widths = _widths(self)
        self.missing = missing
        self.levels = nn.ModuleList()
        for before, after in zip((channels * (1 + missing), *widths), widths, strict=False):
            shorten = nn.Conv1d(before, after, self.kernel, self.stride, padding=self.kernel // 2)
            self.levels.append(_Level(shorten, after, self))
        self.positions = _sizes(steps, self.stride, len(widths))[-1]
        self.inlet = Inlet(shape, missing, self.positions, widths[-1], self.summary, self.width, self.shortcut)

    def forward(self, source: Batch) -> Tensor:
        """Return features."""
        x, lengths = read_steps(source, self.missing)
        if lengths is not None:
            x = x[:, : max(1, int(lengths.max()))]
        h = x.transpose(1, 2)
        for level in self.levels:
            lengths = None if lengths is None else (lengths + self.stride - 1).div(self.stride, rounding_mode="floor")
            h = level(h, lengths)
        features = F.pad(h, (0, self.positions - h.shape[2])).transpose(1, 2)
        return self.inlet(source, features, steps_within(lengths, self.positions))

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the principal components of ``source``."""
        self.inlet.start(source)


class TemporalDecoder(Part):
    """Convolutions over time that lengthen it: ``(b, d)`` or ``(b, t', d)`` to ``(b, t, c)``.

    Parameters
    ----------
    channels : tuple of int, default=(64, 32)
        Channels at the input of each level; a level makes time ``stride`` times as long, by
        copies of each position and a convolution.
    kernel, stride, residual, activation
        As in :class:`TemporalEncoder`.
    shortcut : bool, default=True
        For a code that is one vector, a linear path from code to output, which starts at the
        least-squares solution; the network beside it starts at zero.

    Facts
    -----
    code : list of int
        ``(d,)`` or ``(t', d)``; ``t'`` need not be the encoder's.
    shape : list of int
        ``(t, c)`` of the output.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or code or output are no series.

    References
    ----------
    As for :class:`TemporalEncoder`; copies and a convolution rather than a transposed one:
    Odena, Dumoulin & Olah, 2016, https://doi.org/10.23915/distill.00003.

    Examples
    --------
    >>> import torch
    >>> TemporalDecoder().build(code=[8], shape=[30, 3])(torch.zeros(2, 8), None).shape
    torch.Size([2, 30, 3])
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 32),
        kernel: int = 5,
        stride: int = 2,
        residual: bool = True,
        activation: str = "silu",
        shortcut: bool = True,
    ):
        super().__init__()
        self.channels = channels
        self.kernel = kernel
        self.stride = stride
        self.residual = residual
        self.activation = activation
        self.shortcut = shortcut

    def setup(self, code, shape) -> None:
        """Create the layers."""
        steps, _ = series_shape(shape)
        widths = _widths(self)
        if len(code) > 2:
            raise ValueError(f"a series is written from a code (d,) or (t, d), got one of shape {tuple(code)}.")
        self.sizes = _sizes(steps, self.stride, len(widths))[::-1]
        self.is_vector = len(code) == 1
        self.enter = nn.Linear(code[-1], widths[0] * (self.sizes[0] if self.is_vector else 1))
        self.levels = nn.ModuleList()
        for before, after in zip(widths, (*widths[1:], widths[-1]), strict=True):
            smooth = nn.Conv1d(before, after, self.kernel, padding=self.kernel // 2)
            self.levels.append(_Level(smooth, after, self))
        self.outlet = Outlet(code, shape, widths[-1], 1, self.shortcut)

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, t, c)``; the target is not looked at."""
        first = (
            self.enter(z).view(len(z), self.sizes[0], -1) if self.is_vector else self.enter(spread(z, self.sizes[0]))
        )
        h = first.transpose(1, 2)
        for size, level in zip(self.sizes[1:], self.levels, strict=True):
            h = level(h.repeat_interleave(self.stride, 2)[:, :, :size], None)
        return self.outlet(z, h.transpose(1, 2))

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the least-squares map from ``z`` to ``guess``, an output that would fit."""
        self.outlet.start(z, guess)


class _Level(nn.Module):
    """A convolution, its activation, and a residual block; zero beyond each example's length."""

    def __init__(self, convolution: nn.Conv1d, channels: int, part: TemporalEncoder | TemporalDecoder):
        super().__init__()
        self.convolution = convolution
        self.activation = activation_layer(part.activation)
        self.residual: nn.Conv1d | None = None
        if part.residual:
            self.residual = nn.Conv1d(channels, channels, part.kernel, padding=part.kernel // 2)
            nn.init.zeros_(self.residual.weight)

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        h = _cut(self.activation(self.convolution(h)), lengths)
        return h if self.residual is None else _cut(h + self.activation(self.residual(h)), lengths)


def _cut(h: Tensor, lengths: Tensor | None) -> Tensor:
    within = steps_within(lengths, h.shape[2])
    return h if within is None else h * within.unsqueeze(1)


def _sizes(steps: int, stride: int, levels: int) -> list[int]:
    """Return the steps before and after each level."""
    sizes = [steps]
    for _ in range(levels):
        sizes.append(math.ceil(sizes[-1] / stride))
    return sizes


def _widths(part: TemporalEncoder | TemporalDecoder) -> tuple[int, ...]:
    if part.kernel < 1 or part.kernel % 2 == 0:
        raise ValueError(f"kernel must be an odd number of steps, got {part.kernel}.")
    check_count("stride", part.stride)
    return check_widths("channels", part.channels, least=1, most=16)
