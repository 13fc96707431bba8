"""The named factors of rows' codes, and rows decoded with a factor of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.batch import Batch
from isthmus.data import blocks, gathered, joined
from isthmus.estimator import AutoEncoder
from isthmus.inference import decode
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = ["factors_of", "no_factors", "pieces_of", "swap_factor"]


def no_factors(bottleneck: Part) -> str:
    """Return what to say of a bottleneck without named factors."""
    return (
        f"the code of {bottleneck!r} has no named factors; use a bottleneck such as "
        "split(factors={'content': linear(8), 'style': linear(4)})."
    )


def factors_of(estimator: AutoEncoder) -> tuple[str, ...]:
    """Return the names of the factors of a fitted auto-encoder's code.

    Raises
    ------
    ValueError
        If it has none.
    """
    check_is_fitted(estimator, "module_")
    blank = estimator.modality_.blank(1)
    (_, step), *_ = estimator.steps(blank.with_x(blank.x.to(next(estimator.module_.parameters()).dtype)))
    if not step.code.factors:
        raise ValueError(no_factors(estimator.module_.bottleneck))
    return tuple(step.code.factors)


def swap_factor(estimator: AutoEncoder, A: Any, B: Any, factor: str) -> Any:
    """Return the rows of A with a factor of B's, as a fitted auto-encoder with factors decodes them.

    Parameters
    ----------
    estimator : AutoEncoder
        Fitted.
    A, B : array-like, data frame or Rows
        Equally many rows, or one row in B.
    factor : str
        One of :func:`factors_of`.

    Raises
    ------
    ValueError
        If there is no such factor, A and B do not have equally many rows, or B's factor is of
        other positions than A's and not the same at all of them.
    """
    known = factors_of(estimator)
    if factor not in known:
        raise ValueError(f"the code has no factor {factor!r}; there are: {', '.join(known)}.")
    modality = estimator.modality_
    A, B = gathered(modality, as_rows(A)), gathered(modality, as_rows(B))
    if len(B) not in (1, len(A)):
        raise ValueError(f"B must have as many rows as A, {len(A)}, or one for all of them; got {len(B)}.")
    dtype = next(estimator.module_.parameters()).dtype
    pieces, given = (pieces_of(estimator, blocks(rows, modality, dtype)) for rows in (A, B))
    pieces[factor] = _fitting(given[factor], pieces[factor])
    z = torch.cat(list(pieces.values()), -1)
    return joined([modality.to_rows(decode(estimator.module_, z, estimator.module_.loss.mean))], A)


def pieces_of(estimator: AutoEncoder, stored: Iterable[Batch]) -> dict[str, Tensor]:
    """Return the factors of batches, on the processor: name, then ``(n, *p, d)``."""
    found: dict[str, list[Tensor]] = {}
    for batch in stored:
        for _, step in estimator.steps(batch):
            for name, piece in step.code.factors.items():
                found.setdefault(name, []).append(piece.cpu())
    return {name: torch.cat(pieces) for name, pieces in found.items()}


def _fitting(given: Tensor, own: Tensor) -> Tensor:
    """Return a factor of other rows at the positions of these: as it is, or where it is one for all positions."""
    if given.shape[1:-1] != own.shape[1:-1]:
        first = given[(slice(None), *[slice(0, 1)] * (given.ndim - 2))]
        if given.ndim != own.ndim or not torch.equal(given, first.expand_as(given)):
            raise ValueError(
                f"a factor of positions {tuple(given.shape[1:-1])} has no place at {tuple(own.shape[1:-1])}; "
                "a pooled factor would have."
            )
        given = first
    return given.expand(len(own), *own.shape[1:-1], given.shape[-1])
