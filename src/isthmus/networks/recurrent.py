"""Recurrent networks over sequences: GRU and LSTM, as encoder and as decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from isthmus.batch import Batch
from isthmus.layers import check_choice
from isthmus.networks.steps import (
    Inlet,
    Outlet,
    TeacherForcing,
    check_count,
    one_later,
    own_size,
    positions,
    read_steps,
    series_shape,
    spread,
    steps_within,
)
from isthmus.part import Part

__all__ = ["RecurrentDecoder", "RecurrentEncoder"]

CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM}
# Sinusoids that tell the decoder where it is.
CLOCK = 16


class RecurrentEncoder(Part):
    """A GRU or LSTM over the steps: ``(b, t, c)`` to ``(b, width)``, or to ``(b, t, width)``.

    Parameters
    ----------
    cell : {'gru', 'lstm'}, default='gru'
        What carries the state from step to step.
    width : int, default=64
        Size of the state. With ``bidirectional``, features are twice as wide.
    layers : int, default=1
        Cells on top of each other.
    bidirectional : bool, default=False
        Read backwards too.
    reversed : bool, default=False
        Read from the last step to the first.
    summary : {'last', 'mean', 'flat', 'steps'}, default='last'
        The state after an example's own last step; the mean of the states; a linear map of
        all of them; or the states themselves, ``(b, t, width)``.
    shortcut : bool, default=True
        With a vector, a linear path from all values to the features. It starts at the
        principal components and the network beside it at zero, as in :class:`MLPEncoder`.
    scale_free : bool, default=False
        The cells read each series in its own size, and the states are multiplied by it.

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
    Steps beyond an example's last observed one are not read. With 'steps' they are zero.

    Cells saturate: a series far larger than those fitted on reads like any other such. With
    ``scale_free`` the states are s f(x / s), s the root mean square of the series (never zero),
    so that what was learned of small series holds for large ones of the same shape. Meant for
    both networks; ``benchmarks/papers/sequences.py`` says what it does for windows that leave
    the range of those fitted.

    References
    ----------
    Sutskever, Vinyals & Le, 2014, https://arxiv.org/abs/1409.3215 (reversed input); Srivastava
    et al., 2015, https://arxiv.org/abs/1502.04681 (an LSTM as encoder of series).

    Examples
    --------
    >>> series = Batch(torch.zeros(2, 30, 3))
    >>> RecurrentEncoder().build(shape=[30, 3])(series).shape
    torch.Size([2, 64])
    >>> RecurrentEncoder(summary="steps").build(shape=[30, 3])(series).shape
    torch.Size([2, 30, 64])
    """

    def __init__(
        self,
        cell: str = "gru",
        width: int = 64,
        layers: int = 1,
        bidirectional: bool = False,
        reversed: bool = False,
        summary: str = "last",
        shortcut: bool = True,
        scale_free: bool = False,
    ):
        super().__init__()
        self.cell = cell
        self.width = width
        self.layers = layers
        self.bidirectional = bidirectional
        self.reversed = reversed
        self.summary = summary
        self.shortcut = shortcut
        self.scale_free = scale_free

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the cells."""
        steps, channels = series_shape(shape)
        check_choice("summary", self.summary, ("last", "mean", "flat", "steps"))
        self.missing = missing
        self.rnn = _cells(self, channels * (1 + missing), self.bidirectional)
        features = self.width * (1 + self.bidirectional)
        self.inlet = Inlet(shape, missing, steps, features, self.summary, features, self.shortcut)

    def forward(self, source: Batch) -> Tensor:
        """Return features."""
        size = own_size(source) if self.scale_free else None
        read = source if size is None else source.with_x(source.x / size)
        x, lengths = read_steps(read, self.missing)
        if self.reversed:
            x = _flip(x, lengths)
        if lengths is None:
            states, last = self.rnn(x)
        else:
            # An example of which nothing was observed has a step of zeros.
            packed = pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
            packed, last = self.rnn(packed)
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        if self.summary == "last":
            last = last[0] if self.cell == "lstm" else last
            states = torch.cat(list(last[-1 - self.bidirectional :]), -1)
        elif self.reversed:
            states = _flip(states, lengths)
        if size is not None:
            states = states * (size if states.ndim == 3 else size.squeeze(2))
        return self.inlet(source, states, steps_within(lengths, x.shape[1]))

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the principal components of ``source``."""
        self.inlet.start(source)


class RecurrentDecoder(Part):
    """A GRU or LSTM that writes a series: ``(b, d)`` or ``(b, t', d)`` to ``(b, t, c)``.

    Each step reads the code (or the code of that part of time) and where it is; an
    autoregressive one the step before as well.

    Parameters
    ----------
    cell, width, layers
        As in :class:`RecurrentEncoder`.
    autoregressive : bool, default=False
        Read the step before: the true one while training (teacher forcing), the decoder's own
        in evaluation, where the target is never looked at.
    step_dropout : float or tuple of two floats, default=0.0
        With ``autoregressive``, share of the true steps hidden while training; or that at the
        first and that at the last step of training, moved evenly. Hidden steps must be found
        in the code.
    reversed : bool, default=False
        Write from the last step to the first.
    shortcut : bool, default=True
        For a code that is one vector, a linear path from code to output, which starts at the
        least-squares solution; the network beside it starts at zero.
    scale_free : bool, default=False
        The cells read each code (and each step they are told) in the code's own size, and what
        they write is multiplied by it, as in :class:`RecurrentEncoder`.

    Facts
    -----
    code : list of int
        ``(d,)`` or ``(t', d)``.
    shape : list of int
        ``(t, c)`` of the output.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or code or output are no series.

    Notes
    -----
    In evaluation an autoregressive decoder takes one call a step, and has its own mistakes to
    go on from. On 350 heartbeats of 140 steps, 8 numbers each, its held-out error stayed at
    PCA's, with and without hidden steps, where the other's fell to 0.80 of that: so it is not
    the default.

    References
    ----------
    Sutskever et al., 2014; Srivastava et al., 2015 (reversed output, both kinds of decoder);
    Bowman et al., 2016, https://arxiv.org/abs/1511.06349 (hidden steps). Differs: hidden
    steps are zero and said to be hidden, rather than replaced by one symbol.

    Examples
    --------
    >>> RecurrentDecoder().build(code=[8], shape=[30, 3])(torch.zeros(2, 8), None).shape
    torch.Size([2, 30, 3])
    """

    def __init__(
        self,
        cell: str = "gru",
        width: int = 64,
        layers: int = 1,
        autoregressive: bool = False,
        step_dropout: float | tuple[float, float] = 0.0,
        reversed: bool = False,
        shortcut: bool = True,
        scale_free: bool = False,
    ):
        super().__init__()
        self.cell = cell
        self.width = width
        self.layers = layers
        self.autoregressive = autoregressive
        self.step_dropout = step_dropout
        self.reversed = reversed
        self.shortcut = shortcut
        self.scale_free = scale_free

    def setup(self, code, shape) -> None:
        """Create the cells."""
        self.steps, channels = series_shape(shape)
        if len(code) > 2:
            raise ValueError(f"a series is written from a code (d,) or (t, d), got one of shape {tuple(code)}.")
        forcing = TeacherForcing(self.step_dropout)
        told = channels + 1 if self.autoregressive else 0
        self.rnn = _cells(self, code[-1] + CLOCK + told, False)
        self.outlet = Outlet(code, shape, self.width, 1, self.shortcut)
        self.register_buffer("clock", positions(self.steps, CLOCK), persistent=False)
        if self.autoregressive:
            self.forcing = forcing

    def listen(self, loss: Part) -> None:
        """Take the loss whose output is written; called after it was built."""
        if self.autoregressive:
            self.forcing.listen(loss)

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, t, c)``; the target is looked at by an autoregressive decoder while training."""
        size = own_size(Batch(z)) if self.scale_free else z.new_ones(1, 1, 1)
        inputs = torch.cat([spread(z, self.steps) / size, self.clock.to(z).expand(len(z), -1, -1)], -1)
        beside = self.outlet.beside(z)
        if self.reversed:
            inputs, beside = inputs.flip(1), beside.flip(1)
        if self.autoregressive and not self.training:
            output = self._run_free(inputs, beside, size)
        else:
            if self.autoregressive:
                inputs = torch.cat([inputs, _heard(self._told(target), size)], -1)
            output = beside + size * self.outlet.values(self.rnn(inputs)[0])
        return output.flip(1) if self.reversed else output

    def _told(self, target: Batch | None) -> Tensor:
        if target is None:
            raise ValueError("teacher forcing needs the target while training; call eval() to write without one.")
        if self.reversed:
            target = Batch(target.x.flip(1), None if target.mask is None else target.mask.flip(1))
        return one_later(self.forcing.told(target))

    def _run_free(self, inputs: Tensor, beside: Tensor, size: Tensor) -> Tensor:
        """Write step by step, each told what the one before wrote."""
        state, written = None, []
        told = inputs.new_zeros(len(inputs), 1, beside.shape[2] + 1)
        for i in range(self.steps):
            features, state = self.rnn(torch.cat([inputs[:, i : i + 1], told], -1), state)
            written.append(beside[:, i : i + 1] + size * self.outlet.values(features))
            told = _heard(self.forcing.own(written[-1]), size)
        return torch.cat(written, 1)

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the least-squares map from ``z`` to ``guess``, an output that would fit."""
        self.outlet.start(z, guess)


def _heard(told: Tensor, size: Tensor) -> Tensor:
    """Return steps that were told in the size of the code; whether they are known stays as it is."""
    return torch.cat([told[..., :-1] / size, told[..., -1:]], -1)


def _cells(part: Any, inputs: int, bidirectional: bool) -> Any:
    check_choice("cell", part.cell, tuple(CELLS))
    check_count("width", part.width)
    check_count("layers", part.layers)
    return CELLS[part.cell](inputs, part.width, part.layers, batch_first=True, bidirectional=bidirectional)


def _flip(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn each example around within its own length."""
    if lengths is None:
        return x.flip(1)
    step = torch.arange(x.shape[1], device=x.device)
    turned = lengths.unsqueeze(1) - 1 - step
    place = torch.where(turned >= 0, turned, step)
    return x.gather(1, place.unsqueeze(-1).expand_as(x))
