"""What all discrete codes share: how they stand in the line, count their symbols, and are sampled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.usage import collapse_text, perplexity, share_used
from isthmus.part import Part

__all__ = ["Quantizer", "Uses", "check_quantizer"]

CURE = (
    "take fewer symbols; of vector_quantizer a smaller size, restart above 0 or cosine=True; "
    "or finite_scalar, which has no codebook to collapse."
)

# Uses of a symbol, on average, after which the counts are halved.
MOST_USES = 1_024
# Uses of a symbol, on average, that say something about those never used.
ENOUGH_USES = 16


class Quantizer(Part):
    """Base of the discrete codes; nobody's instance.

    A quantizer stands in the line itself (``level`` None) or within another one: level 0 reads
    features, level k what k quantizers before it left over, without a projection of its own.

    Attributes
    ----------
    alphabet : list of int
        Symbols of each of the q places of a code; all alike.
    dimensions : int
        Numbers of a code, at each position.
    """

    prior: Part | None
    alphabet: list[int]
    dimensions: int

    def project(self, features: Tensor) -> Tensor:
        """Return the vectors ``(b, *p, d)`` to quantize."""
        raise NotImplementedError

    def assign(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes ``(b, *p, d)``, their symbols ``(b, *p, q)``, and nats ``(b,)`` while training."""
        raise NotImplementedError

    def pass_through(self, h: Tensor, code: Tensor) -> Tensor:
        """Return codes whose gradient goes on to ``h``."""
        return code.detach() + (h - h.detach())

    def disturb(self, z: Tensor) -> Tensor:
        """Return what the decoder sees of codes while training."""
        return z

    def nudge(self, z: Tensor) -> Tensor | None:
        """Return noise to move codes by while training, so that :meth:`notice` can tell how the cost bends."""
        return None

    def notice(self, gradient: Tensor, nudge: Tensor) -> None:
        """Look at the gradient that reaches codes so moved."""

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, q)``."""
        raise NotImplementedError

    def start_projection(self, features: Tensor) -> None:
        """Set the weights of :meth:`project`."""

    def start_codes(self, h: Tensor) -> None:
        """Set the codes from a sample of what :meth:`project` gives."""

    def join(self, alphabet: list[int], dimensions: int, positions: Sequence[int], level: int | None) -> None:
        """Take a place: in the line, with a count of symbols and perhaps a prior, or within another quantizer."""
        self.alphabet, self.dimensions = alphabet, dimensions
        if level is not None:
            if self.prior is not None:
                raise ValueError(
                    f"a quantizer within another one has no prior of its own, got {self!r}; give it to the outer one."
                )
            return
        self.uses = Uses(alphabet)
        if self.prior is not None:
            self.prior.build_with({"symbols": list(alphabet), "positions": list(positions)})

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``."""
        h = self.project(features)
        # Two codes may lie nearer to each other than half precision can tell.
        with torch.autocast(h.device.type, enabled=False):
            h = h.float() if h.dtype in (torch.bfloat16, torch.float16) else h
            code, indices, penalty = self.assign(h)
            z = self.pass_through(h, code)
            if self.training:
                self.uses.see(indices)
                z = self.disturb(self._nudged(z))
        if self.prior is not None:
            penalty = penalty - self.prior.log_prob(indices)
        return Code(z, penalty, indices)

    def quantize(self, z: Tensor) -> Tensor:
        """Return the symbols ``(b, *p, q)`` whose codes are near ``z``, ``(b, *p, d)``; those of a code itself."""
        with torch.autocast(z.device.type, enabled=False):
            return self.assign(z)[1]

    def dequantize(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, q)``."""
        return self.look_up(indices).detach()

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)`` from the prior, without one each symbol by its frequency alone."""
        drawn = self.uses.sample(n, positions) if self.prior is None else self.prior.sample(n, positions)
        return self.dequantize(drawn)

    def frequencies(self) -> Tensor:
        """Return how often each symbol was used of late while training, ``int64`` ``(q, symbols)``."""
        return self.uses.counts.clone()

    @property
    def perplexity(self) -> float:
        """Equally frequent symbols that would say as much, of late while training; the mean over places."""
        return perplexity(self.uses.counts.double())

    @property
    def share_used(self) -> float:
        """Share of the symbols in use."""
        return share_used(self.uses.counts.double())

    def _nudged(self, z: Tensor) -> Tensor:
        nudge = self.nudge(z)
        if nudge is None:
            return z
        z = z + nudge
        if z.requires_grad:
            z.register_hook(lambda gradient: self.notice(gradient.detach(), nudge))
        return z

    def start(self, features: Tensor) -> None:
        """Begin at the features' components, and where the vectors to quantize are."""
        self.start_projection(features)
        self.start_codes(self.project(features))
        if self.prior is not None:
            self.prior.start(self.assign(self.project(features))[1], features)


class Uses(nn.Module):
    """How often each symbol was used, in whole numbers, of late; a warning of a code that collapsed.

    Parameters
    ----------
    alphabet : list of int
        Symbols of each place, all alike.

    Notes
    -----
    All counts are halved when they come to 1,024 uses a symbol: they tell of the last 512 to
    1,024, and what the start used is forgotten.
    """

    counts: Tensor

    def __init__(self, alphabet: list[int]):
        super().__init__()
        self.register_buffer("counts", torch.zeros(len(alphabet), alphabet[0], dtype=torch.int64))
        self._seen: Tensor | None = None
        self._judged = False

    def see(self, indices: Tensor) -> None:
        """Remember the symbols ``(b, *p, q)`` of a step, for ``after_step``."""
        self._seen = indices

    def after_step(self, progress: float) -> None:
        """Count what was seen; once, in the second half of training, warn of a code that collapsed."""
        if self._seen is None:
            return
        places, symbols = self.counts.shape
        shift = symbols * torch.arange(places, device=self._seen.device)
        counts = self.counts + torch.bincount((self._seen + shift).flatten(), minlength=places * symbols).view(
            places, symbols
        )
        many = counts.sum() > MOST_USES * counts.numel()
        self.counts.copy_(torch.where(many, counts // 2, counts))
        self._seen = None
        if progress >= 0.5 and not self._judged:
            self._judged = True
            self._judge()

    def sample(self, n: int, positions: tuple[int, ...]) -> Tensor:
        """Draw symbols ``(n, *positions, q)``, each by its frequency; before any was seen, all are as likely."""
        weights: Tensor = self.counts.clamp_min(0).double()
        weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, 1.0)
        drawn = torch.multinomial(weights, n * math.prod(positions), replacement=True)
        return drawn.T.reshape(n, *positions, len(self.counts))

    def _judge(self) -> None:
        if float(self.counts.sum()) < ENOUGH_USES * self.counts.numel():
            return
        if text := collapse_text(self.counts.double(), CURE):
            warnings.warn(text, ConvergenceWarning, stacklevel=2)


def check_quantizer(owner: Part, quantizer: Any) -> Quantizer:
    """Return the quantizer within another one, or raise ValueError where it is none."""
    if not isinstance(quantizer, Quantizer):
        raise ValueError(
            f"the quantizer of {type(owner).__name__} must be a discrete code, such as VectorQuantizer(64) or "
            f"FiniteScalar(), got {quantizer!r}."
        )
    return quantizer
