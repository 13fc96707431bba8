"""An encoder with a head in place of the decoder: what the one training loop fits on labels."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Batch, Code, Step
from isthmus.data import Resident
from isthmus.module import AutoEncoderModule

__all__ = ["Blended", "Classes", "Numbers", "Supervised"]

# A guess about a row without a label counts as its label from this probability on.
CONFIDENT = 0.95


class Classes:
    """Cross-entropy of logits; a label of -1 costs nothing.

    Parameters
    ----------
    smoothing : float, default=0.0
        Share of the label's probability that is spread over all classes.
    """

    def __init__(self, smoothing: float = 0.0):
        self.smoothing = smoothing

    def __call__(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        wanted = _labels(target)
        return F.cross_entropy(output, wanted, ignore_index=-1, reduction="none", label_smoothing=self.smoothing)

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return 1 for each wrong answer, ``(b,)``."""
        return ((output.argmax(1) != _labels(target)) & self.known(target)).to(output)

    def agree(self, output: Tensor, guess: Tensor) -> Tensor:
        """Return nats of a corrupted row against what is guessed of the clean one, where that is clear."""
        best = guess.softmax(1).max(1)
        return F.cross_entropy(output, best.indices, reduction="none") * (best.values >= CONFIDENT)

    def known(self, target: Batch) -> Tensor:
        """Return where the label is known, ``(b,)``."""
        return _labels(target).ge(0)


class Numbers:
    """Gaussian nats of numbers of unit spread; one that is not finite is not known, and costs nothing."""

    def __call__(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        return 0.5 * self.error(output, target) + 0.5 * math.log(2 * math.pi) * self.known(target)

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return the squared difference, ``(b,)``."""
        wanted = _labels(target).to(output)
        # Filled before the difference: the gradient of a NaN is one, also where it is masked.
        return (output[:, 0] - wanted.nan_to_num()).square() * self.known(target)

    def agree(self, output: Tensor, guess: Tensor) -> Tensor:
        """Return nats of a corrupted row against what is guessed of the clean one."""
        return 0.5 * (output - guess).square().sum(1)

    def known(self, target: Batch) -> Tensor:
        """Return where the number is known, ``(b,)``."""
        return _labels(target).isfinite()


class Supervised(nn.Module):
    """The encoder of an auto-encoder, copied, and a linear head on what it gives.

    Has what :func:`isthmus.training.train` asks of a module: it is the auto-encoder's line with
    the label as the target. The label is in ``Batch.condition``.

    Parameters
    ----------
    module : AutoEncoderModule
        Built; left as it is.
    outputs : int
        Numbers that the head gives.
    loss : Classes or Numbers
        What they mean.
    layer : {'features', 'code'}
        What the head reads: the encoder's features, their mean over positions where there are
        some, or the code.
    dropout : float
        Share of that dropped before the head while training.
    corrupt : bool
        Whether rows are corrupted while training, by the auto-encoder's corruption.
    consistency : float
        Weight of the nats by which the answer for a corrupted row without a label may not
        differ from that for the clean one.

    Attributes
    ----------
    center, spread : Tensor
        What is subtracted from what the head reads, and what it is divided by: codes come in
        any units (:meth:`measure`).
    """

    is_game = False

    def __init__(
        self,
        module: AutoEncoderModule,
        outputs: int,
        loss: Classes | Numbers,
        layer: str = "features",
        dropout: float = 0.0,
        corrupt: bool = True,
        consistency: float = 0.0,
    ):
        super().__init__()
        # In one call, so that what they share stays shared.
        self.encoder, bottleneck = copy.deepcopy((module.encoder, module.bottleneck))
        self.bottleneck = bottleneck if layer == "code" else None
        self.modality = module.modality
        self.corruption = module.corruption if corrupt else None
        self.loss = loss
        self.consistency = consistency
        self.dropout = nn.Dropout(dropout)
        like = next(module.parameters())
        blank: Any = module.modality.blank(1)
        with torch.no_grad():
            seen = blank.with_x(blank.x.to(like.dtype)).to(like.device)
            width = self.eval().read(module.modality.expand(seen)).shape[1]
        self.register_buffer("center", like.new_zeros(width))
        self.register_buffer("spread", like.new_ones(width))
        self.head = nn.Linear(width, outputs).to(like)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def read(self, batch: Batch) -> Tensor:
        """Return what the head is given of expanded rows, ``(b, width)``, in its own units."""
        features = self.encoder(batch)
        if self.bottleneck is not None:
            return self.bottleneck(features).z.flatten(1)
        return features if features.ndim == 2 else features.flatten(1, -2).mean(1)

    @torch.no_grad()
    def measure(self, seen: Tensor) -> None:
        """Take mean and spread of what the head will read from some of it, ``(n, width)``.

        A unit that hardly moves is divided by no less than a tenth of the others' spread, and
        by a hundredth of the values themselves: it would be noise enlarged.
        """
        spread = seen.std(0, correction=0)
        floor = torch.maximum(0.1 * spread.square().mean().sqrt(), 0.01 * seen.square().mean().sqrt())
        self.center.copy_(seen.mean(0))
        self.spread.copy_(spread.clamp_min(floor.clamp_min(1e-30)))

    def forward(self, stored: Batch, as_training: bool | None = None) -> Step:
        """Run the line; held-out rows are never corrupted, as new rows will not be."""
        source = target = self.modality.expand(stored)
        if self.training and self.corruption is not None:
            if hasattr(self.corruption, "augment"):
                source = target = self.corruption.augment(target)
            source = self.corruption(source)
        code = (self.read(source) - self.center) / self.spread
        return Step(source, target, code, Code(code, code.new_zeros(len(code))), self.head(self.dropout(code)))

    def cost(self, step: Step) -> Tensor:
        """Return nats ``(b,)``: of the label where there is one, else of the disagreement."""
        nats = self.loss(step.output, step.target)
        if not (self.training and self.consistency):
            return nats
        with torch.no_grad():
            guess = self.head((self.read(step.target) - self.center) / self.spread)
        disagreement = self.loss.agree(step.output, guess)
        return torch.where(self.loss.known(step.target), nats, self.consistency * disagreement)

    def usage(self) -> dict[str, float]:
        """Return nothing: how much of a code is in use was told when it was learned."""
        return {}

    def arrange(self, data: Any, training: Tensor, batch_size: int) -> Any:
        """Return the data as they are: no example need stand beside another."""
        return data

    def after_step(self, progress: float) -> None:
        """Nothing moves between steps: codebooks and temperatures stay as they were learned."""


class Blended:
    """Rows with and without labels, those with one repeated so often that every batch has some of both.

    Parameters
    ----------
    labelled, unlabelled : Resident
        Stored examples; of the second, the condition says that no label is known.
    """

    def __init__(self, labelled: Resident, unlabelled: Resident):
        self.labelled, self.unlabelled = labelled, unlabelled

    def __len__(self) -> int:
        return 2 * len(self.unlabelled)

    def take(self, index: Tensor) -> Batch:
        """Return the examples at these positions: first those without, then as many with a label."""
        n = len(self.unlabelled)
        free = index < n
        without = self.unlabelled.take(index[free])
        given = self.labelled.take((index[~free] - n) % len(self.labelled))
        # Back to the order that was asked for.
        place = torch.cat([free.nonzero().flatten(), (~free).nonzero().flatten()]).argsort()
        pieces = [
            None if a is None or b is None else torch.cat([a, b])[place]
            for a, b in zip(_tensors(without), _tensors(given), strict=True)
        ]
        assert pieces[0] is not None
        return Batch(*pieces)


def _labels(target: Batch) -> Tensor:
    assert target.condition is not None  # the job stores a label, or its sign for none, with every row
    return target.condition


def _tensors(batch: Batch) -> tuple[Tensor | None, ...]:
    return batch.x, batch.mask, batch.condition
