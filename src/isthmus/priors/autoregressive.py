"""The autoregressive prior of discrete codes: each symbol given all before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.part import Part

__all__ = ["Autoregressive"]

MOST_SYMBOLS = 10_000_000
# Axes of positions, and one of the places within a position.
AXES = 4
FREQUENCIES = 8


class Autoregressive(Part):
    r"""``log p(k) = sum_t log p(k_t | k_1, ..., k_(t-1))``, by a small causal transformer.

    Parameters
    ----------
    width : int, default=64
        Channels of the transformer.
    layers : int, default=2
        Blocks of attention and a layer of four times the width.
    heads : int, default=4
        Heads of attention; they divide the width.
    dropout : float, default=0.0
        Share of what a block adds that is dropped while training.

    Facts
    -----
    symbols : list of int
        How many symbols each of the q places of a position has.

    Raises
    ------
    ValueError
        If a param is out of its range, or symbols are not.

    Notes
    -----
    The order is that of rows: position after position, and within one place after place. Where a
    symbol stands is told by sines and cosines of its coordinates, so that a prior takes any
    number of positions along up to three axes, and should be asked for those it was fitted on. It
    reads the symbols one back along each axis directly, which attention is slow to find.

    Measured on 8,000 maps of 7 x 7 symbols of 64 (Fashion-MNIST), nats of 1,000 others after 35
    seconds of one core: 156.3 by each position's frequencies; this prior 96.0 without the symbols
    one back and 92.7 with them at a rate of 2e-3, 86.1 at 5e-3, 82.8 with one layer; gated masked
    convolutions (a PixelCNN of 2 layers of 32 channels) 86.5 at 2e-3, for maps of one size alone.

    It gives ``VectorQuantizer(prior=Autoregressive())`` a cost in nats and new codes to decode.
    It begins at each place's frequencies among the started codes, and learns from symbols alone: no
    gradient reaches the encoder.

    References
    ----------
    van den Oord et al., 2017, https://arxiv.org/abs/1711.00937, section 3.3 (a prior over the
    map of codes). Differs: learned beside the auto-encoder, and a transformer (Vaswani et al.,
    2017, https://arxiv.org/abs/1706.03762, with the norms before each block) for a PixelCNN.

    Examples
    --------
    >>> prior = Autoregressive().build(symbols=[16])
    >>> prior.log_prob(torch.zeros(2, 3, 3, 1, dtype=torch.int64)).shape
    torch.Size([2])
    >>> prior.sample(5, (3, 3)).shape
    torch.Size([5, 3, 3, 1])
    """

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4, dropout: float = 0.0):
        super().__init__()
        self.width = width
        self.layers = layers
        self.heads = heads
        self.dropout = dropout

    def setup(self, symbols: list[int]) -> None:
        """Create the transformer."""
        if not symbols or not all(1 <= number <= MOST_SYMBOLS for number in symbols):
            raise ValueError(
                f"symbols must be a number from 1 to {MOST_SYMBOLS:,} for each place, got {symbols!r:.80}."
            )
        if not 1 <= self.layers <= 100 or not 0 <= self.dropout < 1:
            raise ValueError(f"layers must be 1 to 100 and dropout below 1, got {self.layers} and {self.dropout}.")
        if not 1 <= self.heads <= self.width <= 65_536 or self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, up to 65,536, got {self.width} and {self.heads}.")
        self.symbols = list(symbols)
        # Row 0 stands before the first symbol.
        self.table = nn.Embedding(1 + sum(symbols), self.width)
        nn.init.normal_(self.table.weight, std=0.5)
        self.neighbors = nn.Linear((1 + AXES) * self.width, self.width)
        self.coordinates = nn.Linear(2 * FREQUENCIES * AXES, self.width)
        self.blocks = nn.ModuleList(_Block(self.width, self.heads, self.dropout) for _ in range(self.layers))
        self.norm = nn.LayerNorm(self.width)
        self.outputs = nn.ModuleList(nn.Linear(self.width, number) for number in symbols)
        for output in self.outputs:
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        offsets = [1 + sum(symbols[:place]) for place in range(len(symbols))]
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)

    def log_prob(self, indices: Tensor) -> Tensor:
        """Return the log-probability of symbols ``(b, *p, q)`` in nats, ``(b,)``."""
        self._check(indices.shape)
        grid = self._grid(indices.shape[1:-1])
        rows = F.pad((indices + self.offsets).flatten(1), (1, 0))
        x = self._near(rows[:, _before(grid)]) + self._where(grid)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).unflatten(1, (-1, len(self.symbols)))
        flat = indices.flatten(1).unflatten(1, (-1, len(self.symbols)))
        nats = [
            F.cross_entropy(output(x[:, :, place]).flatten(0, 1), flat[:, :, place].flatten(), reduction="none")
            for place, output in enumerate(self.outputs)
        ]
        return -torch.stack(nats).unflatten(1, flat.shape[:2]).sum((0, 2))

    @torch.no_grad()
    def sample(self, n: int, positions: Sequence[int] = ()) -> Tensor:
        """Draw symbols ``(n, *positions, q)``, ``int64``."""
        places = len(self.symbols)
        self._check((n, *positions, places))
        grid = self._grid(positions)
        where, before = self._where(grid), _before(grid)
        rows = torch.zeros(n, 1 + len(grid), dtype=torch.int64, device=grid.device)
        seen: list[list[Tensor]] = [[] for _ in self.blocks]
        for t in range(len(grid)):
            x = (self._near(rows[:, before[t]]) + where[t]).unsqueeze(1)
            for block, past in zip(self.blocks, seen, strict=True):
                x = block(x, past)
            logits = self.outputs[t % places](self.norm(x[:, 0]))
            symbol = torch.multinomial(logits.float().softmax(1), 1).squeeze(1)
            rows[:, 1 + t] = symbol + self.offsets[t % places]
        return rows[:, 1:].view(n, *positions, places) - self.offsets

    @torch.no_grad()
    def start(self, indices: Tensor, features: Tensor) -> None:
        """Begin at the frequencies of symbols ``(b, *p, q)``, each place by itself."""
        flat = indices.flatten(0, -2)
        for place, output in enumerate(self.outputs):
            counts = torch.bincount(flat[:, place], minlength=self.symbols[place]) + 1.0
            output.bias.copy_((counts / counts.sum()).log())

    def _check(self, shape: Sequence[int]) -> None:
        if shape[-1] != len(self.symbols) or len(shape) - 2 >= AXES:
            raise ValueError(
                f"this prior is of symbols (b, *positions, {len(self.symbols)}) with up to {AXES - 1} axes of "
                f"positions, got {tuple(shape)}."
            )

    def _grid(self, positions: Sequence[int]) -> Tensor:
        """Return the coordinates of each symbol, ``(symbols, AXES)``; axes that are not there stand at zero."""
        lengths = [*positions, *[1] * (AXES - 1 - len(positions)), len(self.symbols)]
        axes = [torch.arange(length, device=self.offsets.device) for length in lengths]
        return torch.cartesian_prod(*axes)

    def _near(self, rows: Tensor) -> Tensor:
        """Return what is read of the symbols just before each one, ``(..., width)``."""
        return self.neighbors(self.table(rows).flatten(-2))

    def _where(self, grid: Tensor) -> Tensor:
        """Return what tells each symbol where it stands, ``(symbols, width)``."""
        like = self.coordinates.weight
        turns = grid.to(like).unsqueeze(-1) * (math.pi / 2 ** torch.arange(FREQUENCIES, device=like.device)).to(like)
        return self.coordinates(torch.cat([turns.sin(), turns.cos()], -1).flatten(1))


def _before(grid: Tensor) -> Tensor:
    """Return which symbols are one back: in order, and along each axis; 0 where none is, the first being 1."""
    lengths = grid[-1] + 1
    strides = lengths.flip(0).cumprod(0).flip(0) // lengths
    order = torch.arange(len(grid), device=grid.device).unsqueeze(1)
    along = torch.where(grid > 0, 1 + order - strides, 0)
    return torch.cat([order, along], 1)


class _Block(nn.Module):
    """Causal attention, then two dense layers, each added to what went in."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """Return ``(b, t, width)``; with a list of keys and values, of the step that follows these."""
        query, key, value = self.attend(self.before(x)).unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        if past is not None:
            key, value = (torch.cat([*old, new], 2) for old, new in zip(_pairs(past), (key, value), strict=True))
            past[:] = [key, value]
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self._drop(self.join(seen.transpose(1, 2).flatten(2)))
        return x + self._drop(self.dense(self.between(x)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


def _pairs(past: list[Tensor]) -> list[list[Tensor]]:
    return [[one] for one in past] or [[], []]
