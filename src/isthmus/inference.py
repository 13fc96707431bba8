"""Running a fitted network over many rows, in pieces that fit the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from isthmus.batch import Batch, Step
from isthmus.module import AutoEncoderModule

__all__ = ["costs", "decode", "encode", "steps"]

PIECE_BYTES = 2**22


def steps(module: AutoEncoderModule, stored: Batch) -> Iterator[tuple[slice, Step]]:
    """Yield ``(slice, step)`` for stored rows in pieces: all that the network makes of them."""
    weight = next(module.parameters())
    size = piece_size(module, stored)
    with torch.inference_mode():
        for begin in range(0, len(stored), size):
            piece = slice(begin, min(begin + size, len(stored)))
            yield piece, module(stored[piece].to(weight.device))


def encode(module: AutoEncoderModule, stored: Batch) -> Tensor:
    """Return the codes of stored rows, each flattened, on the processor."""
    return _gather(module, stored, lambda piece: module.encode(piece).flatten(1))


def costs(module: AutoEncoderModule, stored: Batch) -> Tensor:
    """Return the reconstruction cost of stored rows in nats, on the processor."""

    def cost(piece: Batch) -> Tensor:
        step = module(piece)
        return module.loss(step.output, step.target)

    return _gather(module, stored, cost)


def decode(module: AutoEncoderModule, z: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what the decoder makes of codes, read by the loss's ``mean`` or ``draw``, on the processor."""
    weight = next(module.parameters())
    numbers = math.prod(module.modality.example()["shape"])
    size = max(64, PIECE_BYTES // (8 * numbers))
    with torch.inference_mode():
        pieces = [read(module.decoder(piece.to(weight), None)).cpu() for piece in z.split(size)]
    return torch.cat(pieces)


def piece_size(module: AutoEncoderModule, stored: Batch) -> int:
    """Return how many rows to run at once: few enough that a layer's values stay in the cache."""
    widest = max((parameter.shape[0] for parameter in module.parameters() if parameter.ndim), default=1)
    return max(64, PIECE_BYTES // (8 * max(widest, stored.x[0].numel())))


def _gather(module: AutoEncoderModule, stored: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
    device = next(module.parameters()).device
    size = piece_size(module, stored)
    with torch.inference_mode():
        return torch.cat([function(stored[i : i + size].to(device)).cpu() for i in range(0, len(stored), size)])
