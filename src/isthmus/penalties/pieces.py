"""Which part of a code a penalty acts on, and which of its positions are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from isthmus.batch import Step

__all__ = ["observed_positions", "over_positions", "piece_of", "piece_width"]


def piece_width(code: Sequence[int], factors: Mapping[str, Sequence[int]], factor: str | None) -> int:
    """Return the dimensions of the code, or of its named factor.

    Raises
    ------
    ValueError
        If the code has no factor of this name.
    """
    if factor is None:
        return code[-1]
    if factor not in factors:
        has = f"its factors are {', '.join(map(repr, factors))}" if factors else "it has none; use the bottleneck split"
        raise ValueError(f"factor {factor!r} is not one of the code's: {has}.")
    return factors[factor][-1]


def piece_of(step: Step, factor: str | None) -> Tensor:
    """Return the code ``(b, *p, d)``, or its named factor."""
    if factor is None:
        return step.code.z
    return (step.code.factors or {})[factor]


def observed_positions(step: Step, z: Tensor) -> Tensor | None:
    """Return which positions of ``z`` hold data, ``(b, *p)``, or None where all do.

    The target's mask says so, where it has a value per position and the code kept the
    positions: the padding of ragged sequences. The source's mask would not do, as it also
    counts what a corruption hid.
    """
    mask = step.target.mask if isinstance(step.target.mask, Tensor) else None
    if mask is None or z.ndim < 3 or mask.shape != z.shape[:-1]:
        return None
    return mask


def over_positions(nats: Tensor, observed: Tensor | None) -> Tensor:
    """Return the sum over positions, ``(b,)``, of ``(b, *p)``; what was not observed counts nothing."""
    if observed is not None:
        nats = nats * observed
    return nats.flatten(1).sum(1) if nats.ndim > 1 else nats
