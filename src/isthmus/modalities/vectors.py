"""Vectors whose distances count: embeddings, codes of other models, features of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import principal_components
from isthmus.losses import GaussianLikelihood
from isthmus.modalities.facts import check_vector_facts
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.part import Part
from isthmus.rows import Rows

__all__ = ["Vectors"]

SAMPLE = 4_096
# Rows converted at once.
CHUNK = 2**14


class Vectors(Part):
    """Rows of an array of numbers ``(n, d)``, moved and scaled as a whole, so that distances keep their ratios.

    :class:`~isthmus.modalities.Tables` gives each column a scale of its own, which is right for
    columns that have nothing to do with each other, and wrong for embeddings: there, distances
    carry the meaning.

    Raises
    ------
    ValueError
        If the rows are no array of numbers with two axes, or one is not finite.

    Notes
    -----
    A batch is ``(x - center) / scale``: ``center`` is the mean of the vectors, ``scale`` the root
    of the mean variance of their columns, both of at most 4,096 vectors spread evenly.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> vectors = Vectors().fit(as_rows(np.array([[0.0, 2.0], [4.0, 2.0]])))
    >>> vectors.scale == 2**0.5, vectors.to_rows(torch.zeros(1, 2))
    (True, array([[2., 2.]]))
    """

    missing = False

    def __init__(self):
        super().__init__()

    def fit(self, rows: Rows) -> Self:
        """Learn where the vectors are, and how far they are spread."""
        index = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(np.int64))
        sample = _checked(rows, index).astype(np.float64)
        scale = float(np.sqrt(sample.var(axis=0).mean())) or 1.0
        _, deviations, _ = principal_components(torch.from_numpy(sample), 512)
        share = deviations.square().cumsum(0) / deviations.square().sum().clamp_min(1e-300)
        rank = max(1, min(32, int((share < 0.95).sum()) + 1))
        given = rows.take(slice(0, 1)).dtype
        dtype = given.name if given.kind == "f" else "float64"
        return self.build(center=sample.mean(axis=0).tolist(), scale=scale, dtype=dtype, rank=rank)

    def setup(self, center, scale, dtype, rank) -> None:
        """Take what was learned of the vectors."""
        check_vector_facts(center, scale, dtype, rank)
        self.center, self.scale, self.dtype, self.rank = center, scale, dtype, rank
        self._center = np.array(center, dtype=np.float64)

    def example(self) -> dict[str, Any]:
        """Return the facts of an example, which the other parts are built from."""
        return {"shape": [len(self.center)]}

    def blank(self, n: int) -> Batch:
        """Return ``n`` mean vectors."""
        return Batch(torch.zeros(n, len(self.center)))

    def expand(self, stored: Batch) -> Batch:
        """Return a stored batch as networks read it: unchanged."""
        return stored

    def to_batch(self, rows: Rows, dtype: torch.dtype = torch.float32) -> Batch:
        """Return rows as a batch ``(b, d)``."""
        n, width = len(rows), len(self.center)
        x = torch.empty(n, width, dtype=dtype)
        for begin in range(0, n, CHUNK):
            piece = slice(begin, min(begin + CHUNK, n))
            given = _checked(rows, piece)
            if given.shape[1] != width:
                raise ValueError(f"X has {given.shape[1]} features, but Vectors is expecting {width} features.")
            x[piece] = torch.from_numpy((given - self._center) / self.scale)
        return Batch(x)

    def to_rows(self, x: Tensor) -> np.ndarray:
        """Return a batch as vectors, of the type that was fitted."""
        return (x.detach().cpu().double().numpy() * self.scale + self._center).astype(self.dtype)

    def encoder(self) -> Part:
        """Return the encoder for vectors."""
        return MLPEncoder()

    def decoder(self) -> Part:
        """Return the decoder for vectors."""
        return MLPDecoder()

    def loss(self) -> Part:
        """Return the likelihood: Gaussian, of one spread, so that the error is the squared distance."""
        return GaussianLikelihood()


def _checked(rows: Rows, index: Sequence[int] | np.ndarray | slice) -> np.ndarray:
    """Return vectors, or raise ValueError where they are none."""
    given = rows.take(index)
    if not isinstance(given, np.ndarray) or given.ndim != 2 or given.dtype.kind not in "fiu":
        got = f"shape {given.shape} of {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
        raise ValueError(f"vectors are an array of numbers (n, d), got {got}; of a data frame take its to_numpy().")
    finite = np.isfinite(given).all(axis=1)
    if not finite.all():
        at = int(np.arange(len(rows))[index][int(finite.argmin())])
        raise ValueError(f"vector {at} contains NaN or infinity: leave such rows out.")
    return given
