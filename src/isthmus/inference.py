"""Running a fitted network over many rows, in pieces that fit the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral

import torch
from torch import Tensor

from isthmus.batch import Batch, Step
from isthmus.guards import seeded
from isthmus.module import AutoEncoderModule

__all__ = ["code_shape", "costs", "decode", "encode", "log_likelihood", "steps"]

PIECE_BYTES = 2**22
LEAST_PIECE = 64


def code_shape(module: AutoEncoderModule) -> tuple[int, ...]:
    """Return the shape of one code."""
    weight = next(module.parameters())
    blank = module.modality.blank(1)
    with torch.no_grad():
        code = module.encode(blank.with_x(blank.x.to(weight.dtype)).to(weight.device))
    return tuple(code.shape[1:])


def steps(module: AutoEncoderModule, stored: Batch) -> Iterator[tuple[slice, Step]]:
    """Yield ``(slice, step)`` for stored rows in pieces: all that the network makes of them."""
    weight = next(module.parameters())
    size = piece_size(module, stored)
    with torch.inference_mode():
        for begin in range(0, len(stored), size):
            piece = slice(begin, min(begin + size, len(stored)))
            yield piece, module(stored[piece].to(weight.device))


def encode(module: AutoEncoderModule, stored: Batch, drawn: bool = False) -> Tensor:
    """Return the codes of stored rows, each flattened, on the processor; drawn from their posterior if asked."""
    return _gather(module, stored, lambda piece: module.encode(piece, drawn).flatten(1))


def costs(module: AutoEncoderModule, stored: Batch) -> Tensor:
    """Return the reconstruction cost of stored rows in nats, on the processor."""

    def cost(piece: Batch) -> Tensor:
        step = module(piece)
        return module.loss(step.output, step.target)

    return _gather(module, stored, cost)


def log_likelihood(module: AutoEncoderModule, stored: Batch, n_samples: int, seed: int) -> Tensor:
    r"""Return an estimate of ``log p(x)`` of stored rows in nats, ``float64`` on the processor.

    .. math:: \log \frac1n \sum_{i=1}^n \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)}, \qquad z_i \sim q(z|x)

    Parameters
    ----------
    module : AutoEncoderModule
        In evaluation mode, its bottleneck one that can ``draw``.
    stored : Batch
        As the modality keeps it.
    n_samples : int
        Draws of each row. On average the estimate is too low, by less with more draws
        (Burda et al., 2016, https://arxiv.org/abs/1509.00519, theorem 1).
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        If n_samples is no whole number of at least 1, or codes have no ratio of densities.
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be a whole number of at least 1, got {n_samples!r}.")
    device = next(module.parameters()).device
    # Rows times draws at once: as many as rows alone elsewhere.
    most = piece_size(module, stored)
    times, pieces = min(n_samples, most), []
    with seeded(seed, str(device)), torch.inference_mode():
        for piece in _cut(stored, max(1, most // times)):
            target = module.modality.expand(piece.to(device))
            features = module.encoder(target)
            total = features.new_full((len(piece),), -math.inf, dtype=torch.float64)
            for begin in range(0, n_samples, times):
                draws = min(times, n_samples - begin)
                log_weights = _log_weights(module, target.repeat(draws), features.repeat_interleave(draws, 0))
                total = torch.logaddexp(total, log_weights.view(len(piece), draws).logsumexp(1))
            pieces.append((total - math.log(n_samples)).cpu())
    return torch.cat(pieces)


def _log_weights(module: AutoEncoderModule, target: Batch, features: Tensor) -> Tensor:
    """Return ``log p(x|z) p(z) / q(z|x)`` of one drawn code a row, ``float64``."""
    code = module.bottleneck.draw(features)
    if code.log_ratio is None:
        raise ValueError(f"{module.bottleneck!r} gives no ratio of densities for its codes; gaussian does.")
    return -(module.loss(module.decoder(code.z, target), target) + code.log_ratio).double()


def decode(module: AutoEncoderModule, z: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what the decoder makes of codes, read by the loss's ``mean`` or ``draw``, on the processor."""
    weight = next(module.parameters())
    numbers = math.prod(module.modality.example()["shape"])
    size = max(LEAST_PIECE, PIECE_BYTES // (8 * numbers))
    with torch.inference_mode():
        pieces = [read(module.decoder(piece.to(weight), None)).cpu() for piece in z.split(size)]
    return torch.cat(pieces)


def piece_size(module: AutoEncoderModule, stored: Batch) -> int:
    """Return how many rows to run at once: few enough that a layer's values stay in the cache."""
    if len(stored) <= LEAST_PIECE:
        return LEAST_PIECE
    widest = max((parameter.shape[0] for parameter in module.parameters() if parameter.ndim), default=1)
    return max(LEAST_PIECE, PIECE_BYTES // (8 * max(widest, stored.x[0].numel())))


def _gather(module: AutoEncoderModule, stored: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
    device = next(module.parameters()).device
    size = piece_size(module, stored)
    with torch.inference_mode():
        return torch.cat([function(piece.to(device)).cpu() for piece in _cut(stored, size)])


def _cut(stored: Batch, size: int) -> Iterator[Batch]:
    for begin in range(0, len(stored), size):
        yield stored[begin : begin + size]
