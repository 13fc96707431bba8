"""The binary code: bits that a straight-through gradient learns."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.linear import start_at_components
from isthmus.bottlenecks.usage import Usage, perplexity, share_used
from isthmus.part import Part

__all__ = ["Binary"]

CURE = "lower beta, set balance, or add the penalty information(), which asks for bits that are on half the time."


class Binary(Part):
    r"""Bits: each dimension of the code is -1 or 1.

    Parameters
    ----------
    size : int, default=32
        Bits per position.
    beta : float, default=0.0
        Weight of the KL divergence from fair coins. 1 is the evidence lower bound; 0 lets the
        bits be as sure as they like.
    balance : float, default=0.0
        Nats that a bit costs when it is always on or always off in a batch; none when it is
        on half the time. Information theory's price is ``log(2)`` a bit and example.
    drawn : bool, default=True
        While training, draw each bit with its probability; else take the more likely value.
    median : bool, default=False
        Measure each bit's logit from its running median, so that half of the rows have it on.

    Facts
    -----
    width : int
        Channels of the features.

    Attributes
    ----------
    perplexity : float
        Values of a bit in effect, 1 to 2, of the last steps of training; the mean over bits.
    share_used : float
        Share of the values of bits that occur.

    Raises
    ------
    ValueError
        If size is below 1, or beta or balance negative.

    Notes
    -----
    With :math:`p_j = \sigma(a_j)` the probability of bit j,

    .. math:: z_j = 2 b_j - 1, \quad b_j \sim \operatorname{Bernoulli}(p_j), \qquad
              \frac{\partial z_j}{\partial a_j} := 2 p_j (1 - p_j), \qquad
              KL = \sum_j p_j \log 2 p_j + (1 - p_j) \log 2 (1 - p_j)

    The gradient is that of the mean of z, which is biased, and of low variance. In evaluation,
    and with ``drawn=False``, b is 1 where p is above a half. A code that is not drawn is a
    point, whose divergence from fair coins is ``log(2)`` a bit: that is the ``log_ratio`` of
    :meth:`draw`, while the penalty remains that of the probabilities.

    The number of bits in which two codes differ is ``(size - z1 @ z2) / 2``. The indices,
    0 and 1, are what is stored: :func:`numpy.packbits` makes bytes of them.

    Training begins at the signs of the principal components of the features; a random rotation
    of them spreads the variance over the bits.

    References
    ----------
    Bengio, Leonard & Courville, "Estimating or propagating gradients through stochastic
    neurons", 2013, https://arxiv.org/abs/1308.3432 (straight-through). Differs: the slope of
    the sigmoid is kept, as in Raiko et al., 2015, https://arxiv.org/abs/1406.2989. Weiss,
    Torralba & Fergus, "Spectral hashing", NIPS 2008 (balance).

    Examples
    --------
    >>> code = Binary(4).build(width=16).eval()(torch.randn(5, 16))
    >>> code.z.shape, bool((code.z.abs() == 1).all()), bool((2 * code.indices - 1 == code.z).all())
    (torch.Size([5, 4]), True, True)
    """

    threshold: Tensor

    def __init__(
        self, size: int = 32, beta: float = 0.0, balance: float = 0.0, drawn: bool = True, median: bool = False
    ):
        super().__init__()
        self.size = size
        self.beta = beta
        self.balance = balance
        self.drawn = drawn
        self.median = median

    def setup(self, width: int) -> None:
        """Create the layer of the logits."""
        if not 1 <= self.size <= 1_000_000:
            raise ValueError(f"size must be a whole number from 1 to 1,000,000, got {self.size!r}.")
        if not min(self.beta, self.balance) >= 0:
            raise ValueError(f"beta and balance must be at least 0, got {self.beta} and {self.balance}.")
        self.linear = nn.Linear(width, self.size)
        self.usage = Usage(self.size, 2, CURE)
        self.register_buffer("threshold", torch.zeros(self.size))
        self._medians: Tensor | None = None

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``: drawn while training, else the likelier bits."""
        return self._code(self._logits(features), drawn=self.drawn and self.training)

    def draw(self, features: Tensor) -> Code:
        """Return the code drawn from its posterior, in evaluation too, with its ``log_ratio``."""
        logits = self._logits(features)
        code = self._code(logits, drawn=self.drawn)
        if not self.drawn:
            ratio = logits.new_full((len(logits),), math.log(2) * logits[0].numel())
            return code._replace(log_ratio=ratio)
        # log q = log sigmoid(a z), written so that its gradient passes z as well: the mean of that
        # of log q at a fixed draw is zero.
        log_q = nn.functional.logsigmoid(logits) * (1 + code.z) / 2
        log_q = log_q + nn.functional.logsigmoid(-logits) * (1 - code.z) / 2
        return code._replace(log_ratio=(log_q + math.log(2)).flatten(1).sum(1))

    def log_probs(self, features: Tensor) -> Tensor:
        """Return log q of each bit being off and on, ``(b, *p, size, 2)``."""
        logits = self._logits(features)
        return torch.stack([nn.functional.logsigmoid(-logits), nn.functional.logsigmoid(logits)], -1)

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, size)`` of fair coins."""
        return self.dequantize(torch.randint(2, (n, *positions, self.size), device=self.threshold.device))

    def quantize(self, z: Tensor) -> Tensor:
        """Return the bits, 0 and 1, of codes ``(b, *p, size)``."""
        return (z > 0).long()

    def dequantize(self, indices: Tensor) -> Tensor:
        """Return the codes, -1 and 1, of bits ``(b, *p, size)``."""
        return (2 * indices - 1).to(self.linear.weight)

    def frequencies(self) -> Tensor:
        """Return how often each bit was off and on in the last steps of training, ``(size, 2)``."""
        return self.usage.frequencies()

    @property
    def perplexity(self) -> float:
        """Values of a bit in effect, 1 to 2; the mean over bits."""
        return perplexity(self.frequencies())

    @property
    def share_used(self) -> float:
        """Share of the values of bits that occur."""
        return share_used(self.frequencies())

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Count the bits of the step, and move the medians."""
        self.usage.move(progress)
        if self._medians is not None:
            self.threshold.lerp_(self._medians.to(self.threshold), 0.01)
            self._medians = None

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Begin at a random rotation of the principal components of the features."""
        start_at_components(self.linear, features)
        rotation, _ = torch.linalg.qr(torch.randn(self.size, self.size).to(self.linear.weight))
        self.linear.weight.copy_(rotation @ self.linear.weight)
        self.linear.bias.copy_(rotation @ self.linear.bias)
        if self.median:
            self.threshold.copy_(_median(self.linear(features)))
        self.usage.begin(self.quantize(self._logits(features)))

    def _logits(self, features: Tensor) -> Tensor:
        logits = self.linear(features)
        # In bfloat16 a probability would be one of 256.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if not self.median:
            return logits
        if self.training:
            self._medians = _median(logits.detach())
        return logits - self.threshold

    def _code(self, logits: Tensor, drawn: bool) -> Code:
        p = logits.sigmoid()
        hard = (torch.rand_like(p) if drawn else p.new_full((), 0.5)) < p
        if self.training:
            self.usage.see(hard.long())
        mean = 2 * p - 1
        # The value is exactly -1 or 1; the gradient is that of the mean.
        z = (2 * hard.to(p) - 1) + (mean - mean.detach())
        return Code(z, self._penalty(logits, p), hard.long())

    def _penalty(self, logits: Tensor, p: Tensor) -> Tensor:
        """Return nats ``(b,)``: the divergence from fair coins, and while training the imbalance."""
        # log 2 - H(p), with H(p) = softplus(a) - a p, which is exact for logits of any size.
        divergence = math.log(2) - nn.functional.softplus(logits) + logits * p
        penalty = self.beta * divergence.flatten(1).sum(1)
        # Not in evaluation: the cost of an example would depend on the others beside it.
        if self.balance and self.training:
            # The slope of the entropy is infinite at both ends, where the sigmoid's own has vanished.
            on = p.flatten(0, -2).mean(0).clamp(1e-6, 1 - 1e-6)
            entropy = torch.special.entr(torch.stack([on, 1 - on])).sum(0)
            imbalance = (1 - entropy / math.log(2)).sum() * (logits[0].numel() / self.size)
            penalty = penalty + self.balance * imbalance
        return penalty


def _median(logits: Tensor) -> Tensor:
    return logits.flatten(0, -2).median(0).values
