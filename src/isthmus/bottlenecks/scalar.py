"""The finite scalar code: every dimension rounded to a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isthmus.bottlenecks.linear import start_at_components
from isthmus.bottlenecks.quantizer import Quantizer
from isthmus.part import Part

__all__ = ["FiniteScalar"]

MOST_SYMBOLS = 2**24
# tanh(0.8 x) is a normal distribution's cumulative one, from -1 to 1, within 0.04.
UNIFORM = 0.8


class FiniteScalar(Quantizer):
    r"""Round each code dimension to a few levels; no codebook to learn.

    Parameters
    ----------
    levels : tuple of int, default=(8, 5, 5)
        Levels per dimension, each at least 2. The code has ``prod(levels)`` symbols.
    tanh_margin : float, default=1e-3
        How far outside the last level the bound lies, as a share of the range.
    prior : Part, optional
        As in :class:`VectorQuantizer`.

    Facts
    -----
    width : int
        Channels of the features.
    positions : list of int, default=()
        Shape of the positions that have a code each.
    level : int, optional
        Place within another quantizer; from 1 on, the features are themselves quantized.

    Attributes
    ----------
    perplexity, share_used : float
        As in :class:`VectorQuantizer`.

    Raises
    ------
    ValueError
        If a level is below 2, their product above 2**24, or the margin not between 0 and 1.

    Notes
    -----
    With L levels, half = (1 + margin) (L - 1) / 2, and offset 1/2 where L is even, else 0:

    .. math:: z = \frac{\mathrm{round}(\tanh(h + s)\, \text{half} - \text{offset})}{\lfloor L/2 \rfloor},
              \qquad s = \mathrm{artanh}(\text{offset} / \text{half})

    Without a prior the penalty is zero: rounding passes the gradient straight through. Rate is
    at most ``sum(log2(levels))`` bits per position. Level k of a :class:`Residual` divides the
    step of the level before by its number of levels: together they are one finer grid. It starts
    at principal components of a scale at which normal ones use all levels equally often.

    References
    ----------
    Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024,
    https://arxiv.org/abs/2309.15505, appendix A.1. Differs: no projection out; the decoder
    reads the rounded code itself; the bound lies outside the last level, not inside.

    Examples
    --------
    >>> FiniteScalar((4, 4)).build(width=16)(torch.zeros(2, 16)).z.shape
    torch.Size([2, 2])
    """

    def __init__(self, levels: tuple[int, ...] = (8, 5, 5), tanh_margin: float = 1e-3, prior: Part | None = None):
        super().__init__()
        self.levels = levels
        self.tanh_margin = tanh_margin
        self.prior = prior

    def setup(self, width: int, positions: Sequence[int] = (), level: int | None = None) -> None:
        """Create the projection, and the grid as buffers that follow from the params."""
        if not self.levels or not all(one >= 2 for one in self.levels) or math.prod(self.levels) > MOST_SYMBOLS:
            raise ValueError(
                f"levels must each be at least 2, their product at most {MOST_SYMBOLS:,}, got {self.levels!r:.80}."
            )
        if not 0 < self.tanh_margin < 1:
            raise ValueError(f"tanh_margin must lie between 0 and 1, got {self.tanh_margin}.")
        size = len(self.levels)
        if level and width != size:
            raise ValueError(f"{size} levels quantize vectors of {size} numbers, got vectors of {width}.")
        self.linear = None if level else nn.Linear(width, size)
        counts = torch.tensor(self.levels, dtype=torch.float64)
        half = (1 + self.tanh_margin) * (counts - 1) / 2
        offset = 0.5 * (counts % 2 == 0)
        step = 1 / (counts // 2)
        # Beyond the first level the grid is centred, and fills one step of the grid before.
        centre = (counts - 1) / 2 if level else counts // 2
        constants = {
            "counts": counts,
            "reach": half,
            "offset": offset,
            "shift": torch.atanh(offset / half),
            "unit": step,
            "step": step / counts ** (level or 0),
            "centre": centre,
        }
        for name, value in constants.items():
            self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)
        places = [math.prod(self.levels[:place]) for place in range(size)]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.join([math.prod(self.levels)], size, positions, level)

    def project(self, features: Tensor) -> Tensor:
        """Return the vectors ``(b, *p, d)`` to round, bounded, in units of the code."""
        if self.linear is None:
            return features
        h = self.linear(features)
        with torch.autocast(h.device.type, enabled=False):
            h = h.to(self.reach) if h.dtype != self.reach.dtype else h
            return (torch.tanh(h + self.shift) * self.reach - self.offset) * self.unit

    def assign(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes, symbols, and no penalty."""
        digits = torch.round(h.detach() / self.step + self.centre)
        digits = torch.minimum(digits.clamp_min(0), self.counts - 1)
        indices = (digits.long() * self.places).sum(-1, keepdim=True)
        return (digits - self.centre) * self.step, indices, h.new_zeros(len(h))

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, 1)``."""
        digits = indices // self.places % self.counts.long()
        return (digits - self.centre) * self.step

    def start_projection(self, features: Tensor) -> None:
        """Begin at the principal components, at a scale that uses the levels equally often."""
        if self.linear is not None:
            start_at_components(self.linear, features)
            with torch.no_grad():
                for value in (self.linear.weight, self.linear.bias):
                    value.mul_(UNIFORM)
                # What the bound adds centres the grid on a level; the middle of an even number lies between two.
                self.linear.bias.sub_(self.shift)
