"""The entropy bottleneck: rounded numbers that cost what it takes to write them down."""

from __future__ import annotations

import math
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.layers import in_full
from isthmus.part import Part

__all__ = ["EntropyBottleneck"]

# A mean squared error of one 8-bit step in all three colours, in bits a pixel, is so many nats
# for each unit of squared error of values between 0 and 1.
NATS_OF_ERROR = math.log(2) * 255**2 / 3
# Spread of the mixture's components to begin with, as shares of the features' own.
SPREADS = (1.0, 0.08)


class EntropyBottleneck(Part):
    r"""Round each feature to a step of its channel; the penalty is the rate of what is rounded.

    One model for all qualities: a quality is a number from 0, coarse, to ``levels - 1``, fine.
    Each whole one has a step for every channel; between them steps are interpolated.

    Parameters
    ----------
    trade_offs : tuple of float, default=(0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18)
        For each level, ascending, how much distortion counts beside the rate: bits a pixel for a
        mean squared error of one, in steps of 8-bit values.
    mixture : int, default=3
        Logistic distributions that a channel's density is mixed from, at least 2.
    settle : float, default=0.15
        Share of the training, at its end, in which encoder and steps stay as they are and the
        density and the decoder learn from what is truly written.
    told : bool, default=True
        Add a channel that tells the decoder the logarithm of the level's step, in units of the
        middle level's.

    Facts
    -----
    width : int
        Channels of the features.

    Attributes
    ----------
    levels : int
        Levels of quality.

    Raises
    ------
    ValueError
        If trade-offs do not ascend from above 0, or another parameter is out of its range.

    Notes
    -----
    With gains g of a level (one over the steps), features y become the whole numbers

    .. math:: k = \mathrm{round}(g y), \qquad z = s k / g, \qquad
              P(k) = F\big((k + \tfrac12) / g\big) - F\big((k - \tfrac12) / g\big),
              \qquad F(y) = \sum_m w_m \,\sigma\big((y - \mu) / b_m\big)

    with one density F of a channel for all levels, for y does not depend on the level, and
    a stretch s, begun at 1: the middle of what is rounded to k is not where most of it lies. While
    training the decoder sees rounded numbers, whose gradient passes as if they were not rounded, and
    the rate is that of y with uniform noise of one step. Logistics, as their differences are known
    without rounding errors in both tails; mixed, as coefficients of images have peaks and long
    tails at once, which one Laplace distribution has not.

    Each example is coded at one level: while training, and where held-out rows are judged
    (``draw``), at one level after the other through the batch, from a random first; otherwise
    at the middle one. With a trade-off t and t' the geometric mean of all,

    .. math:: \text{penalty} = \sqrt{t' / t}\; R, \qquad \text{weight} = \sqrt{t' / t}\; t

    weighs R + t D such that levels count about alike: rates grow with about the root of t. At
    t = t' the penalty is the rate in nats. Steps begin at ``sqrt(6 / t)`` (the optimum of a
    uniform density at high rate), for :class:`SquaredError` of colour images and features of an
    orthonormal transform of them.

    References
    ----------
    Balle et al., 2017, https://arxiv.org/abs/1611.01704 (noise for the rate), and 2018,
    https://arxiv.org/abs/1802.01436, appendix 6.1, for which a mixture stands in; Theis et
    al., 2017, https://arxiv.org/abs/1703.00395 (rounding with the identity's gradient, scales for
    other rates); Minnen & Singh, 2020, https://arxiv.org/abs/2007.08739 (both at once); Cui et al.,
    2021, https://arxiv.org/abs/2003.02012, equation 5 (gains, interpolated exponentially).

    Examples
    --------
    >>> bottleneck = EntropyBottleneck().build(width=16)
    >>> features = torch.randn(2, 3, 3, 16)
    >>> indices = bottleneck.quantize(features, 6.5)
    >>> indices.dtype, bottleneck.dequantize(indices, 6.5).shape
    (torch.int64, torch.Size([2, 3, 3, 17]))
    """

    # Few numbers far from their place, beside networks that begin near theirs.
    learning_rate_scale = 3.0

    def __init__(
        self,
        trade_offs: tuple[float, ...] = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18),
        mixture: int = 3,
        settle: float = 0.15,
        told: bool = True,
    ):
        super().__init__()
        self.trade_offs = trade_offs
        self.mixture = mixture
        self.settle = settle
        self.told = told

    def setup(self, width: int) -> None:
        """Create gains and densities."""
        self._check()
        self.levels = len(self.trade_offs)
        trade_offs = torch.tensor(self.trade_offs, dtype=torch.float64).log()
        self.register_buffer("log_trade_off", trade_offs.to(torch.get_default_dtype())[:, None], persistent=False)
        gains = 0.5 * (trade_offs + math.log(NATS_OF_ERROR / 6))
        self.log_gain = nn.Parameter(gains.to(self.log_trade_off)[:, None].repeat(1, width))
        self.log_stretch = nn.Parameter(torch.zeros(self.levels, width))
        self.center = nn.Parameter(torch.zeros(width))
        self.log_spread = nn.Parameter(torch.zeros(self.mixture, width))
        self.logits = nn.Parameter(torch.zeros(self.mixture, width))
        # A buffer, for a resumed fit to go on from.
        self.register_buffer("settled", torch.tensor(0.0), persistent=False)

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``: at levels in turn while training, else at the middle one."""
        if self.training:
            return self._code(features, self._in_turn(features))
        return self._code(features, self._quality(None, features))

    def draw(self, features: Tensor) -> Code:
        """Return the code at levels in turn, in evaluation too: held-out rows are judged at all levels."""
        return self._code(features, self._in_turn(features))

    @torch.no_grad()
    def quantize(self, features: Tensor, quality: float | Tensor | None = None) -> Tensor:
        """Return the whole numbers ``(b, *p, width)``, ``int64``, that features are written as.

        Parameters
        ----------
        features : Tensor
            Shape ``(b, *p, width)``.
        quality : float or Tensor (b,), optional
            From 0 to ``levels - 1``; by default the middle.
        """
        with in_full(features):
            features = features.to(self.log_gain.dtype)
            return (features * self._gain(self._quality(quality, features), features.ndim)).round().long()

    @torch.no_grad()
    def exact(self, features: Tensor, quality: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features u in steps, before they are rounded, and stretches s, both ``(b, *p, width)``.

        A number k in the place of u is off by ``s k - u`` steps.
        """
        with in_full(features):
            features = features.to(self.log_gain.dtype)
            quality = self._quality(quality, features)
            found = features * self._gain(quality, features.ndim)
            return found, _spread(self._between(self.log_stretch, quality), features.ndim).exp().expand_as(found)

    def dequantize(self, indices: Tensor, quality: float | Tensor | None = None) -> Tensor:
        """Return what the decoder reads, ``(b, *p, d)``, of whole numbers ``(b, *p, width)``."""
        numbers = indices.to(self.log_gain.dtype)
        return self._read(numbers, self._quality(quality, numbers))

    def nats(self, indices: Tensor, quality: float | Tensor | None = None) -> Tensor:
        """Return what each whole number costs by the learned density, ``(b, *p, width)``."""
        numbers = indices.to(self.log_gain.dtype)
        return -self._log_probability(numbers, self._gain(self._quality(quality, numbers), numbers.ndim))

    def trade_off(self, quality: float) -> float:
        """Return how much distortion counts at a quality; see ``trade_offs``."""
        return float(self._between(self.log_trade_off.double(), torch.tensor([float(quality)])).exp())

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Begin with densities as wide as the features."""
        flat = features.flatten(0, -2)
        self.center.copy_(flat.mean(0))
        deviation = flat.std(0, correction=0).clamp_min(1e-3 * flat.std(correction=0) + 1e-6).log()
        wide, narrow = (math.log(spread) for spread in SPREADS)
        shares = torch.linspace(wide, narrow, self.mixture).to(deviation)
        self.log_spread.copy_(deviation + shares[:, None])

    def after_step(self, progress: float) -> None:
        """Settle towards the end."""
        self.settled.fill_(float(progress > 1 - self.settle))

    def _check(self) -> None:
        given = self.trade_offs
        ascending = all(one < other for one, other in zip((0.0, *given), given, strict=False))
        if not given or not ascending:
            raise ValueError(f"trade_offs must ascend from above 0, got {given!r:.80}.")
        if not 2 <= self.mixture <= 16:
            raise ValueError(f"mixture must be 2 to 16 distributions, got {self.mixture}.")
        if not 0 <= self.settle <= 1:
            raise ValueError(f"settle is a share of the training, within 0 and 1, got {self.settle}.")

    def _code(self, features: Tensor, quality: Tensor) -> Code:
        with in_full(features):
            features = features.to(self.log_gain.dtype)
            gain = self._gain(quality, features.ndim)
            settled = self.training and bool(self.settled)
            if settled:
                features, gain = features.detach(), gain.detach()
            exact = features * gain
            numbers = exact + (exact.round() - exact).detach()
            noisy = self.training and not settled
            written = exact + (torch.rand_like(exact) - 0.5) if noisy else numbers
            nats = -self._log_probability(written, gain).flatten(1).sum(1)
            log_trade_off = self._between(self.log_trade_off, quality)[:, 0]
            balance = (0.5 * (self.log_trade_off.mean() - log_trade_off)).exp()
            z = self._read(numbers, quality, gain)
            indices = numbers.detach().round().long()
            return Code(z, balance * nats, indices, weight=balance * log_trade_off.exp())

    def _read(self, numbers: Tensor, quality: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return what the decoder reads of whole numbers."""
        gain = self._gain(quality, numbers.ndim) if gain is None else gain
        z = numbers * (_spread(self._between(self.log_stretch, quality), numbers.ndim).exp() / gain)
        if not self.told:
            return z
        middle = self._between(self.log_trade_off, quality.new_tensor([self._middle]))
        step = _spread(0.5 * (middle - self._between(self.log_trade_off, quality)), z.ndim)
        return torch.cat([z, step.expand(*z.shape[:-1], 1)], -1)

    def _log_probability(self, numbers: Tensor, gain: Tensor) -> Tensor:
        """Return the logarithm of what the density holds within half a step of each number."""
        off = -(numbers - self.center * gain).abs()
        parts = []
        log_weights = F.log_softmax(self.logits, 0)
        for log_weight, log_spread in zip(log_weights, self.log_spread, strict=True):
            # Steps in units of the spread; the difference of two sigmoids as a product, exact in both tails.
            step = (-log_spread).exp() / gain
            inner, outer = (off + 0.5) * step, (0.5 - off) * step
            height = log_weight + (-torch.expm1(-step)).log()
            parts.append(height + F.logsigmoid(inner) + F.logsigmoid(outer))
        return reduce(torch.logaddexp, parts)

    def _gain(self, quality: Tensor, ndim: int) -> Tensor:
        """Return the gains of these qualities, to be multiplied with features of ``ndim`` axes."""
        return _spread(self._between(self.log_gain, quality), ndim).exp()

    def _between(self, table: Tensor, quality: Tensor) -> Tensor:
        """Return rows ``(b, c)`` of a table ``(levels, c)`` at these qualities, interpolated."""
        below = quality.floor().clamp(0, max(0, self.levels - 2)).long()
        share = (quality - below).to(table)[:, None]
        return torch.lerp(table[below], table[(below + 1).clamp_max(self.levels - 1)], share)

    def _quality(self, quality: float | Tensor | None, like: Tensor) -> Tensor:
        """Return a quality for each example, or raise ValueError."""
        given = torch.as_tensor(self._middle if quality is None else quality, device=like.device).to(like)
        if not bool(((given >= 0) & (given <= self.levels - 1)).all()):
            raise ValueError(f"quality must be from 0 to {self.levels - 1}, got {quality}.")
        return given.expand(len(like))

    def _in_turn(self, features: Tensor) -> Tensor:
        """Return levels that follow one another through the batch, the first one random."""
        first = torch.randint(self.levels, (), device=features.device)
        places = torch.arange(len(features), device=features.device)
        return ((first + places) % self.levels).to(self.log_gain.dtype)

    @property
    def _middle(self) -> int:
        return (self.levels - 1) // 2


def _spread(rows: Tensor, ndim: int) -> Tensor:
    """Return rows ``(b, c)`` with axes of one between, for tensors ``(b, *p, c)``."""
    return rows.view(len(rows), *[1] * (ndim - 2), rows.shape[1])
