"""Transformers over sequences, as encoder and as decoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import check_choice
from isthmus.networks.steps import (
    Inlet,
    Outlet,
    TeacherForcing,
    check_count,
    one_later,
    positions,
    read_steps,
    series_shape,
    spread,
    steps_within,
)
from isthmus.part import Part

__all__ = ["TransformerDecoder", "TransformerEncoder"]

# Of the rate that suits other networks, which attention hardly learns at: held-out error of 350
# heartbeats in 8 numbers each, over PCA's: 0.98 at the full rate, 0.84 at a quarter of it.
RATE = 0.25


class TransformerEncoder(Part):
    """Attention among pieces of a series: ``(b, t, c)`` to ``(b, width)``, or to ``(b, t', width)``.

    Parameters
    ----------
    width : int, default=64
        Channels of a position, and of the vector.
    layers : int, default=2
        Blocks of attention and dense layers.
    heads : int, default=4
        Heads of attention; divides ``width``.
    patch : int, default=4
        Steps in one position: ``t'`` is ``t / patch``, rounded up.
    dropout : float, default=0.0
        Share dropped after each attention and each dense layer while training.
    summary : {'flat', 'mean', 'steps'}, default='flat'
        As in :class:`TemporalEncoder`.
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
    Positions beyond an example's last observed step are not attended to. Normalisation comes
    before attention and dense layers; positions are told by sinusoids, added once. Weights
    learn at a quarter of the auto-encoder's rate.

    References
    ----------
    Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; Xiong et al., 2020,
    https://arxiv.org/abs/2002.04745 (normalisation first); Nie et al., 2023,
    https://arxiv.org/abs/2211.14730 (patches of steps). Differs: channels are read together.

    Examples
    --------
    >>> series = Batch(torch.zeros(2, 30, 3))
    >>> TransformerEncoder().build(shape=[30, 3])(series).shape
    torch.Size([2, 64])
    >>> TransformerEncoder(summary="steps").build(shape=[30, 3])(series).shape
    torch.Size([2, 8, 64])
    """

    learning_rate_scale = RATE

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        patch: int = 4,
        dropout: float = 0.0,
        summary: str = "flat",
        shortcut: bool = True,
    ):
        super().__init__()
        self.width = width
        self.layers = layers
        self.heads = heads
        self.patch = patch
        self.dropout = dropout
        self.summary = summary
        self.shortcut = shortcut

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        steps, channels = series_shape(shape)
        check_choice("summary", self.summary, ("flat", "mean", "steps"))
        _check_sizes(self)
        self.missing = missing
        self.positions = math.ceil(steps / self.patch)
        self.enter = nn.Linear(self.patch * channels * (1 + missing), self.width)
        self.register_buffer("clock", positions(self.positions, self.width), persistent=False)
        self.blocks = _blocks(self)
        self.inlet = Inlet(shape, missing, self.positions, self.width, self.summary, self.width, self.shortcut)

    def forward(self, source: Batch) -> Tensor:
        """Return features."""
        x, lengths = read_steps(source, self.missing)
        tokens = _pieces(x, self.patch)
        if lengths is not None:
            lengths = (lengths + self.patch - 1).div(self.patch, rounding_mode="floor")
            # Of an example of which nothing was observed, one piece of zeros is attended to.
            lengths = lengths.clamp_min(1)
            tokens = tokens[:, : int(lengths.max())]
        n = tokens.shape[1]
        within = steps_within(lengths, n)
        h = self.enter(tokens) + self.clock[:n].to(tokens)
        for block in self.blocks:
            h = block(h, None if within is None else within[:, None, None, :])
        features = F.pad(h, (0, 0, 0, self.positions - n))
        return self.inlet(source, features, steps_within(lengths, self.positions))

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the principal components of ``source``."""
        self.inlet.start(source)


class TransformerDecoder(Part):
    """Attention among pieces of the series that is written: ``(b, d)`` or ``(b, t', d)`` to ``(b, t, c)``.

    Every position begins as the code (or the code of that part of time) and its place; those
    of an autoregressive decoder also as the piece before, and see none after them.

    Parameters
    ----------
    width, layers, heads, patch, dropout
        As in :class:`TransformerEncoder`.
    autoregressive : bool, default=False
        Read the pieces before: the true ones while training (teacher forcing), the decoder's
        own in evaluation, where the target is never looked at.
    step_dropout : float or tuple of two floats, default=0.0
        As in :class:`RecurrentDecoder`.
    shortcut : bool, default=True
        For a code that is one vector, a linear path from code to output, which starts at the
        least-squares solution; the network beside it starts at zero.

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
    There is no attention to the encoder: all that is known of an example is its code.

    References
    ----------
    As for :class:`TransformerEncoder`.

    Examples
    --------
    >>> TransformerDecoder().build(code=[8], shape=[30, 3])(torch.zeros(2, 8), None).shape
    torch.Size([2, 30, 3])
    """

    learning_rate_scale = RATE

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        patch: int = 4,
        dropout: float = 0.0,
        autoregressive: bool = False,
        step_dropout: float | tuple[float, float] = 0.0,
        shortcut: bool = True,
    ):
        super().__init__()
        self.width = width
        self.layers = layers
        self.heads = heads
        self.patch = patch
        self.dropout = dropout
        self.autoregressive = autoregressive
        self.step_dropout = step_dropout
        self.shortcut = shortcut

    def setup(self, code, shape) -> None:
        """Create the layers."""
        steps, channels = series_shape(shape)
        _check_sizes(self)
        if len(code) > 2:
            raise ValueError(f"a series is written from a code (d,) or (t, d), got one of shape {tuple(code)}.")
        self.positions = math.ceil(steps / self.patch)
        forcing = TeacherForcing(self.step_dropout)
        self.enter = nn.Linear(code[-1], self.width)
        self.register_buffer("clock", positions(self.positions, self.width), persistent=False)
        self.blocks = _blocks(self)
        self.outlet = Outlet(code, shape, self.width, self.patch, self.shortcut)
        if self.autoregressive:
            self.forcing = forcing
            self.hear = nn.Linear(self.patch * (channels + 1), self.width)
            later = torch.ones(self.positions, self.positions, dtype=torch.bool).tril()
            self.register_buffer("seen", later, persistent=False)

    def listen(self, loss: Part) -> None:
        """Take the loss whose output is written; called after it was built."""
        if self.autoregressive:
            self.forcing.listen(loss)

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, t, c)``; the target is looked at by an autoregressive decoder while training."""
        h = self.enter(spread(z, self.positions)) + self.clock.to(z)
        if not self.autoregressive:
            return self.outlet(z, self._run(h, None))
        if not self.training:
            return self._run_free(z, h)
        if target is None:
            raise ValueError("teacher forcing needs the target while training; call eval() to write without one.")
        told = one_later(_pieces(self.forcing.told(target), self.patch))
        return self.outlet(z, self._run(h + self.hear(told), self.seen))

    def _run(self, h: Tensor, seen: Tensor | None) -> Tensor:
        for block in self.blocks:
            h = block(h, seen)
        return h

    def _run_free(self, z: Tensor, h: Tensor) -> Tensor:
        """Write piece by piece, each told what those before wrote."""
        steps, channels = self.outlet.shape
        beside = F.pad(self.outlet.beside(z), (0, 0, 0, self.positions * self.patch - steps))
        told = z.new_zeros(len(z), self.patch, channels + 1)
        written: list[Tensor] = []
        for i in range(self.positions):
            heard = h[:, : i + 1] + self.hear(_pieces(told, self.patch))
            features = self._run(heard, self.seen[: i + 1, : i + 1])[:, -1:]
            place = slice(i * self.patch, (i + 1) * self.patch)
            written.append(beside[:, place] + self.outlet.values(features))
            told = torch.cat([told, self.forcing.own(written[-1])], 1)
        return torch.cat(written, 1)[:, :steps]

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the least-squares map from ``z`` to ``guess``, an output that would fit."""
        self.outlet.start(z, guess)


class _Block(nn.Module):
    """Attention and two dense layers, each normalised first and added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor, seen: Tensor | None) -> Tensor:
        query, key, value = rearrange(self.ask(self.norms[0](h)), "b t (k h d) -> k b h t d", k=3, h=self.heads)
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        h = h + self.drop(self.answer(rearrange(answer, "b h t d -> b t (h d)")))
        return h + self.drop(self.dense(self.norms[1](h)))


class _Normed(nn.Module):
    """The norm after the last block, in the place of a block."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, seen: Tensor | None) -> Tensor:
        return self.norm(h)


def _blocks(part: TransformerEncoder | TransformerDecoder) -> nn.ModuleList:
    blocks: list[nn.Module] = [_Block(part.width, part.heads, part.dropout) for _ in range(part.layers)]
    return nn.ModuleList([*blocks, _Normed(part.width)])


def _check_sizes(part: TransformerEncoder | TransformerDecoder) -> None:
    for name in ("width", "layers", "heads", "patch"):
        check_count(name, getattr(part, name))
    if part.width % part.heads:
        raise ValueError(f"width must be a multiple of heads, got width={part.width} and heads={part.heads}.")
    if not 0 <= part.dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {part.dropout}.")


def _pieces(x: Tensor, patch: int) -> Tensor:
    """Return steps ``(b, t, c)`` in pieces ``(b, t', patch * c)``, the last filled up with zeros."""
    whole = F.pad(x, (0, 0, 0, -x.shape[1] % patch))
    return rearrange(whole, "b (t p) c -> b t (p c)", p=patch)
