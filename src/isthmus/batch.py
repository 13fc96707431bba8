"""What flows along the line: batches, codes, and all that one forward pass saw.

Shapes are written the same way in every file: ``b`` examples, ``*p`` positions (none for
a table, ``h w`` for an image, ``t`` for a sequence), ``c`` channels, always last, ``d``
code size, ``q`` symbols per position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Batch", "Code", "Step"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples as tensors, channels last.

    Attributes
    ----------
    x : Tensor
        Shape ``(b, *p, c)``, floating point, or ``uint8`` before a modality's ``expand``;
        shape ``(b, *p)`` and ``int64`` for tokens.
    mask : Tensor, optional
        Boolean, True where a value was observed: ``(b, *p)`` for whole positions, or the
        shape of ``x`` for single values. None means that everything was observed. Where it
        is False, ``x`` is finite and says nothing: encoders and losses do not look at it.
    condition : Tensor, optional
        Shape ``(b,)``, ``int64``: the label of each example, from 0; -1 where it is not known.
        Only fits with a part that asks for labels (``needs_labels``) have it.
    """

    x: Tensor
    mask: Tensor | None = None
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(*(None if t is None else function(t) for t in (self.x, self.mask, self.condition)))

    def __getitem__(self, index: slice) -> Batch:
        """Take consecutive examples, as views."""
        return self._map(lambda t: t[index])

    def take(self, index: Tensor) -> Batch:
        """Take the examples at these positions, as copies."""
        return self._map(lambda t: t.index_select(0, index))

    def to(self, device: torch.device | str) -> Batch:
        """Move to a device."""
        return self._map(lambda t: t.to(device, non_blocking=True))

    def repeat(self, times: int) -> Batch:
        """Repeat each example, the copies of one beside each other."""
        return self if times == 1 else self._map(lambda t: t.repeat_interleave(times, 0))

    def with_x(self, x: Tensor) -> Batch:
        """Return the same examples with other values."""
        return replace(self, x=x)

    @property
    def nbytes(self) -> int:
        """Bytes held by the tensors."""
        return sum(t.nbytes for t in (self.x, self.mask, self.condition) if t is not None)


class Code(NamedTuple):
    """What a bottleneck makes of features.

    Attributes
    ----------
    z : Tensor
        Shape ``(b, *p, d)``: all that the decoder sees.
    penalty : Tensor
        Shape ``(b,)``, nats, already weighted: what this code costs (a KL divergence, a
        commitment). Zeros where a code is free.
    indices : Tensor, optional
        Shape ``(b, *p, q)``, ``int64``: the symbols of a discrete code.
    factors : dict of str to Tensor, optional
        Named pieces of ``z``, ``(b, *p, d)`` each: one after the other on the last axis, they are z.
    log_ratio : Tensor, optional
        Shape ``(b,)``, nats: ``log q(z|x) - log p(z)`` of a code that was drawn, unweighted;
        only a bottleneck's ``draw`` gives it.
    weight : Tensor, optional
        Shape ``(b,)``: how much the nats of an example's reconstruction count beside ``penalty``,
        for a bottleneck that codes each example at a quality of its own. None: once.
    """

    z: Tensor
    penalty: Tensor
    indices: Tensor | None = None
    factors: dict[str, Tensor] | None = None
    log_ratio: Tensor | None = None
    weight: Tensor | None = None


class Step(NamedTuple):
    """All that one forward pass saw; what penalties are computed from.

    Attributes
    ----------
    source : Batch
        What the encoder read: the target, corrupted while training.
    target : Batch
        What the decoder should give back.
    features : Tensor
        Shape ``(b, *p, width)``: the encoder's output.
    code : Code
        The bottleneck's output.
    output : Tensor
        The decoder's output: the parameters of the loss's distribution.
    """

    source: Batch
    target: Batch
    features: Tensor
    code: Code
    output: Tensor
